// Floating point and vector registers hold their values: x87 stack and control word, MXCSR, and as much of SSE, AVX and AVX-512 as the CPU
// has. The program waits in raw system calls with everything loaded.
// mode: checkpoint
// build: static
#include <immintrin.h>
#include <stdalign.h>

#include "guest.h"

static alignas(64) uint8_t in[32][64], out[32][64];
static const char* go;

static long call3(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

// No library call and no compiled floating point between load and store.
__attribute__((target("general-regs-only"))) static void wait_here(void) {
  static const char ready[] = "READY\n";
  static const struct timespec step = {0, 10000000};
  if (!go) return;
  call3(SYS_write, 1, (long)ready, 6);
  while (call3(SYS_access, (long)go, F_OK, 0) != 0) call3(SYS_nanosleep, (long)&step, 0, 0);
}

#define LIST16(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(10) m(11) m(12) m(13) m(14) m(15)
#define LIST32(m) \
  LIST16(m) m(16) m(17) m(18) m(19) m(20) m(21) m(22) m(23) m(24) m(25) m(26) m(27) m(28) m(29) m(30) m(31)

#define LOAD_SSE(n) __asm__ volatile("movdqa %0, %%xmm" #n : : "m"(in[n]));
#define STORE_SSE(n) __asm__ volatile("movdqa %%xmm" #n ", %0" : "=m"(out[n]));
#define LOAD_AVX(n) __asm__ volatile("vmovdqa %0, %%ymm" #n : : "m"(in[n]));
#define STORE_AVX(n) __asm__ volatile("vmovdqa %%ymm" #n ", %0" : "=m"(out[n]));
#define LOAD_512(n) __asm__ volatile("vmovdqa64 %0, %%zmm" #n : : "m"(in[n]));
#define STORE_512(n) __asm__ volatile("vmovdqa64 %%zmm" #n ", %0" : "=m"(out[n]));

static void through_sse(void) {
  LIST16(LOAD_SSE) wait_here();
  LIST16(STORE_SSE)
}
static void through_avx(void) {
  LIST16(LOAD_AVX) wait_here();
  LIST16(STORE_AVX)
}
static void through_512(void) {
  LIST32(LOAD_512) wait_here();
  LIST32(STORE_512)
}

int main(void) {
  go = getenv("GUEST_GO");
  guest_fill(in, sizeof in, 1);
  uint32_t mxcsr = 0x1f80 | 3 << 13 | 1 << 15, mxcsr_after;  // round to zero, flush to zero
  uint16_t control = 0x0f7f, control_after, status_after;    // round to zero, all masked
  double pushed[5] = {1.5, -2.25, 3e300, 1e-310, 42}, popped[5];
  int registers = 16, bytes = 16;
  __builtin_cpu_init();
  int avx = __builtin_cpu_supports("avx"), wide = __builtin_cpu_supports("avx512f");
  __asm__ volatile("fninit; fldcw %0" : : "m"(control));
  for (int i = 0; i < 5; i++) __asm__ volatile("fldl %0" : : "m"(pushed[i]));
  __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
  if (wide)
    registers = 32, bytes = 64, through_512();
  else if (avx)
    bytes = 32, through_avx();
  else
    through_sse();
  __asm__ volatile("stmxcsr %0" : "=m"(mxcsr_after));
  __asm__ volatile("fnstcw %0; fnstsw %1" : "=m"(control_after), "=m"(status_after));
  for (int i = 4; i >= 0; i--) __asm__ volatile("fstpl %0" : "=m"(popped[i]));
  mxcsr &= ~0x3fu;
  CHECK((mxcsr_after & ~0x3fu) == mxcsr && (control_after & 0xf3f) == (control & 0xf3f));
  CHECK((status_after >> 11 & 7) == 3);  // five of eight slots in use
  CHECK(memcmp(pushed, popped, sizeof pushed) == 0);
  for (int i = 0; i < registers; i++) CHECK(memcmp(in[i], out[i], bytes) == 0);
  return guest_pass();
}
