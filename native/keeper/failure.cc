#include "keeper/failure.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "restore/report.h"

namespace stasis::keeper {

namespace {

bool is_from_runtime(const Failure& failure) {
  return failure.report.state == static_cast<u32>(wire::ReportState::Failed) && failure.report.step != 0;
}

void write_line(int fd, const char* text, int length) {
  // The line is shorter than PIPE_BUF, so it is written whole or not at all; a reader that is gone is no reason to
  // stop.
  ssize_t written = write(fd, text, static_cast<size_t>(length));
  (void)written;
}

// The line protocol has no escapes: what would end the line becomes a space.
void one_line(char* text) {
  for (; *text != '\0'; ++text) {
    if (*text == '\n' || *text == '\r') *text = ' ';
  }
}

void copy_text(wire::Report& report, const char* text) { snprintf(report.text, sizeof report.text, "%s", text); }

}  // namespace

Failure failure_of_errno(int error, const char* doing) {
  Failure failure;
  failure.kind = Error::of_errno(error, "", "").kind;
  failure.report.error = error;
  copy_text(failure.report, doing);
  return failure;
}

Failure failure_of_kind(ErrorKind kind, const char* text) {
  Failure failure;
  failure.kind = kind;
  copy_text(failure.report, text);
  return failure;
}

int exit_status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Failed:
      return 1;
    case ErrorKind::Usage:
      return 2;
    case ErrorKind::Unsupported:
      return 3;
    case ErrorKind::Incompatible:
      return 4;
    case ErrorKind::Damaged:
      return 5;
    case ErrorKind::NotFound:
      return 6;
    case ErrorKind::Busy:
      return 7;
    case ErrorKind::Permission:
      return 8;
    case ErrorKind::Timeout:
      return 9;
    case ErrorKind::Cancelled:
      return 1;
  }
  return 1;
}

void tell_success(int ready_fd, pid_t pid, u64 start, const wire::Report* restored) {
  if (ready_fd < 0) return;
  char text[512];
  int length = snprintf(text, sizeof text, "ok keeper=%d pid=%d start=%lu", getpid(), pid, start);
  auto add = [&](const char* format, u64 value) {
    length += snprintf(text + length, sizeof text - static_cast<size_t>(length), format, value);
  };
  if (restored != nullptr) {
    const u64 times[] = {restored->started_ns, restored->mapped_ns, restored->fds_ns, restored->threads_ns,
                         restored->resumed_ns};
    const char* format = " us=%lu";
    for (u64 time : times) {
      add(format, time / 1000);
      format = ",%lu";
    }
    add(" calls=%lu", restored->map_calls);
    add(" populated=%lu", restored->populated_pages);
  }
  text[length++] = '\n';
  write_line(ready_fd, text, length);
  close(ready_fd);
}

int tell_failure(int ready_fd, const Failure& failure) {
  wire::Report report = failure.report;
  report.text[sizeof report.text - 1] = '\0';
  one_line(report.text);
  char text[2048];
  int length = 0;
  if (ready_fd >= 0) {
    length = snprintf(text, sizeof text, "error kind=%s errno=%d step=%u subject=%lu extent=%lu text=%s\n",
                      name_of(failure.kind), report.error, is_from_runtime(failure) ? report.step : 0, report.subject,
                      report.extent, report.text);
    write_line(ready_fd, text, length);
    close(ready_fd);
    return exit_status_of(failure.kind);
  }
  Error error;
  if (is_from_runtime(failure)) {
    error = restore::error_of_report(report);
  } else if (report.error != 0) {
    error = Error::of_errno(report.error, "", report.text).with_kind(failure.kind);
  } else {
    error = Error::plain(failure.kind, report.text);
  }
  length = snprintf(text, sizeof text, "stasis: %s\n", error.message().c_str());
  if (length >= static_cast<int>(sizeof text)) length = sizeof text - 1;
  write_line(STDERR_FILENO, text, length);
  return exit_status_of(error.kind);
}

}  // namespace stasis::keeper
