// Objects in the table (ids_objects.h): an open-addressed hash table by name, and an index into it by value.
//
//     Free, Removed --claim--> Claimed by a thread --> Pending --> Live --> Removed
//                                                         `------> Removed
//
// A slot is claimed by a compare-and-swap that leaves the claimer's tid, filled, entered in the index, and shown as
// Pending: with its name, not yet to readers. Then the claimer looks for others of the name, removes the pending ones
// and gives way to a live one; whoever was removed starts over. So a name is live at most once, and nobody waits for a
// thread that is stopped or dead. A slot that was removed does not end a search, a free one does.
//
// The index is entered before the object is live, so every live object is in it; entries that lead to something else
// are stale and overwritten. A tag in each makes two entries for the same slot differ.
#include "runtime/ids_objects.h"

namespace stasis::runtime {

namespace {

using wire::IdObject;
using wire::IdTableView;
using wire::ObjectState;

constexpr u32 kProbes = 512;
constexpr u32 kIndexProbes = 128;
constexpr u32 kNoSlot = ~0u;
constexpr u64 kRemoved = static_cast<u64>(ObjectState::Removed);
constexpr u32 kNumberBits = 17;  // of an index entry: object number plus 1; the rest is the tag
constexpr u32 kVirtualMask = 0x7fffffff;
constexpr u32 kNameTries = 4096;

u64 hash(u64 value) {
  value ^= value >> 32;
  value *= 0x9e3779b97f4a7c15;
  value ^= value >> 29;
  value *= 0xbf58476d1ce4e5b9;
  return value ^ value >> 32;
}

u64 key_of(ObjectState state, const ObjectName& name) {
  return static_cast<u64>(state) | static_cast<u64>(name.kind) << 2 | static_cast<u64>(name.owner & 0xffffff) << 8 |
         static_cast<u64>(name.virtual_id) << 32;
}

// Claimed without a name yet: the kind is 0.
u64 claim_of(u32 system_tid) { return static_cast<u64>(ObjectState::Claimed) | static_cast<u64>(system_tid) << 32; }

ObjectState state_of(u64 key) { return static_cast<ObjectState>(key & 3); }
bool has_name(u64 key) { return (key >> 2 & 63) != 0; }
u64 scope_of(u64 key) { return key & 0xfffffffc; }  // kind and owner

u64 load_key(const IdTableView& table, u32 slot) {
  return __atomic_load_n(&table.objects()[slot].key, __ATOMIC_SEQ_CST);
}
u64 load_value(const IdTableView& table, u32 slot) {
  return __atomic_load_n(&table.objects()[slot].value, __ATOMIC_ACQUIRE);
}
u64 load_claimer(const IdTableView& table, u32 slot) {
  return __atomic_load_n(&table.objects()[slot].claimer, __ATOMIC_ACQUIRE);
}
bool swap_key(const IdTableView& table, u32 slot, u64 from, u64 to) {
  return __atomic_compare_exchange_n(&table.objects()[slot].key, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

u32 first_slot(u64 key) { return static_cast<u32>(hash(key >> 2)) & (wire::kIdObjects - 1); }
u32 slot_at(u32 first, u32 step) { return (first + step) & (wire::kIdObjects - 1); }

u32 first_entry(u64 scope, u64 value) {
  return static_cast<u32>(hash(scope ^ value * 0xd6e8feb86659fd93)) & (wire::kIdIndexSlots - 1);
}
u32 entry_at(u32 first, u32 step) { return (first + step) & (wire::kIdIndexSlots - 1); }

// The slot that is live under this name, kNoSlot if none is.
u32 find_live(const IdTableView& table, u64 live) {
  const u32 first = first_slot(live);
  for (u32 i = 0; i < kProbes; i++) {
    const u32 slot = slot_at(first, i);
    const u64 key = load_key(table, slot);
    if (key == live) return slot;
    if (state_of(key) == ObjectState::Free) break;
  }
  return kNoSlot;
}

// Whether a claim may be taken over.
bool is_abandoned(const IdTableView& table, u32 slot, u64 key, const Claimer& claimer) {
  if (state_of(key) != ObjectState::Claimed) return false;
  const u64 tid = has_name(key) ? load_claimer(table, slot) : key >> 32;
  return !claimer.is_alive(static_cast<u32>(tid));
}

u32 claim_slot(const IdTableView& table, u64 live, const Claimer& claimer) {
  const u32 first = first_slot(live);
  for (u32 i = 0; i < kProbes; i++) {
    const u32 slot = slot_at(first, i);
    const u64 key = load_key(table, slot);
    const ObjectState state = state_of(key);
    if (state == ObjectState::Live) continue;
    if (state == ObjectState::Claimed && !is_abandoned(table, slot, key, claimer)) continue;
    if (swap_key(table, slot, key, claim_of(claimer.system_tid))) return slot;
  }
  return kNoSlot;
}

// Whether an index entry at `place` may still lead somebody to `slot`.
bool leads_to(const IdTableView& table, u32 place, u32 slot) {
  const u64 key = load_key(table, slot);
  if (state_of(key) == ObjectState::Claimed) return true;
  if (state_of(key) != ObjectState::Live) return false;
  const u32 first = first_entry(scope_of(key), load_value(table, slot));
  return ((place - first) & (wire::kIdIndexSlots - 1)) < kIndexProbes;
}

bool enter_index(const IdTableView& table, u64 live, u64 value, u32 slot) {
  const u32 first = first_entry(scope_of(live), value);
  for (u32 i = 0; i < kIndexProbes; i++) {
    const u32 place = entry_at(first, i);
    u32* entry = table.index() + place;
    u32 old = __atomic_load_n(entry, __ATOMIC_ACQUIRE);
    const u32 number = old & ((1 << kNumberBits) - 1);
    if (number > wire::kIdObjects) continue;
    if (number != 0 && number - 1 != slot && leads_to(table, place, number - 1)) continue;
    const u32 tag = ((old >> kNumberBits) + 1) << kNumberBits;
    if (__atomic_compare_exchange_n(entry, &old, tag | (slot + 1), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
      return true;
    }
  }
  return false;
}

// From Pending to Live, unless there is a live one. Whoever becomes live has removed every pending slot that it could
// see, and one that it could not see yet finds it.
Put publish(const IdTableView& table, u64 live, u64 pending, u32 mine, u64 value, const Claimer& claimer) {
  const u32 first = first_slot(live);
  for (u32 i = 0; i < kProbes; i++) {
    const u32 slot = slot_at(first, i);
    const u64 key = load_key(table, slot);
    if (state_of(key) == ObjectState::Free) break;
    if (slot == mine) continue;
    if (key == pending) swap_key(table, slot, pending, kRemoved);
    if (load_key(table, slot) == live) {
      swap_key(table, mine, pending, kRemoved);
      return Put::Taken;
    }
  }
  if (!swap_key(table, mine, pending, live)) return Put::Taken;
  // The slot may have been removed and taken for the same name since: then that one is live now, and not by mistake.
  const bool is_mine = load_value(table, mine) == value && load_claimer(table, mine) == claimer.system_tid;
  return is_mine ? Put::Done : Put::Taken;
}

}  // namespace

bool find_object(const IdTableView& table, const ObjectName& name, u64* value) {
  const u64 live = key_of(ObjectState::Live, name);
  for (;;) {
    const u32 slot = find_live(table, live);
    if (slot == kNoSlot) return false;
    *value = load_value(table, slot);
    if (load_key(table, slot) == live) return true;  // else it was removed meanwhile
  }
}

bool find_object_by_value(const IdTableView& table, wire::IdKind kind, u32 owner, u64 value, u32* virtual_id) {
  const u64 scope = scope_of(key_of(ObjectState::Live, {kind, owner, 0}));
  const u32 first = first_entry(scope, value);
  for (u32 i = 0; i < kIndexProbes; i++) {
    const u32 number = __atomic_load_n(table.index() + entry_at(first, i), __ATOMIC_ACQUIRE) & ((1 << kNumberBits) - 1);
    if (number == 0) return false;
    if (number > wire::kIdObjects) continue;
    const u64 key = load_key(table, number - 1);
    if (state_of(key) != ObjectState::Live || scope_of(key) != scope) continue;
    if (load_value(table, number - 1) != value || load_key(table, number - 1) != key) continue;
    *virtual_id = static_cast<u32>(key >> 32);
    return true;
  }
  return false;
}

Put put_object(const IdTableView& table, const ObjectName& name, u64 value, const Claimer& claimer) {
  const u64 live = key_of(ObjectState::Live, name), pending = key_of(ObjectState::Claimed, name);
  if (find_live(table, live) != kNoSlot) return Put::Taken;
  const u32 slot = claim_slot(table, live, claimer);
  if (slot == kNoSlot) return Put::Full;
  IdObject* object = table.objects() + slot;
  __atomic_store_n(&object->value, value, __ATOMIC_RELEASE);
  __atomic_store_n(&object->claimer, claimer.system_tid, __ATOMIC_RELEASE);
  if (!enter_index(table, live, value, slot)) {
    swap_key(table, slot, claim_of(claimer.system_tid), kRemoved);
    return Put::Full;
  }
  if (!swap_key(table, slot, claim_of(claimer.system_tid), pending)) return Put::Taken;
  return publish(table, live, pending, slot, value, claimer);
}

bool bind_object(const IdTableView& table, wire::IdKind kind, u32 owner, u32 value, const Claimer& claimer,
                 u32* virtual_id) {
  u32 candidate = (value + table.header()->shift) & kVirtualMask;
  for (u32 tries = 0; tries < kNameTries; tries++) {
    if (find_object_by_value(table, kind, owner, value, virtual_id)) return true;
    const Put put = put_object(table, {kind, owner, candidate}, value, claimer);
    if (put == Put::Full) return false;
    *virtual_id = candidate;
    if (put == Put::Done) return true;
    u64 found;
    // Somebody was first, perhaps with the same.
    if (find_object(table, {kind, owner, candidate}, &found)) {
      if (found == value) return true;
      candidate = __atomic_fetch_add(&table.header()->next_object[static_cast<u32>(kind) & 15], 1, __ATOMIC_RELAXED) &
                  kVirtualMask;
    }
  }
  return false;
}

bool remove_object(const IdTableView& table, const ObjectName& name) {
  const u64 live = key_of(ObjectState::Live, name);
  for (;;) {
    const u32 slot = find_live(table, live);
    if (slot == kNoSlot) return false;
    if (swap_key(table, slot, live, kRemoved)) return true;
  }
}

}  // namespace stasis::runtime
