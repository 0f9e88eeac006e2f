// The functions behind the entry points of the own vdso (vdso_page.S): the host's, plus the clock offsets. They run on
// the program's stack in the program's thread, as often as a program asks for the time: no locks, and no system calls
// but those of the host's vdso.
#include "runtime/clock.h"
#include "runtime/fast_call.h"
#include "runtime/ids.h"
#include "runtime/ids_kinds.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/vdso.h"

namespace stasis::runtime {

STASIS_HOT HostVdso g_host_vdso;
STASIS_HOT VdsoLayout g_vdso_layout;

namespace {

// A clock of a process or thread by the id that the kernel knows. Negative clock ids name one.
bool is_known_clock(i32* clock_id) {
  if (*clock_id >= 0 || !ids_on()) return true;
  return outside_fast_call([clock_id] { return translate_clock(*clock_id, clock_id) == 0; });
}

}  // namespace

extern "C" {

i32 stasis_vdso_clock_gettime(i32 clock_id, Timespec* time) {
  if (!is_known_clock(&clock_id)) return -EINVAL;
  for (;;) {
    const i64 offset = clock_offset(static_cast<u64>(clock_id));
    const i32 result = g_host_vdso.clock_gettime != nullptr
                           ? g_host_vdso.clock_gettime(clock_id, time)
                           : static_cast<i32>(raw_syscall(__NR_clock_gettime, clock_id, time));
    if (result != 0) return result;
    // A signal's handler that ran here may have been checkpointed: the reading is then of another host, or of long ago,
    // and the offset is not what it was.
    __asm__ volatile("" ::: "memory");
    if (clock_offset(static_cast<u64>(clock_id)) != offset) continue;
    if (offset != 0) *time = add_to_time(*time, offset);
    return result;
  }
}

i32 stasis_vdso_gettimeofday(void* time, void* zone) {
  if (g_host_vdso.gettimeofday != nullptr) return g_host_vdso.gettimeofday(time, zone);
  return static_cast<i32>(raw_syscall(__NR_gettimeofday, time, zone));
}

i64 stasis_vdso_time(i64* time) {
  return g_host_vdso.time != nullptr ? g_host_vdso.time(time) : raw_syscall(__NR_time, time);
}

i32 stasis_vdso_getcpu(u32* cpu, u32* node, void* unused) {
  if (g_host_vdso.getcpu != nullptr) return g_host_vdso.getcpu(cpu, node, unused);
  return static_cast<i32>(raw_syscall(__NR_getcpu, cpu, node, unused));
}

i32 stasis_vdso_clock_getres(i32 clock_id, Timespec* resolution) {
  if (!is_known_clock(&clock_id)) return -EINVAL;
  if (g_host_vdso.clock_getres != nullptr) return g_host_vdso.clock_getres(clock_id, resolution);
  return static_cast<i32>(raw_syscall(__NR_clock_getres, clock_id, resolution));
}

}  // extern "C"

}  // namespace stasis::runtime
