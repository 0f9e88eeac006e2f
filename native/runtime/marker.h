// The marker: what the runtime is told through argv[0]. Its grammar is in wire/launch.h.
#pragma once

#include "runtime/vdso.h"
#include "wire/launch.h"
#include "wire/types.h"

namespace stasis::runtime {

struct Marker {
  bool first_launch = false;     // filter
  bool restore = false;          // restore
  bool restored_filter = false;  // clock
  i32 plan_socket = -1;          // socket
  i32 plan_fd = -1;              // plan
  i32 report_fd = -1;            // report
  i32 done_fd = -1;              // done
  i32 program_fd = -1;           // close
  i32 ids_fd = -1;               // ids
  u32 parts = 0;                 // parts: of the filter, beside the base
  u32 stacked_filters = 0;       // filters
  u32 forgone = 0;               // forgone
  u32 name_index = 0;  // name: index in the program's argv of the string for AT_EXECFN, plus 1; 0: the program's path
  i64 monotonic_offset_ns = 0;    // mono
  i64 boottime_offset_ns = 0;     // boot
  VdsoLayout vdso{};              // vdso
  const char* runtime_path = "";  // rt; points into the text parsed
};

// True if `text` starts as a marker does.
bool is_marker(const char* text);

// False if `text` is no marker or has an unknown key or no runtime path.
bool parse_marker(const char* text, Marker* marker);

// Writes the marker of `marker` to `to` (wire::kMarkerMaxBytes). Fields at their default are left out. Returns the
// length.
u64 format_marker(const Marker& marker, char* to);

}  // namespace stasis::runtime
