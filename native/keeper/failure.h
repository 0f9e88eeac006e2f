// What stopped a launch or a restore, and how the caller is told: one `error` line on the ready fd, or in the
// foreground one line on stderr and the exit status that belongs to the kind (base/error.h).
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "keeper/options.h"
#include "wire/report.h"

namespace stasis::keeper {

struct Failure {
  ErrorKind kind = ErrorKind::Failed;
  // A failure inside the runtime, if state says so. Otherwise `error` and `text` alone count: errno or 0, and what was
  // being done.
  wire::Report report{};
};

Failure failure_of_errno(int error, const char* doing);
Failure failure_of_kind(ErrorKind kind, const char* text);

// `ok keeper=PID pid=PID start=TICKS us=STARTED,MAPPED,FDS,THREADS,RESUMED calls=N`, times in microseconds of
// CLOCK_MONOTONIC, which the reader has too; `us` and `calls` only after a restore. Closes the fd.
void tell_success(int ready_fd, pid_t pid, u64 start, const wire::Report* restored);

// Tells the failure on the ready fd, or on stderr if there is none, and returns the exit status.
int tell_failure(int ready_fd, const Failure& failure);

int exit_status_of(ErrorKind kind);

}  // namespace stasis::keeper
