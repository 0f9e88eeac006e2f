// Failures inside the runtime (see report.h).
#include "runtime/report.h"

#include <linux/mman.h>

#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "wire/layout.h"

namespace stasis::runtime {

namespace {

STASIS_HOT wire::Report* g_report;
i32 g_process_of_report;

constexpr i32 kFailureStatus = 126;

// Words for the steps of a launch; a restore always has a report page, and the host has the words for its steps.
const char* words_of(wire::Step step) {
  switch (step) {
    case wire::Step::ParseMarker:
      return "this file is started by `stasis run`, not by hand";
    case wire::Step::InstallFilter:
      return "installing the seccomp filter";
    case wire::Step::InstallHandler:
      return "installing the signal handler";
    case wire::Step::OpenProgram:
      return "opening the program";
    case wire::Step::LoadProgram:
      return "loading the program";
    case wire::Step::OpenInterpreter:
      return "opening the program's loader";
    case wire::Step::LoadInterpreter:
      return "loading the program's loader";
    case wire::Step::ExecProgram:
      return "executing the program";
    case wire::Step::MoveVdso:
      return "moving the vdso";
    case wire::Step::MapPlan:
      return "mapping the restore plan";
    case wire::Step::MapIds:
      return "mapping the table of ids";
    default:
      return "rebuilding the process";
  }
}

void print_failure(wire::Step step, i64 error, const char* text) {
  char line[640];
  char* end = write_text(line, "stasis: ");
  end = write_text(end, words_of(step));
  if (text != nullptr && *text != 0) {
    end = write_text(end, ": ");
    end += copy_string(end, 512, text);
  }
  if (error != 0) {
    end = write_text(end, ": errno ");
    end = write_signed(end, error);
  }
  end = write_text(end, "\n");
  raw_syscall(__NR_write, 2, line, end - line);
}

}  // namespace

void map_report(const Marker& marker) {
  if (marker.report_fd < 0) return;
  i64 page = raw_syscall(__NR_mmap, 0, wire::kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, marker.report_fd, 0);
  if (!is_error(page)) g_report = reinterpret_cast<wire::Report*>(page);
}

void move_report(u64 address) {
  if (g_report == nullptr) return;
  i64 moved =
      raw_syscall(__NR_mremap, g_report, wire::kPageBytes, wire::kPageBytes, MREMAP_MAYMOVE | MREMAP_FIXED, address);
  if (is_error(moved)) report_fail(wire::Step::MapPlan, moved, address, wire::kPageBytes, nullptr);
  g_report = reinterpret_cast<wire::Report*>(address);
}

wire::Report* report_page() { return g_report; }

void report_fail(wire::Step step, i64 error, u64 subject, u64 extent, const char* text) {
  if (error < 0) error = -error;
  u32 pending = 0;
  if (g_report != nullptr &&
      __atomic_compare_exchange_n(&g_report->state, &pending, static_cast<u32>(wire::ReportState::Failing), false,
                                  __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
    g_report->process = g_process_of_report;
    g_report->step = static_cast<u32>(step);
    g_report->error = static_cast<i32>(error);
    g_report->subject = subject;
    g_report->extent = extent;
    copy_string(g_report->text, sizeof g_report->text, text != nullptr ? text : "");
    __atomic_store_n(&g_report->state, static_cast<u32>(wire::ReportState::Failed), __ATOMIC_RELEASE);
  } else if (g_report == nullptr) {
    print_failure(step, error, text);
  }  // else another process of the application has failed before
  for (;;) raw_syscall(__NR_exit_group, kFailureStatus);
}

void report_process(i32 virtual_pid) { g_process_of_report = virtual_pid; }

bool report_has_failed() {
  if (g_report == nullptr) return false;
  const auto state = static_cast<wire::ReportState>(__atomic_load_n(&g_report->state, __ATOMIC_ACQUIRE));
  return state == wire::ReportState::Failed || state == wire::ReportState::Failing;
}

void report_done() {
  if (g_report != nullptr)
    __atomic_store_n(&g_report->state, static_cast<u32>(wire::ReportState::Done), __ATOMIC_RELEASE);
}

void close_report(const Marker& marker) {
  if (g_report != nullptr) {
    raw_syscall(__NR_munmap, g_report, wire::kPageBytes);
    g_report = nullptr;
  }
  if (marker.report_fd >= 0) raw_syscall(__NR_close, marker.report_fd);
  if (marker.done_fd >= 0) raw_syscall(__NR_close, marker.done_fd);
}

}  // namespace stasis::runtime
