// The runtime's start: one image with two jobs, told by the marker in argv[0].
#include <linux/auxvec.h>
#include <linux/mman.h>

#include "runtime/ids.h"
#include "runtime/report.h"
#include "runtime/start.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

extern "C" char stasis_image_end[];

namespace stasis::runtime {

namespace {

// Keeps the whole window from the program's own mappings: what is not in use yet is reserved without access. Later
// users map over it with MAP_FIXED.
void reserve_window() {
  u64 begin = reinterpret_cast<u64>(stasis_image_end);
  raw_syscall(__NR_mmap, begin, wire::kWindowEnd - begin, PROT_NONE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
}

}  // namespace

u64 auxiliary_value(const u64* initial_stack, u64 type) {
  const u64* entry = initial_stack + 1 + initial_stack[0] + 1;
  while (*entry != 0) entry++;
  for (entry++; entry[0] != AT_NULL; entry += 2) {
    if (entry[0] == type) return entry[1];
  }
  return 0;
}

extern "C" [[noreturn]] void stasis_main(u64* initial_stack) {
  u64 count = initial_stack[0];
  auto** arguments = reinterpret_cast<char**>(initial_stack + 1);
  Marker marker;
  if (count < 1 || !parse_marker(arguments[0], &marker) || (!marker.restore && count < 3)) {
    report_fail(wire::Step::ParseMarker, 0, 0, 0, nullptr);
  }
  reserve_window();
  map_report(marker);
  start_process();
  if (i64 result = map_ids(marker); result < 0) {
    report_fail(wire::Step::MapIds, result, static_cast<u64>(marker.ids_fd), 0, nullptr);
  }
  copy_string(g_state.runtime_path, sizeof g_state.runtime_path, marker.runtime_path);
  if (marker.restore) restore_process(initial_stack, marker);
  launch_process(initial_stack, marker);
}

}  // namespace stasis::runtime
