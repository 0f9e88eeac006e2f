// Restartable sequences: after a restore the kernel still writes the cpu number where the program registered it, and still aborts a critical
// section that is left, so a counter kept by such sections is exact.
// mode: checkpoint
#include <pthread.h>
#include <sched.h>
#include <stddef.h>

#include "guest.h"

// The kernel's struct rseq (rseq(2)); glibc registers one per thread at __rseq_offset from the thread pointer.
struct area {
  uint32_t cpu_id_start, cpu_id;
  uint64_t critical;
  uint32_t flags;
};
struct critical_section {
  uint32_t version, flags;
  uint64_t start, length, abort;
};

extern const ptrdiff_t __rseq_offset;
extern const unsigned __rseq_size;

static volatile int stop;
static uint64_t aborts, commits;

static volatile struct area* own_area(void) {
  return (volatile struct area*)((char*)__builtin_thread_pointer() + __rseq_offset);
}

// Spins `spins` rounds inside a critical section, then commits by one increment; returns 0 if it was aborted.
__attribute__((noinline)) static int section(uint64_t* counter, uint64_t spins) {
  int committed = 1;
  __asm__ volatile(
      ".pushsection __rseq_cs, \"aw\"\n .balign 32\n"
      "1: .long 0, 0\n .quad 2f, 3f - 2f, 4f\n .popsection\n"
      "lea 1b(%%rip), %%rax\n mov %%rax, %[slot]\n"
      "2: dec %[spins]\n jnz 2b\n"
      "incq %[counter]\n"
      "3: jmp 5f\n"
      ".long 0x53053053\n"
      "4: movl $0, %[committed]\n"
      "5:\n"
      : [slot] "=m"(own_area()->critical), [counter] "+m"(*counter), [committed] "+r"(committed), [spins] "+r"(spins)
      :
      : "rax", "cc", "memory");
  return committed;
}

static void* run(void* unused) {
  uint64_t own = 0, expected = 0;
  while (!stop) {
    if (section(&own, 3000000))
      expected++, __atomic_fetch_add(&commits, 1, __ATOMIC_SEQ_CST);
    else
      __atomic_fetch_add(&aborts, 1, __ATOMIC_SEQ_CST);
    CHECK(own == expected);
    CHECK(own_area()->cpu_id < 4096);
  }
  return unused;
}

int main(void) {
  CHECK(__rseq_size >= 20);  // glibc 2.35 and later register; GLIBC_TUNABLES=glibc.pthread.rseq=0 would not
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, run, NULL) == 0);
  guest_sleep_ms(50);
  guest_checkpoint_here();
  uint64_t before = commits;
  cpu_set_t allowed, one;
  CHECK(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    guest_sleep_ms(2);
    CHECK(own_area()->cpu_id == (uint32_t)cpu && own_area()->cpu_id_start == (uint32_t)cpu);
  }
  CHECK(sched_setaffinity(0, sizeof allowed, &allowed) == 0);
  for (int i = 0; commits < before + 20; i++) {
    CHECK(i < 2000);
    guest_sleep_ms(10);
  }
  stop = 1;
  for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  return guest_pass();
}
