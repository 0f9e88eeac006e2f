// Objects of the table as the handlers use them (ids_kinds.h). What a process left behind - its timers, segments removed
// while they were attached - is cleared away only when the table is full: a stale entry does no harm, since the kernel
// answers for the system id.
#include "runtime/ids_kinds.h"

#include <linux/ipc.h>

#include "runtime/ids.h"
#include "runtime/ids_objects.h"
#include "runtime/ids_table.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

namespace {

using wire::IdKind;

bool is_alive(u32 system_tid) { return raw_syscall(__NR_tkill, system_tid, 0) != -ESRCH; }

u32 owner_of(IdKind kind) { return kind == IdKind::Timer ? virtual_of(static_cast<u32>(raw_syscall(__NR_getpid))) : 0; }

bool is_gone(i64 result) { return result == -EINVAL || result == -EIDRM; }

// Whether nothing can be reached by the entry any more. A segment's description is as large as 112 bytes.
bool is_stale(IdKind kind, u32 owner, u64 value) {
  u64 description[16];
  switch (kind) {
    case IdKind::Timer:
      return forward_word(id_table(), owner).state != wire::IdState::Live;
    case IdKind::SharedMemory:
      return is_gone(raw_syscall(__NR_shmctl, value, IPC_STAT, description));
    case IdKind::Semaphore:
      return is_gone(raw_syscall(__NR_semctl, value, 0, IPC_STAT, description));
    case IdKind::MessageQueue:
      return is_gone(raw_syscall(__NR_msgctl, value, IPC_STAT, description));
    default:
      return false;
  }
}

// The fields of a live object's key are those of wire/ids.h.
void clear_stale() {
  for (u32 i = 0; i < wire::kIdObjects; i++) {
    const wire::IdObject& object = id_table().objects()[i];
    const u64 key = __atomic_load_n(&object.key, __ATOMIC_ACQUIRE);
    if ((key & 3) != static_cast<u64>(wire::ObjectState::Live)) continue;
    const auto kind = static_cast<IdKind>(key >> 2 & 63);
    const auto owner = static_cast<u32>(key >> 8 & 0xffffff);
    if (is_stale(kind, owner, object.value)) remove_object(id_table(), {kind, owner, static_cast<u32>(key >> 32)});
  }
}

}  // namespace

i64 virtual_object(IdKind kind, i32 system_id) {
  const Claimer self{static_cast<u32>(raw_syscall(__NR_gettid)), is_alive};
  const u32 owner = owner_of(kind);
  u32 virtual_id;
  if (bind_object(id_table(), kind, owner, static_cast<u32>(system_id), self, &virtual_id)) return virtual_id;
  clear_stale();
  return bind_object(id_table(), kind, owner, static_cast<u32>(system_id), self, &virtual_id) ? virtual_id : -ENOSPC;
}

i64 system_object(IdKind kind, i32 virtual_id) {
  u64 value;
  if (virtual_id < 0) return -EINVAL;
  return find_object(id_table(), {kind, owner_of(kind), static_cast<u32>(virtual_id)}, &value) ? static_cast<i64>(value)
                                                                                               : -EINVAL;
}

bool place_object(IdKind kind, i32 virtual_id, i32 system_id) {
  const Claimer self{static_cast<u32>(raw_syscall(__NR_gettid)), is_alive};
  const ObjectName name{kind, owner_of(kind), static_cast<u32>(virtual_id)};
  return put_object(id_table(), name, static_cast<u64>(system_id), self) == Put::Done;
}

void release_object(IdKind kind, i32 virtual_id) {
  remove_object(id_table(), {kind, owner_of(kind), static_cast<u32>(virtual_id)});
}

}  // namespace stasis::runtime
