// A program that was root and changed its users, groups, capabilities and securebits.
// mode: checkpoint
// needs: CAP_SETUID
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

#include "guest.h"

int main(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2], after[2];
  gid_t groups[] = {3, 1005, 70000}, found[8];
  CHECK(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP) == 0);
  CHECK(setgroups(3, groups) == 0);
  CHECK(setresgid(1001, 1002, 1003) == 0 && setresuid(2001, 2002, 2001) == 0);
  CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
  CHECK(syscall(SYS_capget, &header, data) == 0);
  data[0].permitted = 1u << CAP_NET_BIND_SERVICE | 1u << CAP_KILL | 1u << CAP_SETUID | 1u << CAP_DAC_READ_SEARCH;
  data[0].effective = 1u << CAP_KILL | 1u << CAP_DAC_READ_SEARCH;  // to see the go-file
  data[0].inheritable = 1u << CAP_NET_BIND_SERVICE;
  data[1].permitted = data[1].effective = data[1].inheritable = 0;
  CHECK(syscall(SYS_capset, &header, data) == 0);
  CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0) == 0);

  guest_checkpoint_here();

  uid_t u[3], g[3];
  CHECK(getresuid(&u[0], &u[1], &u[2]) == 0 && u[0] == 2001 && u[1] == 2002 && u[2] == 2001);
  CHECK(getresgid(&g[0], &g[1], &g[2]) == 0 && g[0] == 1001 && g[1] == 1002 && g[2] == 1003);
  CHECK(setfsuid((uid_t)-1) == 2002 && setfsgid((gid_t)-1) == 1002);
  CHECK(getgroups(8, found) == 3 && found[0] == 3 && found[1] == 1005 && found[2] == 70000);
  CHECK(prctl(PR_GET_SECUREBITS) == (SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP));
  CHECK(syscall(SYS_capget, &header, after) == 0 && memcmp(data, after, sizeof data) == 0);
  CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_BIND_SERVICE, 0, 0) == 1);
  CHECK(prctl(PR_CAPBSET_READ, CAP_NET_BIND_SERVICE) == 1);
  return guest_pass();
}
