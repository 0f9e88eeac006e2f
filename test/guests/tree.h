// What guests of several processes share. The first process says READY once all are where they are to be checkpointed, and alone prints
// PASS. Others tell it by their exit status, or on a page that all share.
#pragma once

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "guest.h"

// A page that this process and those it makes share.
__attribute__((unused)) static void* tree_page(void) {
  void* page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(page != MAP_FAILED);
  return page;
}

__attribute__((unused)) static void tree_wait_until(atomic_int* word, int value) {
  for (int i = 0; atomic_load(word) < value; i++) {
    CHECK(i < 30000);
    guest_sleep_ms(1);
  }
}

__attribute__((unused)) static void tree_wait_for_go(void) {
  while (!guest_may_go()) guest_sleep_ms(10);
}

// The child's exit status; -signal if one ended it.
__attribute__((unused)) static int tree_status_of(pid_t pid) {
  int status = 0;
  pid_t got;
  do got = waitpid(pid, &status, 0);
  while (got == -1 && errno == EINTR);
  CHECK(got == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
