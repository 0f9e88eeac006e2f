// What every guest program shares. A guest shows one behaviour and prints PASS as its last line; anything else is a failure.
//
// Header comment lines that the runner (guests.test.ts) and scripts/build-guests.sh understand, each on a line of its own:
//   // mode: checkpoint     the guest calls guest_checkpoint_here() once; it is checkpointed and restored there
//   // needs: CAP_SETUID   not run as a user without privileges
//   // pause: SECONDS       how long the runner lets pass between the checkpoint and each restore
//   // build: static musl   linked in these ways also
//   // flags: -mavx2        more compiler flags
//
// Environment: GUEST_AT_BIRTH asks a guest without a mode to wait for its checkpoint before main(), so that all it does happens in a
// restored process. GUEST_GO names the file whose appearance ends guest_checkpoint_here(); GUEST_DIR is a directory for the guest's files,
// which the runner puts back to its state at the checkpoint before every restore. A guest leaves its files where they are.
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition)                                          \
  do {                                                            \
    if (!(condition)) guest_fail(__FILE__, __LINE__, #condition); \
  } while (0)

// Ends the guest, saying which expectation did not hold. Async-signal-safe.
__attribute__((noreturn, unused)) static void guest_fail(const char* file, int line, const char* condition) {
  int error = errno;
  dprintf(1, "FAIL %s:%d: %s (errno %d)\n", file, line, condition, error);
  _exit(1);
}

__attribute__((unused)) static int guest_pass(void) {
  fflush(NULL);
  dprintf(1, "PASS\n");
  return 0;
}

__attribute__((unused)) static int64_t guest_clock_ns(clockid_t clock) {
  struct timespec now;
  CHECK(clock_gettime(clock, &now) == 0);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

__attribute__((unused)) static void guest_sleep_ms(int ms) {
  struct timespec left = {ms / 1000, (ms % 1000) * 1000000L};
  while (nanosleep(&left, &left) == -1) CHECK(errno == EINTR);
}

// True once the runner has let the guest go on.
__attribute__((unused)) static int guest_may_go(void) {
  static const char* go;
  if (!go) go = getenv("GUEST_GO");
  return !go || access(go, F_OK) == 0;
}

// The checkpoint happens here: says READY and sleeps in short steps until the go-file appears. Async-signal-safe after a first call of
// guest_may_go().
__attribute__((unused)) static void guest_checkpoint_here(void) {
  dprintf(1, "READY\n");
  while (!guest_may_go()) guest_sleep_ms(10);
}

// All ids a process has of itself.
__attribute__((unused)) static void guest_own_ids(pid_t (*ids)[5]) {
  pid_t own[5] = {getpid(), (pid_t)syscall(SYS_gettid), getppid(), getpgrp(), getsid(0)};
  memcpy(ids, own, sizeof own);
}

// Takes GUEST_AT_BIRTH back in its place: it is for this process only and not for what it executes.
__attribute__((constructor)) static void guest_wait_at_birth(void) {
  pid_t before[5], after[5];
  char* asked = getenv("GUEST_AT_BIRTH");
  if (!asked || *asked != '1') return;
  *asked = '0';
  guest_own_ids(&before);
  guest_checkpoint_here();
  guest_own_ids(&after);
  CHECK(memcmp(before, after, sizeof before) == 0);
}

// Path of a file in the guest's directory; the buffer is the caller's.
__attribute__((unused)) static const char* guest_path(char (*buffer)[512], const char* name) {
  const char* directory = getenv("GUEST_DIR");
  snprintf(*buffer, sizeof *buffer, "%s/%s", directory ? directory : ".", name);
  return *buffer;
}

// A byte pattern with no period that a page shares.
__attribute__((unused)) static void guest_fill(void* memory, size_t bytes, uint64_t seed) {
  uint8_t* p = (uint8_t*)memory;
  uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
  for (size_t i = 0; i < bytes; i++) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    p[i] = (uint8_t)x;
  }
}

__attribute__((unused)) static int guest_filled(const void* memory, size_t bytes, uint64_t seed) {
  const uint8_t* p = (const uint8_t*)memory;
  uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
  for (size_t i = 0; i < bytes; i++) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    if (p[i] != (uint8_t)x) return 0;
  }
  return 1;
}

__attribute__((unused)) static int guest_zero(const void* memory, size_t bytes) {
  const uint8_t* p = (const uint8_t*)memory;
  for (size_t i = 0; i < bytes; i++)
    if (p[i]) return 0;
  return 1;
}

// The state that a stat file of /proc shows, of a process or a thread.
static inline char guest_state_in(const char* path) {
  char text[512];
  int fd = open(path, O_RDONLY);
  ssize_t bytes = read(fd, text, sizeof text - 1);
  close(fd);
  CHECK(bytes > 0);
  text[bytes] = 0;
  return strrchr(text, ')')[2];
}
