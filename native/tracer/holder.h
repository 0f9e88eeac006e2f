// A copy of a held process that keeps its memory as it is at this instant, so that the process itself may go on while the
// memory is written.
//
// The process's first thread makes the copy (kParasiteFork, wire/parasite.h). The copy is the child of a step-child that
// ends at once: it belongs to the nearest process that adopts orphans, which is the keeper, and the application never has
// it among its children. It is traced from its birth and never sent on; if this process dies, the copy does too. It has no
// descriptors, but the addresses, and the pages that both share until one writes.
//
//   first thread      step-child                    copy
//   vfork event --->  its first stop
//        |            fork event ---------------->  its first stop, in which it stays
//        |            ends
//   its list's end
//
// Not held still: memory that is shared with other processes, and memory marked MADV_WIPEONFORK, which the copy has as
// zeros. Memory marked MADV_DONTFORK is missing unless its rows are given.
#pragma once

#include <sys/types.h>

#include <utility>
#include <vector>

#include "tracer/parasite.h"

namespace stasis::tracer {

class Holder {
 public:
  // From a home stop of `thread`, and back to it. The rows must be private memory that is marked MADV_DONTFORK, all of it.
  // An error with errno EAGAIN or ENOMEM: there is no room for a copy, and nothing has changed.
  static Result<Holder> make(Session& session, const ProcessMemory& memory, const wire::Descriptor& runtime,
                             ParasiteThread& thread, const std::vector<wire::ParasiteRow>& rows, Deadline deadline,
                             const CancelToken& cancel);

  Holder(Holder&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  Holder& operator=(Holder&&) = delete;
  ~Holder();  // ends the copy

  pid_t pid() const { return pid_; }

 private:
  explicit Holder(pid_t pid) : pid_(pid) {}
  pid_t pid_;
};

// How many rows a thread's slot has room for.
std::size_t most_rows(const ParasiteThread& thread);

}  // namespace stasis::tracer
