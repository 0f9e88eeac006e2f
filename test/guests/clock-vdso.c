// The vdso that the auxiliary vector names is a proper one: symbols by hash table and version, and clocks that agree
// with system calls. build: static musl
#include <elf.h>
#include <sys/auxv.h>
#include <sys/time.h>

#include "guest.h"

static const char* base;

static void* symbol(const char* name) {
  const Elf64_Ehdr* header = (const Elf64_Ehdr*)base;
  const Elf64_Phdr* segment = (const Elf64_Phdr*)(base + header->e_phoff);
  const Elf64_Dyn* dynamic = NULL;
  uint64_t bias = 0;
  int loads = 0;
  for (int i = 0; i < header->e_phnum; i++) {
    if (segment[i].p_type == PT_LOAD) bias = (uint64_t)base + segment[i].p_offset - segment[i].p_vaddr, loads++;
    if (segment[i].p_type == PT_DYNAMIC) dynamic = (const Elf64_Dyn*)(base + segment[i].p_offset);
  }
  CHECK(loads == 1 && dynamic);
  const Elf64_Sym* symbols = NULL;
  const uint32_t* hash = NULL;
  const uint16_t* versions = NULL;
  const char* names = NULL;
  for (; dynamic->d_tag; dynamic++) {
    const void* at = (const void*)(bias + dynamic->d_un.d_ptr);
    if (dynamic->d_tag == DT_SYMTAB) symbols = at;
    if (dynamic->d_tag == DT_STRTAB) names = at;
    if (dynamic->d_tag == DT_HASH) hash = at;
    if (dynamic->d_tag == DT_VERSYM) versions = at;
  }
  CHECK(symbols && names && versions);
  if (!hash) return NULL;
  for (uint32_t i = 1; i < hash[1]; i++)
    if (symbols[i].st_shndx && strcmp(names + symbols[i].st_name, name) == 0)
      return (void*)(bias + symbols[i].st_value);
  return NULL;
}

int main(void) {
  base = (const char*)getauxval(AT_SYSINFO_EHDR);
  CHECK(base && memcmp(base, ELFMAG, SELFMAG) == 0);
  int (*clock)(clockid_t, struct timespec*) = (int (*)(clockid_t, struct timespec*))symbol("__vdso_clock_gettime");
  int (*day)(struct timeval*, void*) = (int (*)(struct timeval*, void*))symbol("__vdso_gettimeofday");
  int (*cpu)(unsigned*, unsigned*, void*) = (int (*)(unsigned*, unsigned*, void*))symbol("__vdso_getcpu");
  time_t (*now)(time_t*) = (time_t (*)(time_t*))symbol("__vdso_time");
  int (*resolution)(clockid_t, struct timespec*) = (int (*)(clockid_t, struct timespec*))symbol("__vdso_clock_getres");
  CHECK(clock && day && cpu && now && resolution);
  static const clockid_t kClocks[] = {
      CLOCK_REALTIME,           CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,
      CLOCK_PROCESS_CPUTIME_ID, CLOCK_TAI};
  for (unsigned i = 0; i < sizeof kClocks / sizeof kClocks[0]; i++) {
    for (int round = 0; round < 100; round++) {
      struct timespec before, inside, after;
      CHECK(syscall(SYS_clock_gettime, kClocks[i], &before) == 0);
      CHECK(clock(kClocks[i], &inside) == 0);
      CHECK(syscall(SYS_clock_gettime, kClocks[i], &after) == 0);
      int64_t a = before.tv_sec * 1000000000L + before.tv_nsec, b = inside.tv_sec * 1000000000L + inside.tv_nsec,
              c = after.tv_sec * 1000000000L + after.tv_nsec;
      int64_t slack =
          kClocks[i] == CLOCK_PROCESS_CPUTIME_ID ? 0 : 2000;  // the kernel's two readings may round differently
      CHECK(a <= b + slack && b <= c + slack);
    }
  }
  struct timespec bad;
  CHECK(clock(12345, &bad) == -EINVAL);
  struct timeval time;
  CHECK(day(&time, NULL) == 0 && labs(time.tv_sec - now(NULL)) <= 1);
  unsigned number = ~0u;
  CHECK(cpu(&number, NULL, NULL) == 0 && number < 4096 && resolution(CLOCK_MONOTONIC, &bad) == 0 && bad.tv_nsec >= 1);
  int64_t last = 0;
  for (int i = 0; i < 100000; i++) {
    int64_t next = guest_clock_ns(CLOCK_MONOTONIC);
    CHECK(next >= last);
    last = next;
  }
  return guest_pass();
}
