// Per-thread state: TLS, thread-specific data, names, stacks, joining, and new threads after a restore.
// mode: checkpoint
// build: static musl
#include <pthread.h>
#include <sys/prctl.h>

#include "guest.h"

enum { kThreads = 12 };

static __thread int number;
static __thread char text[100] = "initial";
static pthread_key_t key;
static pthread_barrier_t ready;
static int wake[2], destroyed;

static void destroy(void* value) {
  __atomic_fetch_add(&destroyed, *(int*)value, __ATOMIC_SEQ_CST);
  free(value);
}

static void* body(void* argument) {
  int own = (int)(intptr_t)argument, *stored = (int*)malloc(sizeof(int));
  char name[16], expected[16], stack[20000];
  number = own;
  *stored = own * 3;
  snprintf(text, sizeof text, "thread %d", own);
  snprintf(expected, sizeof expected, "guest-%d", own);
  CHECK(prctl(PR_SET_NAME, expected) == 0 && pthread_setspecific(key, stored) == 0);
  guest_fill(stack, sizeof stack, own);
  pthread_barrier_wait(&ready);
  char byte;
  CHECK(read(wake[0], &byte, 1) == 1);
  CHECK(number == own && atoi(text + 7) == own && *(int*)pthread_getspecific(key) == own * 3);
  CHECK(prctl(PR_GET_NAME, name) == 0 && strcmp(name, expected) == 0);
  CHECK(guest_filled(stack, sizeof stack, own));
  errno = own;
  guest_sleep_ms(5);
  CHECK(errno == own);
  return (void*)(intptr_t)(own * 10);
}

static void run(int threads, int checkpoint) {
  pthread_t handles[kThreads];
  CHECK(pthread_barrier_init(&ready, NULL, threads + 1) == 0);
  for (int i = 0; i < threads; i++) CHECK(pthread_create(&handles[i], NULL, body, (void*)(intptr_t)(i + 1)) == 0);
  pthread_barrier_wait(&ready);
  if (checkpoint) guest_checkpoint_here();
  for (int i = 0; i < threads; i++) CHECK(write(wake[1], "x", 1) == 1);
  for (int i = 0; i < threads; i++) {
    void* result;
    CHECK(pthread_join(handles[i], &result) == 0 && (intptr_t)result == (i + 1) * 10);
  }
}

int main(void) {
  CHECK(pthread_key_create(&key, destroy) == 0 && pipe(wake) == 0);
  number = 4711;
  run(kThreads, 1);
  CHECK(number == 4711 && strcmp(text, "initial") == 0);
  CHECK(destroyed == 3 * kThreads * (kThreads + 1) / 2);
  run(kThreads, 0);
  return guest_pass();
}
