// Alternate signal stacks of the main thread and of another one are in use after a restore.
// mode: checkpoint
// build: static
#include <pthread.h>
#include <sys/mman.h>

#include "guest.h"

enum { kBytes = 64 * 1024 };

static __thread char* stack;
static __thread int handled;
static int wake[2];

static void on_signal(int signal) {
  char local;
  CHECK(signal == SIGUSR1 || signal == SIGUSR2);
  CHECK((&local >= stack && &local < stack + kBytes) == (signal == SIGUSR1));
  handled++;
}

static void set_stack(void) {
  stack = (char*)mmap(NULL, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack_t alternate = {.ss_sp = stack, .ss_size = kBytes};
  CHECK(stack != MAP_FAILED && sigaltstack(&alternate, NULL) == 0);
}

static void use_stack(void) {
  stack_t current;
  CHECK(sigaltstack(NULL, &current) == 0 && current.ss_sp == stack && current.ss_size == kBytes &&
        current.ss_flags == 0);
  CHECK(raise(SIGUSR1) == 0 && raise(SIGUSR2) == 0 && handled == 2);
}

static void* body(void* unused) {
  char byte;
  set_stack();
  CHECK(write(wake[1], "r", 1) == 1);
  while (!guest_may_go()) guest_sleep_ms(10);
  use_stack();
  CHECK(read(wake[0], &byte, 1) == 1);
  return unused;
}

int main(void) {
  struct sigaction on_stack = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK}, plain = {.sa_handler = on_signal};
  CHECK(sigaction(SIGUSR1, &on_stack, NULL) == 0 && sigaction(SIGUSR2, &plain, NULL) == 0 && pipe(wake) == 0);
  set_stack();
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, body, NULL) == 0);
  guest_sleep_ms(50);
  guest_checkpoint_here();
  use_stack();
  CHECK(pthread_join(thread, NULL) == 0);
  return guest_pass();
}
