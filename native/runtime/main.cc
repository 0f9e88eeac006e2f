// The runtime's start: one image with two jobs, told by the marker in argv[0].
#include <linux/auxvec.h>
#include <linux/mman.h>

#include "runtime/ids.h"
#include "runtime/report.h"
#include "runtime/start.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/vdso.h"

extern "C" char stasis_image_end[];

namespace stasis::runtime {

namespace {

void reserve(u64 begin, u64 end) {
  raw_syscall(__NR_mmap, begin, end - begin, PROT_NONE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
}

}  // namespace

void reserve_window() {
  const u64 image_end = reinterpret_cast<u64>(stasis_image_end);
  const u64 end = ids_on() ? wire::kIdTableBase : wire::kWindowEnd;
  const u64 vdso_bytes = g_vdso_layout.count != 0 ? g_vdso_layout.bytes() : wire::kHostVdsoMaxBytes;
  reserve(image_end, wire::kHostVdsoHome);
  reserve(wire::kHostVdsoHome + vdso_bytes, end);
}

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
  map_report(marker);
  // Nothing is written that is 0 already: that would cost a page.
  if (marker.stacked_filters != 0) g_state.stacked_filters = marker.stacked_filters;
  if (marker.forgone != 0) g_private.forgone = marker.forgone;
  start_process();
  if (i64 result = map_ids(marker); result < 0) {
    report_fail(wire::Step::MapIds, result, static_cast<u64>(marker.ids_fd), 0, nullptr);
  }
  copy_string(g_state.runtime_path, sizeof g_state.runtime_path, marker.runtime_path);
  if (marker.restore) restore_process(initial_stack, marker);
  launch_process(initial_stack, marker);
}

}  // namespace stasis::runtime
