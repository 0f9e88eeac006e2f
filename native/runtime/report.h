// Failures inside the runtime: the shared report page of a launch or restore that a keeper watches, else one line on
// stderr.
#pragma once

#include "runtime/marker.h"
#include "wire/report.h"
#include "wire/types.h"

namespace stasis::runtime {

// Maps the report page of `marker.report_fd`, if there is one. A failure to map leaves reports on stderr.
void map_report(const Marker& marker);

// Moves the mapped page, if there is one, to `address`, for a restore that is about to clear memory around it.
void move_report(u64 address);

// The mapped page, or null.
wire::Report* report_page();

// Which process of several the caller is, for its failures.
void report_process(i32 virtual_pid);

// Whether somebody has reported a failure.
bool report_has_failed();

// Ends the process with status 126. `error` is -errno or errno, `text` may be null. Of several processes that fail, the
// first one's words are kept.
[[noreturn]] void report_fail(wire::Step step, i64 error, u64 subject, u64 extent, const char* text);

// Marks success.
void report_done();

// Gives up the report page and closes the report and done fds: the last thing before the program runs.
void close_report(const Marker& marker);

}  // namespace stasis::runtime
