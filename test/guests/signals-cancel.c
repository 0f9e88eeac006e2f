// pthread_cancel in blocking calls, trapped or not: the cleanup handlers run and the thread ends.
// build: static musl
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "guest.h"

static volatile int begun, cleaned;
static int ends[2];

static void clean(void* value) { cleaned = (int)(intptr_t)value; }

static void* body(void* argument) {
  int way = (int)(intptr_t)argument;
  sigset_t none;
  sigemptyset(&none);
  struct epoll_event event;
  char byte;
  pthread_cleanup_push(clean, (void*)(intptr_t)(way + 1));
  begun = 1;
  for (;;) {
    switch (way) {
      case 0:
        ppoll(NULL, 0, NULL, &none);
        break;
      case 1:
        pselect(0, NULL, NULL, NULL, NULL, &none);
        break;
      case 2:
        sigsuspend(&none);
        break;
      case 3:
        epoll_pwait(epoll_create1(0), &event, 1, -1, &none);
        break;
      case 4:
        if (read(ends[0], &byte, 1) == 1) break;
        break;
      case 5:
        pause();
        break;
      default:
        guest_sleep_ms(100000);
    }
  }
  pthread_cleanup_pop(0);
  return NULL;
}

int main(void) {
  CHECK(pipe(ends) == 0);
  for (int way = 0; way < 7; way++) {
    for (int early = 0; early < 2; early++) {
      pthread_t thread;
      void* result;
      begun = 0;
      CHECK(pthread_create(&thread, NULL, body, (void*)(intptr_t)way) == 0);
      while (!early && !begun) guest_sleep_ms(1);
      if (!early) guest_sleep_ms(20);  // to be in the call
      CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
      CHECK(result == PTHREAD_CANCELED);
      CHECK(cleaned == way + 1 || early);
    }
  }
  return guest_pass();
}
