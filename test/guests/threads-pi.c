// Mutexes with priority inheritance, held across the checkpoint and waited for; held by one thread and wanted by others.
// mode: checkpoint
#include <pthread.h>

#include "guest.h"

static pthread_mutex_t mutex;
static volatile int holding, go, entered;

static void* holder(void* unused) {
  (void)unused;
  CHECK(pthread_mutex_lock(&mutex) == 0);
  holding = 1;
  while (!go) guest_sleep_ms(5);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return NULL;
}

static void* waiter(void* unused) {
  (void)unused;
  CHECK(pthread_mutex_lock(&mutex) == 0);
  CHECK(go == 1);
  entered++;
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return NULL;
}

int main(void) {
  pthread_mutexattr_t attributes;
  pthread_t threads[4];
  CHECK(pthread_mutexattr_init(&attributes) == 0);
  CHECK(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT) == 0);
  CHECK(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK) == 0);
  CHECK(pthread_mutex_init(&mutex, &attributes) == 0);
  CHECK(pthread_create(&threads[0], NULL, holder, NULL) == 0);
  while (!holding) guest_sleep_ms(1);
  for (int i = 1; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, waiter, NULL) == 0);
  guest_sleep_ms(50);
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
  guest_checkpoint_here();
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY && pthread_mutex_unlock(&mutex) == EPERM && entered == 0);
  go = 1;
  for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(entered == 3 && pthread_mutex_lock(&mutex) == 0 && pthread_mutex_lock(&mutex) == EDEADLK);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return guest_pass();
}
