// System V ipc: shared memory, semaphores and message queues of the application.
#pragma once

#include "checkpoint/objects.h"
#include "image/image.h"
#include "os/process_memory.h"

namespace stasis::checkpoint {

// What the notes of all members' runtimes say (wire/notes.h).
struct Notes {
  std::vector<image::OwnFilter> filters;   // of the process asked last
  std::vector<image::SemaphoreUndo> undo;  // likewise
  bool keys = false;                       // likewise: it has used the kernel's keyrings
  struct Objects {
    std::set<std::int32_t> known, made;  // ids; those asked for, and of them those that were not there before
  };
  Objects segments, semaphores, queues;  // of all
};
Status read_notes(const Subject& subject, const ProcessMemory& memory, Notes& notes);

// filters.cc: filters that cannot be put back. `status` is the main thread's, `notes` of this process.
// inherited_filters(): those that this process has, and with it what it starts (a container's).
std::uint64_t inherited_filters();
bool has_own_filters(const Subject& subject, const procfs::Fields& status, std::uint64_t inherited);
void refuse_filters(const Subject& subject, const procfs::Fields& status, const Notes& notes, Findings& findings);

// Whether the name that maps shows is a segment's.
bool is_segment(const std::string& name);

// Adds what the kernel tells of a segment, by its id: the inode that maps shows. `attached` is how often the members have it
// attached.
Status describe_segment(const Subject& subject, std::uint64_t inode, std::uint64_t attached,
                        image::SharedMemory& record, Findings& findings);

// The sets and queues that the members have asked for. Contents are looked at only when the application is stopped. What somebody outside may
// use is refused: a checkpoint that ends the application would take it away (sysv_users.h).
Status save_system_v(Members members, const Notes& notes, image::Image& image, Findings& findings);

// After the application's end: what it has left is in the image. Returns a warning for each object that somebody outside has begun to use since
// it was looked at, which stays.
std::vector<std::string> remove_system_v(const image::Image& image, Members members);

}  // namespace stasis::checkpoint
