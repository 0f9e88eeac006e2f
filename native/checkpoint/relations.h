// What a process is to the others: parent, group, session, how it has ended or stopped.
#pragma once

#include "checkpoint/tree.h"
#include "image/records.h"
#include "tracer/threads.h"

namespace stasis::checkpoint {

// What only the process itself can be asked for.
class ProcessTraits : public tracer::Question {
 public:
  void ask(tracer::ParasiteThread& thread, bool first) override;
  Status take(const tracer::ParasiteThread& thread, bool first) override;

  bool subreaper() const { return subreaper_; }
  std::uint32_t parent_death_signal() const { return parent_death_signal_; }
  bool dumpable() const { return dumpable_; }

 private:
  std::size_t place_ = 0, subreaper_call_ = 0, signal_call_ = 0, dumpable_call_ = 0;
  bool subreaper_ = false, dumpable_ = true;
  std::uint32_t parent_death_signal_ = 0;
};

// Adds to what record_process has written.
Status record_relations(const Tree& tree, const Member& member, const ProcessTraits& traits, image::Process& process);

// Of a process that has ended and was not waited for, all that is left.
Result<image::Process> record_zombie(pid_t pid);

// Processes that share memory with others, but not in a vfork(2).
void refuse_shared_tables(const Tree& tree, Findings& findings);

// Processes in sessions that no order of making them again leads to (image/tree.h). Who is a subreaper cannot be seen from
// outside, so of some the image alone will tell.
void refuse_order(const Tree& tree, Findings& findings);

}  // namespace stasis::checkpoint
