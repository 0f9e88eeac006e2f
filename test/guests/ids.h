// What the guests of resource ids share. GUEST_SHIFT says by how much the runner has shifted the ids from the system's (stasis run
// --shift-ids): an id that was not translated then shows at once.
#pragma once

#include <sys/prctl.h>
#include <sys/wait.h>

#include "guest.h"

__attribute__((unused)) static int guest_shift(void) {
  const char* shift = getenv("GUEST_SHIFT");
  return shift ? atoi(shift) : 0;
}

// A pid or tid as the program may see it.
#define CHECK_ID(id) CHECK((id) > guest_shift())

// A child that waits for a signal, and ends with its parent in any case.
__attribute__((unused)) static pid_t guest_waiting_child(void) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  while (child == 0) pause();
  CHECK_ID(child);
  return child;
}

__attribute__((unused)) static void guest_end_child(pid_t child) {
  int status;
  CHECK(kill(child, SIGKILL) == 0);
  CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

// A number that nobody has any more.
__attribute__((unused)) static pid_t guest_ended_pid(void) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) _exit(0);
  CHECK_ID(child);
  CHECK(waitpid(child, NULL, 0) == child);
  return child;
}
