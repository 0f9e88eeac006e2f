// Owners of descriptors (F_SETOWN and its ioctls), owners of record locks, and the groups and sessions of terminals.
//
// What goes in is translated into a copy, what comes out is translated from one: no program ever sees, not even for an
// instant, a system id in its own memory here.
#include <linux/fcntl.h>

#include "runtime/ids.h"
#include "runtime/program_memory.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

// <asm-generic/fcntl.h>, <asm-generic/ioctls.h>, <asm-generic/sockios.h>, which do not go together with <linux/fcntl.h>
// in every version of the headers.
constexpr u32 kOfdGetLock = 36;
constexpr i32 kOwnerThread = 0, kOwnerProcess = 1, kOwnerGroup = 2;
constexpr u32 kGetTerminalGroup = 0x540f, kSetTerminalGroup = 0x5410, kGetTerminalSession = 0x5429;
constexpr u32 kSetOwner = 0x8901, kSetSocketOwner = 0x8902, kGetOwner = 0x8903, kGetSocketOwner = 0x8904;
constexpr i32 kNoNegative = static_cast<i32>(0x80000000);  // EINVAL as the owner of anything

struct DescriptorOwner {  // struct f_owner_ex
  i32 type;
  i32 id;
};

struct RecordLock {  // struct flock
  u16 type, whence;
  i64 start, bytes;
  i32 pid;
};
static_assert(sizeof(RecordLock) == 32);

bool is_group(const DescriptorOwner& owner) { return owner.type == kOwnerGroup; }

// F_GETOWN gives a group's id negated, which for small ids looks like an errno; so the call that tells both apart is
// used for either.
i64 get_owner(u64 fd, DescriptorOwner* owner) {
  const i64 result = raw_syscall(__NR_fcntl, fd, F_GETOWN_EX, owner);
  if (result < 0) return result;
  owner->id = static_cast<i32>(virtual_result(owner->id, is_group(*owner) ? IdFor::Group : IdFor::Process));
  return 0;
}

i64 set_owner(u64 fd, i32 virtual_owner) {
  i32 system_owner;
  if (virtual_owner == kNoNegative) return -EINVAL;
  if (!system_target(virtual_owner, &system_owner)) return -ESRCH;
  return raw_syscall(__NR_fcntl, fd, F_SETOWN, system_owner);
}

// -EBADF if nothing is open there, which the kernel says before it looks at the rest.
i64 check_descriptor(u64 fd) { return raw_syscall(__NR_fcntl, fd, F_GETFD); }

i64 set_owner_ex(u64 fd, u64 address) {
  DescriptorOwner owner;
  if (const i64 result = check_descriptor(fd); result < 0) return result;
  if (read_program(&owner, address, sizeof owner) < 0) return -EFAULT;
  if (owner.type < kOwnerThread || owner.type > kOwnerGroup) return -EINVAL;
  if (owner.id != 0) {
    const i64 id = owner.id < 0 ? -ESRCH : system_of(owner.id, is_group(owner) ? IdFor::Group : IdFor::Process);
    if (id < 0) return id;
    owner.id = static_cast<i32>(id);
  }
  return raw_syscall(__NR_fcntl, fd, F_SETOWN_EX, &owner);
}

i64 get_owner_ex(u64 fd, u64 address) {
  DescriptorOwner owner;
  const i64 result = get_owner(fd, &owner);
  return result < 0 ? result : write_program(address, &owner, sizeof owner);
}

// The holder of a lock is -1 for one of an open file description, and negative for one on another host.
i64 get_lock(Trap& trap) {
  RecordLock lock;
  if (const i64 result = check_descriptor(trap.arguments[0]); result < 0) return result;
  if (read_program(&lock, trap.arguments[2], sizeof lock) < 0) return -EFAULT;
  const i64 result = raw_syscall(__NR_fcntl, trap.arguments[0], trap.arguments[1], &lock);
  if (result < 0) return result;
  if (lock.type != F_UNLCK) lock.pid = static_cast<i32>(virtual_result(lock.pid));
  return write_program(trap.arguments[2], &lock, sizeof lock);
}

// The call stops a process of a background group by SIGTTOU, unless that is blocked; so it is made with the program's
// own mask (drivers/tty/tty_jobctrl.c, __tty_check_change).
i64 set_terminal_group(Trap& trap) {
  i32 group;
  if (read_program(&group, trap.arguments[2], sizeof group) == 0 && group > 0) {
    const i64 system_group = system_of(group, IdFor::Group);
    // A number that no process can have lets the kernel say what else may be wrong first.
    group = system_group < 0 ? static_cast<i32>(wire::kPidLimit) : static_cast<i32>(system_group);
    trap.arguments[2] = reinterpret_cast<u64>(&group);
  }
  return blocking_call(trap);
}

i64 get_terminal_id(Trap& trap, IdFor what) {
  i32 id;
  const i64 result = raw_syscall(__NR_ioctl, trap.arguments[0], trap.arguments[1], &id);
  if (result < 0) return result;
  id = static_cast<i32>(virtual_result(id, what));
  return write_program(trap.arguments[2], &id, sizeof id);
}

// A number that nobody can have makes the kernel say what it says of a stranger; memory that cannot be read is left to it.
i64 set_socket_owner(Trap& trap) {
  i32 owner;
  if (read_program(&owner, trap.arguments[2], sizeof owner) == 0 && owner != kNoNegative) {
    i32 system_owner;
    if (!system_target(owner, &system_owner)) system_owner = static_cast<i32>(wire::kPidLimit);
    owner = system_owner;
    trap.arguments[2] = reinterpret_cast<u64>(&owner);
  }
  return raw_syscall(__NR_ioctl, trap.arguments[0], trap.arguments[1], trap.arguments[2]);
}

i64 get_socket_owner(Trap& trap) {
  i32 value;
  const i64 result = raw_syscall(__NR_ioctl, trap.arguments[0], trap.arguments[1], &value);
  if (result < 0) return result;
  value = value < 0 ? -static_cast<i32>(virtual_of(static_cast<u32>(-value), IdFor::Group))
                    : static_cast<i32>(virtual_result(value));
  return write_program(trap.arguments[2], &value, sizeof value);
}

}  // namespace

i64 trapped_fcntl(Trap& trap) {
  const u64 fd = trap.arguments[0];
  if (static_cast<i32>(fd) == parked_fd()) return -EBADF;
  switch (static_cast<u32>(trap.arguments[1])) {
    case F_SETOWN: {
      const i64 result = check_descriptor(fd);
      return result < 0 ? result : set_owner(fd, static_cast<i32>(trap.arguments[2]));
    }
    case F_GETOWN: {
      DescriptorOwner owner;
      const i64 result = get_owner(fd, &owner);
      if (result < 0) return result;
      return is_group(owner) ? -static_cast<i64>(owner.id) : owner.id;
    }
    case F_SETOWN_EX:
      return set_owner_ex(fd, trap.arguments[2]);
    case F_GETOWN_EX:
      return get_owner_ex(fd, trap.arguments[2]);
    case F_GETLK:
    case kOfdGetLock:
      return get_lock(trap);
    default:
      return blocking_call(trap);
  }
}

i64 trapped_ioctl(Trap& trap) {
  switch (static_cast<u32>(trap.arguments[1])) {
    case kGetTerminalGroup:
      return get_terminal_id(trap, IdFor::Group);
    case kGetTerminalSession:
      return get_terminal_id(trap, IdFor::Session);
    case kSetTerminalGroup:
      return set_terminal_group(trap);
    case kSetOwner:
    case kSetSocketOwner:
      return set_socket_owner(trap);
    case kGetOwner:
    case kGetSocketOwner:
      return get_socket_owner(trap);
    default:
      return blocking_call(trap);
  }
}

}  // namespace stasis::runtime
