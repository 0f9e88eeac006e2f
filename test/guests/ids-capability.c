// Capabilities of a process by number: its own, another's, nobody's, and the version that the kernel answers with.
#include <linux/capability.h>

#include "ids.h"

static long get(unsigned version, pid_t pid, struct __user_cap_data_struct* data) {
  struct __user_cap_header_struct header = {version, pid};
  long result = syscall(SYS_capget, &header, data);
  CHECK(header.pid == pid);
  return result;
}

int main(void) {
  struct __user_cap_data_struct own[2] = {0}, same[2] = {0}, other[2] = {0};
  CHECK(get(_LINUX_CAPABILITY_VERSION_3, 0, own) == 0);
  CHECK(get(_LINUX_CAPABILITY_VERSION_3, getpid(), same) == 0 && memcmp(own, same, sizeof own) == 0);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, getpid()};
  CHECK(syscall(SYS_capset, &header, own) == 0);
  pid_t child = guest_waiting_child();
  CHECK(get(_LINUX_CAPABILITY_VERSION_3, child, other) == 0 && memcmp(own, other, sizeof own) == 0);
  header.pid = child;
  CHECK(syscall(SYS_capset, &header, own) == -1 && errno == EPERM);
  guest_end_child(child);
  CHECK(get(_LINUX_CAPABILITY_VERSION_3, child, other) == -1 && errno == ESRCH);
  CHECK(get(_LINUX_CAPABILITY_VERSION_3, -1, other) == -1 && errno == EINVAL);
  header = (struct __user_cap_header_struct){7, 0};
  CHECK(syscall(SYS_capget, &header, NULL) == 0 && header.version == _LINUX_CAPABILITY_VERSION_3);
  CHECK(syscall(SYS_capget, (void*)8, own) == -1 && errno == EFAULT);
  return guest_pass();
}
