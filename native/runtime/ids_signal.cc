// Signals: who is sent one, and what a siginfo_t says about its sender.
//
// A signal that a thread sends to itself is delivered before the call returns, and which thread gets one sent to the
// process depends on the masks: so these calls are issued with the program's own mask, in the blocking window.
#include "runtime/ids_signal.h"

#include <asm/siginfo.h>
#include <asm/signal.h>
#include <linux/fcntl.h>

#include "runtime/ids.h"
#include "runtime/ids_complete.h"
#include "runtime/ids_kinds.h"
#include "runtime/ids_target.h"
#include "runtime/program_memory.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

constexpr i32 kKernelCode = 0x80;  // SI_KERNEL
constexpr i32 kChildCodes = 6;     // CLD_EXITED .. CLD_CONTINUED

// What lies at kInfoPidOffset, by signal and code (kernel/signal.c, siginfo_layout).
enum class Sender { None, Process, Timer };

Sender sender_in(const SignalInfoHead& info) {
  if (info.code > SI_USER && info.code < kKernelCode) {
    return info.signal == SIGCHLD && info.code <= kChildCodes ? Sender::Process : Sender::None;
  }
  if (info.code == SI_TIMER) return Sender::Timer;
  return info.code == SI_SIGIO ? Sender::None : Sender::Process;
}

// A copy of the program's siginfo_t with the sender it names translated. The kernel reads the first kKernelBytes always.
constexpr u64 kKernelBytes = 48;
struct OutgoingInfo {
  union {
    SignalInfoHead head;
    u8 bytes[128];
  };
};

i64 read_outgoing(OutgoingInfo* info, u64 address) {
  if (read_program(info->bytes, address, kKernelBytes) < 0) return -EFAULT;
  if (read_program(info->bytes + kKernelBytes, address + kKernelBytes, sizeof info->bytes - kKernelBytes) < 0) {
    memset(info->bytes + kKernelBytes, 0, sizeof info->bytes - kKernelBytes);
  }
  translate_outgoing_info(&info->head);
  return 0;
}

i64 send_with_info(Trap& trap, u32 index) {
  OutgoingInfo info;
  if (trap.arguments[index] != 0) {
    if (i64 result = read_outgoing(&info, trap.arguments[index]); result < 0) return result;
    trap.arguments[index] = reinterpret_cast<u64>(&info);
  }
  return blocking_call(trap);
}

// The processes of the application are found page by page of the table: pages without data are never touched, since
// that would allocate them.
class Members {
 public:
  // The next system pid that leads a process of the application, 0 at the end.
  u32 next() {
    for (;;) {
      if (at_ == end_ && !next_page()) return 0;
      u32 virtual_pid = at_++;
      wire::ForwardWord word =
          wire::ForwardWord::unpack(__atomic_load_n(&id_table().forward()[virtual_pid], __ATOMIC_ACQUIRE));
      if (word.state != wire::IdState::Live || (word.flags & (wire::kIdThread | wire::kIdForeign)) != 0) continue;
      if (i64 system_pid = verified_system_of(static_cast<i32>(virtual_pid)); system_pid > 0) {
        return static_cast<u32>(system_pid);
      }
    }
  }

 private:
  static constexpr u32 kWordsInPage = wire::kPageBytes / sizeof(u64);

  bool next_page() {
    u64 from = wire::kIdForwardOffset + end_ * sizeof(u64);
    // The position that this call also sets is used by nobody.
    i64 found = raw_syscall(__NR_lseek, parked_fd(), from, 3 /* SEEK_DATA */);
    u64 offset = is_error(found) ? wire::kIdReverseOffset : static_cast<u64>(found);
    if (offset >= wire::kIdReverseOffset) return false;
    at_ = static_cast<u32>((offset - wire::kIdForwardOffset) / sizeof(u64)) & ~(kWordsInPage - 1);
    end_ = at_ + kWordsInPage;
    return true;
  }

  u32 at_ = 0, end_ = 0;
};

// kill(-1): everybody the caller may signal but itself and init. For an application that is everybody in it: what else
// runs in the system does not exist for it.
i64 kill_everybody(const Trap& trap) {
  give_up_fast_call();
  i64 own = raw_syscall(__NR_getpid), result = -ESRCH;
  Members members;
  while (u32 system_pid = members.next()) {
    if (system_pid == own) continue;
    if (result == -ESRCH) result = 0;
    i64 sent = raw_syscall(__NR_kill, system_pid, trap.arguments[1]);
    if (sent < 0 && sent != -EPERM && sent != -ESRCH) result = sent;  // kernel/signal.c, kill_something_info
  }
  return result;
}

}  // namespace

i64 trapped_kill(Trap& trap) {
  switch (trap.number) {
    case __NR_kill:
      if (static_cast<i32>(trap.arguments[0]) == -1) return kill_everybody(trap);
      trap.arguments[0] = system_target_argument(trap.arguments[0]);
      return blocking_call(trap);
    case __NR_tkill:
      trap.arguments[0] = verified_argument(trap.arguments[0]);
      return blocking_call(trap);
    case __NR_tgkill:
      trap.arguments[0] = system_argument(trap.arguments[0]);
      // The kernel compares the process, so a thread of one's own needs no confirmation.
      trap.arguments[1] = trap.arguments[0] == g_process.owner_pid ? system_argument(trap.arguments[1])
                                                                   : verified_argument(trap.arguments[1]);
      return blocking_call(trap);
    case __NR_rt_sigqueueinfo:
      trap.arguments[0] = verified_argument(trap.arguments[0]);
      return send_with_info(trap, 2);
    case __NR_rt_tgsigqueueinfo:
      trap.arguments[0] = system_argument(trap.arguments[0]);
      trap.arguments[1] = verified_argument(trap.arguments[1]);
      return send_with_info(trap, 3);
    default:  // pidfd_send_signal
      return send_with_info(trap, 2);
  }
}

i64 trapped_sigtimedwait(Trap& trap) { return complete_sigtimedwait(*trap.context, blocking_call(trap)); }

i64 complete_sigtimedwait(const arch::KernelUcontext& program, i64 result) {
  if (result > 0 && program.context.rsi != 0) translate_program_info(program.context.rsi);
  return result;
}

void translate_info(void* info) {
  auto* head = static_cast<SignalInfoHead*>(info);
  if (sender_in(*head) == Sender::Process && head->pid > 0) {
    head->pid = static_cast<i32>(virtual_of(static_cast<u32>(head->pid)));
  } else if (sender_in(*head) == Sender::Timer && head->pid >= 0) {  // the timer's id lies there
    const i64 timer = virtual_object(wire::IdKind::Timer, head->pid);
    if (timer >= 0) head->pid = static_cast<i32>(timer);
  }
}

void translate_outgoing_info(SignalInfoHead* info) {
  if (sender_in(*info) == Sender::Timer) {
    const i64 timer = system_object(wire::IdKind::Timer, info->pid);
    if (timer >= 0) info->pid = static_cast<i32>(timer);
    return;
  }
  if (sender_in(*info) != Sender::Process || info->pid <= 0) return;
  const i64 system_pid = system_of(info->pid);
  // A number of the program's own making arrives as one that it does not know.
  if (system_pid > 0) info->pid = static_cast<i32>(system_pid);
}

void translate_program_info(u64 address) {
  SignalInfoHead head;
  if (read_program(&head, address, sizeof head) < 0) return;
  i32 system_id = head.pid;
  translate_info(&head);
  if (head.pid != system_id) write_program(address + kInfoPidOffset, &head.pid, sizeof head.pid);
}

}  // namespace stasis::runtime
