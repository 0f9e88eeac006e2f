// ptrace(2) between processes of the application. The pid of every request is translated; what a request tells of other
// processes comes back in the tracer's memory, by message (the new child, the former thread) or as siginfo_t.
#include <asm/siginfo.h>
#include <linux/ptrace.h>

#include "runtime/ids.h"
#include "runtime/ids_complete.h"
#include "runtime/ids_signal.h"
#include "runtime/ids_target.h"
#include "runtime/program_memory.h"
#include "runtime/signals.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

constexpr u32 kEventShift = 8;  // si_code of a stop is SIGTRAP | event << 8

// Messages of other events are no ids: the exit status, a filter's data.
bool message_is_id(u64 tracee) {
  siginfo_t info{};
  if (raw_syscall(__NR_ptrace, PTRACE_GETSIGINFO, tracee, 0, &info) < 0) return false;
  switch (info.si_code >> kEventShift) {
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE:
    case PTRACE_EVENT_EXEC:
    case PTRACE_EVENT_VFORK_DONE:
      return true;
    default:
      return false;
  }
}

i64 get_message(const Trap& trap) {
  u64 message;
  const i64 result = raw_syscall(__NR_ptrace, PTRACE_GETEVENTMSG, trap.arguments[1], 0, &message);
  if (result < 0) return result;
  if (message_is_id(trap.arguments[1])) message = virtual_of(static_cast<u32>(message));
  return write_program(trap.arguments[3], &message, sizeof message);
}

i64 set_info(const Trap& trap) {
  siginfo_t info;
  if (read_program(&info, trap.arguments[3], sizeof info) < 0) return -EFAULT;
  translate_outgoing_info(reinterpret_cast<SignalInfoHead*>(&info));
  return raw_syscall(__NR_ptrace, PTRACE_SETSIGINFO, trap.arguments[1], trap.arguments[2], &info);
}

// SIGSYS stays out of the tracee's mask as it does when the tracee sets it itself (masks.cc).
i64 set_mask(const Trap& trap) {
  u64 mask;
  u64 from = trap.arguments[3];
  if (trap.arguments[2] == sizeof mask && read_program(&mask, from, sizeof mask) == 0) {
    mask &= ~kSignalSysBit;
    from = reinterpret_cast<u64>(&mask);
  }
  return raw_syscall(__NR_ptrace, PTRACE_SETSIGMASK, trap.arguments[1], trap.arguments[2], from);
}

}  // namespace

i64 trapped_ptrace(Trap& trap) {
  const u64 request = trap.arguments[0];
  if (request == PTRACE_TRACEME) return blocking_call(trap);
  const bool attaches = request == PTRACE_ATTACH || request == PTRACE_SEIZE;
  trap.arguments[1] = attaches ? verified_argument(trap.arguments[1]) : system_argument(trap.arguments[1]);
  if (request == PTRACE_GETEVENTMSG) return get_message(trap);
  if (request == PTRACE_SETSIGINFO) return set_info(trap);
  if (request == PTRACE_SETSIGMASK) return set_mask(trap);
  // No other request blocks.
  const i64 result = raw_syscall(__NR_ptrace, request, trap.arguments[1], trap.arguments[2], trap.arguments[3]);
  if (request == PTRACE_GETSIGINFO && result == 0) translate_program_info(trap.arguments[3]);
  if (request == PTRACE_PEEKSIGINFO) {
    for (i64 i = 0; i < result; i++)
      translate_program_info(trap.arguments[3] + static_cast<u64>(i) * sizeof(siginfo_t));
  }
  return result;
}

}  // namespace stasis::runtime
