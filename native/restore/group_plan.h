// Lays out a wire::GroupPlan: what is made once for all processes of an application, and the tasks themselves. Also puts
// the whole file together.
//
// The files of this directory append to the public arrays. A slot is where one end of an open file description stands
// until every process has its own descriptors of it; a segment has one, too.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/image.h"
#include "restore/plan_builder.h"
#include "restore/plan_bytes.h"
#include "wire/plan.h"

namespace stasis::restore {

// As EpollWatch, with a number of the epoll's own for runtimes that fill it later.
struct PlannedWatch {
  wire::EpollWatch watch;
  std::int32_t epoll_fd;
};

// A task, and of which process of the image it is, if it is one.
struct PlannedTask {
  wire::TaskEntry entry;
  std::size_t process;
};

class GroupBuilder {
 public:
  GroupBuilder() : bytes_(std::make_shared<PlanBytes>(sizeof(wire::GroupPlan))) {}
  // For a runtime of one process: the objects go into its plan.
  explicit GroupBuilder(const PlanBuilder& plan) : bytes_(plan.bytes()) {}

  PlanBytes& bytes() { return *bytes_; }
  std::uint64_t add_string(std::string_view text) { return bytes_->add_string(text); }
  std::uint64_t add_bytes(std::span<const std::uint8_t> bytes) { return bytes_->add_bytes(bytes); }

  // What is known of one end of an object: the lowest number that stands for it in the first process that has it, -1 if
  // none does.
  static constexpr std::int32_t kInFlight = 0x7fffffff;  // in place of a number, where only messages hold it
  struct Place {
    std::uint32_t slot = wire::kNoSlot;
    std::int32_t fd = -1;
  };
  // Before any object: which of them a process has.
  void use_descriptors(const image::Descriptors& descriptors);
  // A parked place for one end of an object. No slot when no process has it: that end is closed.
  Place add_slot(std::uint32_t object, std::uint32_t end = 0);
  // As add_slot, but always a slot: the end is closed once the object stands, if nothing stands for it.
  Place add_parked(std::uint32_t object, std::uint32_t end = 0);
  // Before any object: this end is in flight, so that it needs a slot whoever has a number for it.
  void use_in_flight(std::uint32_t object, std::uint32_t end) { numbers_.try_emplace({object, end}, kInFlight); }
  // Whether anything stands for the end.
  bool is_held(std::uint32_t object, std::uint32_t end) const { return numbers_.contains({object, end}); }
  // The same of an object that no descriptor need stand for.
  std::uint32_t add_own_slot(std::uint32_t object);
  // Of what add_slot was called for; else kNoSlot.
  std::uint32_t slot_of(std::uint32_t object, std::uint32_t end) const;
  // An entry with everything but kind and slot at its neutral value, appended to fds. Valid until the next one.
  wire::FdEntry& add_fd(wire::FdKind kind, std::uint32_t slot, std::int32_t image_fd);

  // Index of a file with contents of segments.
  std::uint32_t add_file(const std::string& path, std::uint64_t device, std::uint64_t inode);

  wire::GroupPlan group{};
  std::vector<PlannedTask> tasks;
  std::vector<wire::FdEntry> fds;
  std::vector<PlannedWatch> watches;
  std::vector<wire::SegmentEntry> segments;
  std::vector<wire::IpcEntry> system_v;
  std::vector<wire::FileEntry> files;
  std::vector<std::uint32_t> known_ids;
  std::map<std::uint32_t, std::uint64_t> details;  // by object: where its wire::FdDetail lies

 private:
  using End = std::pair<std::uint32_t, std::uint32_t>;  // object, end

  std::map<End, std::int32_t> numbers_;
  std::map<End, std::uint32_t> slots_;
  std::shared_ptr<PlanBytes> bytes_;
};

// Where the process has which object. After all slots.
void place_descriptors(const image::Descriptors& descriptors, const GroupBuilder& group, PlanBuilder& plan);

// Numbers that the restore needs to be able to use: everything placed, parked, and the runtime's own while it works.
std::uint64_t highest_fd_needed(const GroupBuilder& group, const std::vector<PlanBuilder>& plans);

// The file. plans[i] is of the image's i-th process; zombies have none.
// Unsupported if a part is larger than its place in the window.
Result<std::vector<std::uint8_t>> finish_plans(GroupBuilder& group, std::vector<PlanBuilder>& plans);

// The file for a runtime of one process, whose version is set in the plan.
Result<std::vector<std::uint8_t>> finish_single(GroupBuilder& group, PlanBuilder& plan);

}  // namespace stasis::restore
