// SysV ipc: ids of segments, semaphore sets and message queues, and the processes that their descriptions name. Keys are
// the host's.
#include <linux/ipc.h>
#include <linux/msg.h>
#include <linux/sem.h>
#include <linux/shm.h>

#include "runtime/ids.h"
#include "runtime/ids_kinds.h"
#include "runtime/ipc_notes.h"
#include "runtime/program_memory.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

using wire::IdKind;

// Since kernel 4.17; not in older headers.
constexpr i32 kShmStatAny = 15, kSemStatAny = 20, kMsgStatAny = 13;

// struct shmid64_ds, struct msqid64_ds: where two pids lie, and the length.
struct Description {
  u32 first_pid, bytes;
};
constexpr Description kSegment{80, 112}, kQueue{96, 120};

bool is_index_query(IdKind kind, i32 command) {  // SHM_STAT and its like take an index and answer with an id
  switch (kind) {
    case IdKind::SharedMemory:
      return command == SHM_STAT || command == kShmStatAny;
    case IdKind::Semaphore:
      return command == SEM_STAT || command == kSemStatAny;
    default:
      return command == MSG_STAT || command == kMsgStatAny;
  }
}

bool is_limits_query(IdKind kind, i32 command) {
  return command == IPC_INFO || (kind == IdKind::SharedMemory && command == SHM_INFO) ||
         (kind == IdKind::Semaphore && command == SEM_INFO) || (kind == IdKind::MessageQueue && command == MSG_INFO);
}

// Tells of an object through a copy of its description, with the pids in it translated.
i64 describe(Trap& trap, const Description& form, u64* buffer_argument) {
  alignas(8) u8 description[kQueue.bytes];
  const u64 program = *buffer_argument;
  *buffer_argument = reinterpret_cast<u64>(description);
  const i64 result = raw_syscall(static_cast<i64>(trap.number), trap.arguments[0], trap.arguments[1], trap.arguments[2],
                                 trap.arguments[3]);
  if (result < 0) return result;
  i32* pids = reinterpret_cast<i32*>(description + form.first_pid);
  for (u32 i = 0; i < 2; i++) pids[i] = static_cast<i32>(virtual_result(pids[i]));
  return write_program(program, description, form.bytes) < 0 ? -EFAULT : result;
}

i64 control(Trap& trap, IdKind kind) {
  const auto id = static_cast<i32>(trap.arguments[0]);
  const auto command = static_cast<i32>(trap.arguments[kind == IdKind::Semaphore ? 2 : 1]);
  if (is_limits_query(kind, command)) return blocking_call(trap);
  const bool by_index = is_index_query(kind, command);
  if (!by_index) {
    const i64 system_id = system_object(kind, id);
    if (system_id < 0) return system_id;
    trap.arguments[0] = static_cast<u64>(system_id);
  }
  i64 result;
  if (kind != IdKind::Semaphore && (by_index || command == IPC_STAT)) {
    result = describe(trap, kind == IdKind::SharedMemory ? kSegment : kQueue, &trap.arguments[2]);
  } else {
    result = raw_syscall(static_cast<i64>(trap.number), trap.arguments[0], trap.arguments[1], trap.arguments[2],
                         trap.arguments[3]);
  }
  if (result < 0) return result;
  if (by_index) return virtual_object(kind, static_cast<i32>(result));
  if (kind == IdKind::Semaphore && command == GETPID) return virtual_result(result);
  // An attached segment lives on under its id.
  if (command == IPC_RMID && kind != IdKind::SharedMemory) release_object(kind, id);
  return result;
}

i64 get(Trap& trap, IdKind kind) {
  bool made;
  i64 result = get_object(trap, &made);
  if (result >= 0) result = virtual_object(kind, static_cast<i32>(result));
  const wire::NotedObject noted = kind == IdKind::Semaphore      ? wire::NotedObject::Semaphore
                                  : kind == IdKind::MessageQueue ? wire::NotedObject::MessageQueue
                                                                 : wire::NotedObject::SharedMemory;
  note_object(noted, result);
  if (made) note_made(noted, result);
  return result;
}

i64 use(Trap& trap, IdKind kind) {
  const i64 system_id = system_object(kind, static_cast<i32>(trap.arguments[0]));
  if (system_id < 0) return system_id;
  trap.arguments[0] = static_cast<u64>(system_id);
  return blocking_call(trap);
}

}  // namespace

i64 trapped_ipc(Trap& trap) {
  switch (trap.number) {
    case __NR_shmget:
      return get(trap, IdKind::SharedMemory);
    case __NR_semget:
      return get(trap, IdKind::Semaphore);
    case __NR_msgget:
      return get(trap, IdKind::MessageQueue);
    case __NR_shmctl:
      return control(trap, IdKind::SharedMemory);
    case __NR_semctl:
      return control(trap, IdKind::Semaphore);
    case __NR_msgctl:
      return control(trap, IdKind::MessageQueue);
    case __NR_shmat:
      return use(trap, IdKind::SharedMemory);
    case __NR_semop:
    case __NR_semtimedop:
      give_up_fast_call();  // what is counted is counted once
      return complete_semaphores(*trap.context, use(trap, IdKind::Semaphore));
    case __NR_msgsnd:
    case __NR_msgrcv:
      return use(trap, IdKind::MessageQueue);
    default:
      return blocking_call(trap);
  }
}

}  // namespace stasis::runtime
