// What a program has given away it does not get back: no_new_privs, capabilities, its own seccomp filter.
// mode: checkpoint
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "guest.h"

static void forbid(int call, int error) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof code[0], code};
  CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
}

static void capabilities(struct __user_cap_data_struct (*data)[2]) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  CHECK(syscall(SYS_capget, &header, *data) == 0);
}

int main(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2], after[2];
  capabilities(&data);
  data[0].effective &= ~(1u << CAP_SYS_NICE), data[0].permitted &= ~(1u << CAP_SYS_NICE);
  data[0].effective &= ~(1u << CAP_NET_RAW);  // only for now
  CHECK(syscall(SYS_capset, &header, data) == 0);
  capabilities(&data);
  CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  forbid(SYS_socketpair, 93);
  forbid(SYS_fchmod, 94);

  guest_checkpoint_here();

  capabilities(&after);
  CHECK(memcmp(data, after, sizeof data) == 0);
  CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1 && errno == 93);
  CHECK(syscall(SYS_fchmod, 1, 0600) == -1 && errno == 94);
  pid_t child = fork();
  if (child == 0) _exit(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1 && errno == 93 ? 7 : 1);
  int status;
  CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
  return guest_pass();
}
