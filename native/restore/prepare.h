// From an image to a plan: everything about a restore that can be decided before a process exists.
//
// prepare() compares this host and its files with what the image was made on, refuses what does not fit, and lays down
// a wire::Plan in bytes: the exact list of mappings, fds, threads and signals that the runtime works through. It starts
// nothing and changes nothing. Each kind of state has its own file here (memory.cc, threads.cc, files.cc, pipes.cc,
// sockets.cc, eventfd.cc, timerfd.cc, epoll.cc, signals.cc), under the name it has in checkpoint/.
//
// Rules: the image has passed image::validate(); whatever the runtime will trust (offsets, counts, frames) is checked
// here; every refusal says which file, fd, thread or address, and what can be done.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/image.h"
#include "os/unique_fd.h"
#include "wire/plan.h"

namespace stasis::restore {

// A page file that was verified. Absolute path; the runtime compares device and inode with what it opens.
struct PageFileLocation {
  std::string path;
  std::uint64_t device = 0, inode = 0;
};

// What happens where a file that the application has open for writing has changed since the checkpoint.
enum class ChangedFiles {
  Fail,
  Keep,            // the application goes on with the file as it is
  RestoreContent,  // what the image holds is put in its place
};

struct RestoreInputs {
  std::vector<PageFileLocation> page_files;         // as Image::page_files
  std::vector<wire::WorkingSetRange> working_set;   // as read_working_set gives it
  std::uint32_t plan_version = wire::kPlanVersion;  // that runtime's (plan_version_of in restore/start.h)
  ChangedFiles changed_files = ChangedFiles::Fail;
  // Files whose content is that of the checkpoint, or the one to go on with (file_contents.h): their size and time do not count.
  std::set<std::string> settled_files;
  std::set<std::string> missing_files;  // those of them that are about to be made
  bool tcp_close = false;               // connections to who is not in the image are found reset
  std::vector<std::uint8_t> holder;     // address of who holds them otherwise (outside.h); empty: there are none
  std::string runtime_path;             // absolute; the file that will be executed, of the image's build id
};

struct PreparedRestore {
  std::vector<std::uint8_t> plan;  // wire::Plan
  std::string runtime_path;        // to be executed
  std::vector<std::string> files;  // every file that the process maps or opens
  std::uint64_t map_entries = 0;   // what the runtime will do, for `restore --json` and the benchmark
  std::uint64_t image_bytes = 0;   // mapped from page files
  std::uint64_t copied_bytes = 0;  // read from page files
  std::uint64_t fds = 0, threads = 0;
  std::vector<std::string> warnings;  // what the application will not have as it was, a sentence each
};

// Incompatible when this host or a mapped file does not fit; Failed when an open file is gone or has changed, when a
// limit is too low; Unsupported when the plan would not fit its place in the runtime's window.
Result<PreparedRestore> prepare(const image::Image& image, const RestoreInputs& inputs);

// The plan in a sealed memfd, close-on-exec: what the keeper passes to the runtime.
Result<UniqueFd> seal_plan(std::span<const std::uint8_t> plan);

}  // namespace stasis::restore
