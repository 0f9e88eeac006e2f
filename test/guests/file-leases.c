// Leases are held after a restore, and break with the signal that was asked for.
// mode: checkpoint
// build: static
#include "guest.h"

static volatile sig_atomic_t broken;
static void on_break(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)context;
  broken = info->si_fd;
}

int main(void) {
  char path[512];
  int made = open(guest_path(&path, "read"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  CHECK(made >= 0 && close(made) == 0);
  int reads = open(path, O_RDONLY), other = open(guest_path(&path, "other"), O_RDONLY | O_CREAT, 0600);
  struct sigaction action = {.sa_sigaction = on_break, .sa_flags = SA_SIGINFO};
  CHECK(sigaction(SIGRTMIN + 3, &action, NULL) == 0);
  // Who copies the files only reads them, which breaks no read lease.
  CHECK(reads >= 0 && fcntl(reads, F_SETLEASE, F_RDLCK) == 0 && other >= 0 && fcntl(other, F_SETLEASE, F_RDLCK) == 0);
  CHECK(fcntl(reads, F_SETSIG, SIGRTMIN + 3) == 0);

  guest_checkpoint_here();

  CHECK(fcntl(reads, F_GETLEASE) == F_RDLCK && fcntl(other, F_GETLEASE) == F_RDLCK);
  CHECK(fcntl(reads, F_GETSIG) == SIGRTMIN + 3);
  CHECK(open(guest_path(&path, "read"), O_WRONLY | O_NONBLOCK) == -1 && errno == EWOULDBLOCK);
  for (int i = 0; i < 1000 && !broken; i++) guest_sleep_ms(1);
  CHECK(broken == reads);
  CHECK(fcntl(reads, F_SETLEASE, F_UNLCK) == 0 && fcntl(other, F_SETLEASE, F_UNLCK) == 0);
  CHECK(open(path, O_WRONLY | O_NONBLOCK) >= 0);
  return guest_pass();
}
