// Process ids that sockets tell: SO_PEERCRED, and SCM_CREDENTIALS in messages.
//
// Received credentials are translated where the kernel has put them, by the completion of the call (ids.h,
// complete_call). A message to be sent with credentials is sent from a copy of its header and control data; the copy
// lies on the handler's stack, or when it is large in one of a few buffers. Such a buffer belongs to a thread: one that
// a signal takes out of the call (trap.h, blocking_call) finds its buffer again when it makes the call once more, and
// that of a dead thread is taken over.
#include <linux/socket.h>

#include "runtime/ids.h"
#include "runtime/ids_complete.h"
#include "runtime/message_header.h"
#include "runtime/program_memory.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

constexpr i32 kSocketLevel = 1;  // SOL_SOCKET
constexpr i32 kOptionPeerCredentials = 17, kOptionDomain = 39;
constexpr i32 kCredentialsType = 2;  // SCM_CREDENTIALS
constexpr i32 kDomainUnix = 1, kDomainNetlink = 16;
constexpr u32 kMaxControlHeaders = 4096;

struct Credentials {  // struct ucred
  i32 pid;
  u32 uid, gid;
};

constexpr u64 kPidEnd = sizeof(ControlHeader) + sizeof(i32);

// Walks control data of `bytes` bytes, whose headers `read(offset, header)` gets, as the kernel does (CMSG_OK,
// CMSG_NXTHDR), and calls `found(offset)` with the place of each pid in credentials.
template <typename Read, typename Found>
void for_each_credential(u64 bytes, Read read, Found found) {
  u64 at = 0;
  for (u32 i = 0; i < kMaxControlHeaders && bytes - at >= sizeof(ControlHeader); i++) {
    ControlHeader header;
    if (!read(at, &header) || header.bytes < sizeof header || header.bytes > bytes - at) return;
    if (header.level == kSocketLevel && header.type == kCredentialsType && header.bytes >= kPidEnd) {
      found(at + sizeof header);
    }
    const u64 step = step_of(header);
    if (step > bytes - at) return;
    at += step;
  }
}

template <typename Found>
void for_each_credential_of(const MessageHeader& message, Found found) {
  if (message.control == 0) return;
  const auto read = [&](u64 at, ControlHeader* header) {
    return read_program(header, message.control + at, sizeof *header) == 0;
  };
  for_each_credential(message.control_bytes, read, found);
}

bool has_credentials(const MessageHeader& message) {
  bool has = false;
  for_each_credential_of(message, [&](u64) { has = true; });
  return has;
}

// Only these kinds of sockets know credentials; others ignore them.
bool knows_credentials(u64 fd) {
  i32 domain = 0;
  u32 bytes = sizeof domain;
  if (raw_syscall(__NR_getsockopt, fd, kSocketLevel, kOptionDomain, &domain, &bytes) < 0) return false;
  return domain == kDomainUnix || domain == kDomainNetlink;
}

// The kernel's own limit is that of descriptors in a message (SCM_MAX_FD, 253) and some credentials.
constexpr u32 kSmallControlBytes = 256, kLargeControlBytes = 2048, kLargeControls = 4;

struct LargeControl {
  u32 owner;  // system tid, 0: free
  alignas(8) u8 bytes[kLargeControlBytes];
};
LargeControl g_large_controls[kLargeControls];

LargeControl* acquire_large_control() {
  const auto self = static_cast<u32>(raw_syscall(__NR_gettid));
  for (LargeControl& control : g_large_controls) {
    if (__atomic_load_n(&control.owner, __ATOMIC_RELAXED) == self) return &control;
  }
  for (LargeControl& control : g_large_controls) {
    u32 owner = __atomic_load_n(&control.owner, __ATOMIC_RELAXED);
    if (owner != 0 && raw_syscall(__NR_tkill, owner, 0) != -ESRCH) continue;
    if (__atomic_compare_exchange_n(&control.owner, &owner, self, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
      return &control;
    }
  }
  return nullptr;
}

void release_large_control(LargeControl* control) { __atomic_store_n(&control->owner, 0, __ATOMIC_RELEASE); }

// Copies control data to `to` with system ids. A number that the application does not know becomes one that nobody can
// have, so that the kernel answers what it answers for a stranger (net/core/scm.c, scm_check_creds).
i64 copy_control(const MessageHeader& message, u8* to) {
  if (read_program(to, message.control, message.control_bytes) < 0) return -EFAULT;
  const auto read = [&](u64 at, ControlHeader* header) {
    *header = *reinterpret_cast<const ControlHeader*>(to + at);
    return true;
  };
  for_each_credential(message.control_bytes, read, [&](u64 at) {
    i32* pid = reinterpret_cast<i32*>(to + at);
    const i64 system_pid = *pid < 0 ? -ESRCH : system_of(*pid);
    *pid = static_cast<i32>(system_pid < 0 ? static_cast<i64>(wire::kPidLimit) : system_pid);
  });
  return 0;
}

i64 send_copy(Trap& trap, MessageHeader& message, u64 flags, u8* control) {
  if (copy_control(message, control) < 0) return -EFAULT;
  message.control = reinterpret_cast<u64>(control);
  const u64 arguments[6] = {trap.arguments[0], reinterpret_cast<u64>(&message), flags, 0, 0, 0};
  return stasis_blocking_call(trap.context, __NR_sendmsg, arguments);
}

__attribute__((noinline)) i64 send_small(Trap& trap, MessageHeader& message, u64 flags) {
  alignas(8) u8 control[kSmallControlBytes];
  return send_copy(trap, message, flags, control);
}

i64 send_with_credentials(Trap& trap, MessageHeader& message, u64 flags) {
  if (message.control_bytes <= kSmallControlBytes) return send_small(trap, message, flags);
  if (message.control_bytes > kLargeControlBytes) return -ENOBUFS;  // as for more than the kernel's own limit
  LargeControl* control = acquire_large_control();
  if (control == nullptr) return -ENOBUFS;
  const i64 result = send_copy(trap, message, flags, control->bytes);
  release_large_control(control);
  return result;
}

i64 send_message(Trap& trap) {
  MessageHeader message;
  if (read_program(&message, trap.arguments[1], sizeof message) < 0 || !has_credentials(message)) {
    return blocking_call(trap);
  }
  return send_with_credentials(trap, message, trap.arguments[2]);
}

// Several messages: those before the first with credentials, or that one alone. Fewer than asked for may always be sent
// (sendmmsg(2)).
i64 send_messages(Trap& trap) {
  const auto asked = static_cast<u32>(trap.arguments[2]);
  const u32 count = asked < kMaxMessages ? asked : kMaxMessages;
  if (!knows_credentials(trap.arguments[0])) return blocking_call(trap);
  for (u32 i = 0; i < count; i++) {
    MessageHeader message;
    if (read_program(&message, trap.arguments[1] + i * sizeof(MessageInArray), sizeof message) < 0) break;
    if (!has_credentials(message)) continue;
    if (i == 0) return send_with_credentials(trap, message, trap.arguments[3]);
    trap.arguments[2] = i;
    break;
  }
  return blocking_call(trap);
}

// The result of send_messages(), which may be that of a sendmsg(2): the number of bytes of the first message.
i64 complete_send_messages(u64 fd, u64 address, i64 result) {
  MessageHeader message;
  if (result < 0 || read_program(&message, address, sizeof message) < 0 || !knows_credentials(fd) ||
      !has_credentials(message)) {
    return result;
  }
  const auto bytes = static_cast<u32>(result);
  write_program(address + __builtin_offsetof(MessageInArray, bytes), &bytes, sizeof bytes);
  return 1;
}

void complete_received(u64 address) {
  MessageHeader message;
  if (read_program(&message, address, sizeof message) < 0) return;
  for_each_credential_of(message, [&](u64 at) {
    i32 pid;
    if (read_program(&pid, message.control + at, sizeof pid) < 0 || pid <= 0) return;
    pid = static_cast<i32>(virtual_of(static_cast<u32>(pid)));
    write_program(message.control + at, &pid, sizeof pid);
  });
}

}  // namespace

i64 complete_message(const arch::KernelUcontext& program, i64 result) {
  const u64 fd = program.context.rdi, address = program.context.rsi;
  switch (program.context.rax) {
    case __NR_sendmmsg:
      return complete_send_messages(fd, address, result);
    case __NR_recvmsg:
      if (result >= 0) complete_received(address);
      return result;
    case __NR_recvmmsg:
      if (result > 0 && !knows_credentials(fd)) return result;
      for (i64 i = 0; i < result; i++) complete_received(address + static_cast<u64>(i) * sizeof(MessageInArray));
      return result;
    default:
      return result;
  }
}

i64 trapped_message(Trap& trap) {
  const u64 number = trap.number;
  const i64 result = number == __NR_sendmsg    ? send_message(trap)
                     : number == __NR_sendmmsg ? send_messages(trap)
                                               : blocking_call(trap);
  return complete_message(*trap.context, result);
}

i64 trapped_getsockopt(Trap& trap) {
  if (static_cast<i32>(trap.arguments[1]) != kSocketLevel ||
      static_cast<i32>(trap.arguments[2]) != kOptionPeerCredentials) {
    return blocking_call(trap);
  }
  Credentials credentials;
  i32 bytes = sizeof credentials;
  const i64 result =
      raw_syscall(__NR_getsockopt, trap.arguments[0], kSocketLevel, kOptionPeerCredentials, &credentials, &bytes);
  if (result < 0) return result;
  i32 wanted;
  if (read_program(&wanted, trap.arguments[4], sizeof wanted) < 0) return -EFAULT;
  if (wanted < 0) return -EINVAL;
  credentials.pid = static_cast<i32>(virtual_result(credentials.pid));
  if (wanted < bytes) bytes = wanted;
  if (write_program(trap.arguments[3], &credentials, static_cast<u64>(bytes)) < 0) return -EFAULT;
  return write_program(trap.arguments[4], &bytes, sizeof bytes);
}

}  // namespace stasis::runtime
