// Mutexes that are held stay held by the same thread, also recursive and error-checking ones, which name their owner by thread id; and a
// robust one tells of an owner that dies after the restore.
// mode: checkpoint
// build: static
#include <pthread.h>

#include "guest.h"

static pthread_mutex_t plain, recursive, checked, robust, orphan, held_recursive, held_checked;
static int ready[2], wake[2];

static void make(pthread_mutex_t* mutex, int type, int robustness) {
  pthread_mutexattr_t attributes;
  CHECK(pthread_mutexattr_init(&attributes) == 0 && pthread_mutexattr_settype(&attributes, type) == 0);
  CHECK(pthread_mutexattr_setrobust(&attributes, robustness) == 0 && pthread_mutex_init(mutex, &attributes) == 0);
}

static void* owner(void* unused) {
  char byte;
  CHECK(pthread_mutex_lock(&robust) == 0 && pthread_mutex_lock(&orphan) == 0 && write(ready[1], "r", 1) == 1);
  CHECK(read(wake[0], &byte, 1) == 1);
  CHECK(pthread_mutex_unlock(&robust) == 0);
  return unused;  // ends with `orphan` held
}

static void* other(void* unused) {
  CHECK(pthread_mutex_trylock(&plain) == EBUSY && pthread_mutex_trylock(&recursive) == EBUSY);
  CHECK(pthread_mutex_trylock(&checked) == EBUSY && pthread_mutex_unlock(&checked) == EPERM);
  CHECK(pthread_mutex_trylock(&held_recursive) == EBUSY && pthread_mutex_unlock(&held_recursive) == EPERM);
  CHECK(pthread_mutex_trylock(&held_checked) == EBUSY && pthread_mutex_unlock(&held_checked) == EPERM);
  return unused;
}

static void try_from_another_thread(void) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, other, NULL) == 0 && pthread_join(thread, NULL) == 0);
}

int main(void) {
  char byte;
  make(&plain, PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED);
  make(&recursive, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED);
  make(&checked, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_STALLED);
  make(&held_recursive, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED);
  make(&held_checked, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_STALLED);
  make(&robust, PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
  make(&orphan, PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
  CHECK(pipe(ready) == 0 && pipe(wake) == 0);
  CHECK(pthread_mutex_lock(&plain) == 0);
  CHECK(pthread_mutex_lock(&recursive) == 0 && pthread_mutex_unlock(&recursive) == 0);
  CHECK(pthread_mutex_lock(&held_recursive) == 0 && pthread_mutex_lock(&held_checked) == 0);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, owner, NULL) == 0);
  CHECK(read(ready[0], &byte, 1) == 1);

  guest_checkpoint_here();

  CHECK(pthread_mutex_trylock(&robust) == EBUSY && pthread_mutex_trylock(&plain) == EBUSY);
  CHECK(pthread_mutex_lock(&checked) == 0 && pthread_mutex_lock(&checked) == EDEADLK);
  CHECK(pthread_mutex_lock(&held_checked) == EDEADLK && pthread_mutex_lock(&held_recursive) == 0);
  for (int i = 0; i < 3; i++) CHECK(pthread_mutex_lock(&recursive) == 0);
  try_from_another_thread();
  for (int i = 0; i < 3; i++) CHECK(pthread_mutex_unlock(&recursive) == 0);
  CHECK(pthread_mutex_unlock(&recursive) == EPERM);
  CHECK(pthread_mutex_unlock(&held_recursive) == 0 && pthread_mutex_unlock(&held_recursive) == 0);
  CHECK(pthread_mutex_unlock(&held_recursive) == EPERM && pthread_mutex_unlock(&held_checked) == 0);
  CHECK(pthread_mutex_unlock(&plain) == 0 && pthread_mutex_unlock(&checked) == 0);
  CHECK(write(wake[1], "x", 1) == 1 && pthread_join(thread, NULL) == 0);
  CHECK(pthread_mutex_lock(&robust) == 0);
  CHECK(pthread_mutex_lock(&orphan) == EOWNERDEAD && pthread_mutex_consistent(&orphan) == 0);
  CHECK(pthread_mutex_unlock(&orphan) == 0 && pthread_mutex_lock(&orphan) == 0);
  return guest_pass();
}
