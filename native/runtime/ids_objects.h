// Objects in a translation table: ids of ipc and timers, found by their virtual id and by their system id. Pure as
// ids_table.h, and under the same conditions: any thread of any process at once, each killed anywhere.
#pragma once

#include "wire/ids.h"
#include "wire/types.h"

namespace stasis::runtime {

struct ObjectName {
  wire::IdKind kind;
  u32 owner;  // virtual pid; 0: the application
  u32 virtual_id;
};

// Who writes to the table. What a dead one left unfinished is taken over.
struct Claimer {
  u32 system_tid;
  bool (*is_alive)(u32 system_tid);
};

enum class Put {
  Done,
  Taken,  // there is one, or another thread's attempt at the same moment was in the way
  Full,
};

bool find_object(const wire::IdTableView& table, const ObjectName& name, u64* value);
bool find_object_by_value(const wire::IdTableView& table, wire::IdKind kind, u32 owner, u64 value, u32* virtual_id);

// Enters the object unless there is one of this name.
Put put_object(const wire::IdTableView& table, const ObjectName& name, u64 value, const Claimer& claimer);

// The virtual id of a system id, entered if need be: system + shift where that number is free, else the next free one,
// always in 0..2^31-1. False if the table is full. Two callers with the same value get the same id where its natural
// number is free, else possibly two that both lead to it.
bool bind_object(const wire::IdTableView& table, wire::IdKind kind, u32 owner, u32 value, const Claimer& claimer,
                 u32* virtual_id);

// False if there is none.
bool remove_object(const wire::IdTableView& table, const ObjectName& name);

}  // namespace stasis::runtime
