// From a live application to a committed image, without harm to the application whatever happens on the way.
//
// checkpoint() does, in order:
//   1. looks at all its processes through /proc and refuses what cannot be saved, all findings at once, while they still
//      run (refuse.cc);
//   2. stops every thread of all of them and brings it out of the runtime (cut.h, tracer/session, tracer/quiesce);
//   3. reads what only ptrace can tell, runs a short list of calls in every thread and leaves each of them held at its
//   own
//      instruction or in front of its own interrupted call (tracer/threads.cc, tracer/parasite);
//   4. looks again, then writes pages and records into the partial directory;
//   5. commits by rename, and lets the application go on or ends it.
//
// ptrace belongs to a thread: everything runs on the calling thread, which must not be shared with other tracing and
// should be dedicated. No signal handler, no global state. If the calling process is killed at any instant, the kernel
// detaches and every thread of the application goes on from where it was.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/result.h"

namespace stasis::checkpoint {

// What one of the application's own stdio streams is, as the keeper recorded it at launch. All zeros: not known.
struct StdioIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint32_t type = 0;  // S_IFMT bits

  bool known() const { return inode != 0; }
};

struct Options {
  pid_t pid = 0;
  std::uint64_t start_time = 0;   // field 22 of /proc/PID/stat; a different one is NotFound. 0: not compared
  std::string output_directory;   // final path; must not exist
  std::string partial_directory;  // on the same file system; made here with mode 0700, removed on failure
  std::string runtime_path;  // the runtime's file, copied into the image; must have the build id the process runs under
  std::string verified_directory;  // where to leave the stamps of the page files (docs/adr/0005); may be empty
  std::string control_socket;      // the keeper's, told before the application is ended; may be empty
  bool leave_running = false;
  // leave_running: most memory that the copies of the application's processes may come to use. 0: half of what is
  // available. If they might need more, the application is held while its pages are written.
  std::uint64_t max_copy_bytes = 0;
  // Content of files open for writing is stored, of each up to so many bytes, so that a restore can put it back. 0: none is.
  std::uint64_t save_files_bytes = 0;
  // TCP connections to who is not saved are kept (outside.h), and where that cannot be, or without it, the restored program finds them
  // reset. Without either they are a reason to refuse the checkpoint.
  bool tcp_established = false, tcp_close = false;
  std::string keeper;  // path of stasis-keeper, needed for connections that are kept
  std::array<StdioIdentity, 3> stdio;
  std::chrono::milliseconds stop_deadline{10000};  // for every thread to stop outside the runtime
  std::string creator_version;
};

struct Outcome {
  std::uint64_t pause_ns = 0;  // first thread stopped until the last was let go (or the application ended)
  std::uint64_t total_ns = 0;
  std::uint64_t image_bytes = 0;  // image.stasis
  std::uint64_t page_bytes = 0;
  std::uint64_t mappings = 0, runs = 0, threads = 0, fds = 0;
  std::uint64_t processes = 0;  // zombies included
  bool copied = false;  // the pages were read from copies of the processes (holders.h), and not during the pause
  bool ended = false;   // the application was ended
  std::vector<std::string> warnings;  // what a restored application will not have as it is, a sentence each
};

// Errors: Unsupported with every finding in Error::details (nothing was stopped, or it goes on); Busy (traced by a
// debugger, keeps executing programs); NotFound; Permission; Timeout; Cancelled; Failed. After any of them the
// application runs as before and nothing is left in the file system. One exception: an error with `doing` "ending the
// application" comes after the commit; the snapshot is then complete.
Result<Outcome> checkpoint(const Options& options, const CancelToken& cancel);  // `cancel` is honoured until the commit

}  // namespace stasis::checkpoint
