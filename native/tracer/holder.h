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
#include "tracer/threads.h"

namespace stasis::tracer {

class Holder;

// A process to be copied: held, at a home stop, to which `thread` comes back.
struct ToHold {
  Session* session;
  const ProcessMemory* memory;
  const wire::Descriptor* runtime;
  ParasiteThread* thread;
  // Private memory that is marked MADV_DONTFORK; a row must hold nothing that is not.
  std::vector<wire::ParasiteRow> rows;
  Question* question;  // more calls, made before the copy; may be null
};

// Copies all at the same time. An error with errno EAGAIN or ENOMEM: there is no room for a copy, and nothing has changed.
Result<std::vector<Holder>> hold(const std::vector<ToHold>& processes, Deadline deadline, const CancelToken& cancel);

class Holder {
 public:
  Holder(Holder&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  Holder& operator=(Holder&&) = delete;
  ~Holder();  // ends the copy

  pid_t pid() const { return pid_; }

 private:
  friend Result<std::vector<Holder>> hold(const std::vector<ToHold>&, Deadline, const CancelToken&);
  explicit Holder(pid_t pid) : pid_(pid) {}
  pid_t pid_;
};

// How many rows a thread's slot has room for, beside data of that size.
std::size_t most_rows(const ParasiteThread& thread, std::size_t data_bytes);

}  // namespace stasis::tracer
