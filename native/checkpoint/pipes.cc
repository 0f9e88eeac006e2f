// Pipes whose ends are all in the application, with the bytes in flight.
//
// The bytes are copied by tee(2), which takes nothing out. An end that nobody has any more (the other end then polls as
// hung up) is saved as closed; an end that another process has is refused.
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "checkpoint/fds.h"
#include "os/pidfd.h"

namespace stasis::checkpoint {

namespace {

struct Ends {
  std::vector<Description*> readers, writers;
  bool other_mode = false;  // opened for both through /proc
};

constexpr const char* kRemedy = "close it, or keep both ends inside the application";

bool other_end_is_closed(int fd, short event) {
  pollfd query{fd, 0, 0};
  return ::poll(&query, 1, 0) == 1 && (query.revents & event) != 0;
}

// What is in the pipe that `source` reads from.
Result<std::vector<std::uint8_t>> content_of(int source, int capacity) {
  int bytes = 0;
  if (::ioctl(source, FIONREAD, &bytes) != 0) return Error::of_errno("ioctl", "asking how much is in a pipe");
  std::vector<std::uint8_t> data(static_cast<std::size_t>(bytes));
  if (bytes == 0) return data;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return Error::of_errno("pipe2", "copying a pipe's content");
  const UniqueFd out(ends[0]), in(ends[1]);
  // tee needs as many slots as the source has in use. Without privilege a pipe may grow to fs.pipe-max-size; more than
  // that the source cannot have either, unless a privileged process enlarged it.
  if (::fcntl(in.get(), F_SETPIPE_SZ, capacity) < 0)
    return Error::of_errno("fcntl", "making room for a pipe's content");
  std::size_t done = 0;
  const ssize_t copied = ::tee(source, in.get(), data.size(), SPLICE_F_NONBLOCK);
  if (copied != static_cast<ssize_t>(data.size())) {
    if (copied >= 0) errno = ENOBUFS;
    return Error::of_errno("tee", "copying a pipe's content");
  }
  while (done < data.size()) {
    const ssize_t count = ::read(out.get(), data.data() + done, data.size() - done);
    if (count <= 0) return Error::of_errno("read", "copying a pipe's content");
    done += static_cast<std::size_t>(count);
  }
  return data;
}

Status save_pipe(Objects& objects, const Ends& ends, bool shared, image::Image& image, Findings& findings) {
  const Fd& any = (ends.readers.empty() ? *ends.writers.front() : *ends.readers.front()).first();
  const std::string where = any.where();
  if (shared) {
    findings.add(where, "a pipe to another process", kRemedy);
    return {};
  }
  auto duplicate = any.duplicate();
  if (!duplicate.ok() && objects.phase() == Phase::Before && duplicate.error().error == EBADF) return {};
  const UniqueFd end = STASIS_TRY(std::move(duplicate));
  if (ends.writers.empty() && !other_end_is_closed(end.get(), POLLHUP)) {
    findings.add(where, "a pipe whose writing end is in another process", kRemedy);
    return {};
  }
  if (ends.readers.empty() && !other_end_is_closed(end.get(), POLLERR)) {
    findings.add(where, "a pipe whose reading end is in another process", kRemedy);
    return {};
  }
  image::Pipe record;
  record.object = objects.next();
  for (Description* reader : ends.readers) reader->becomes(record.object, 0);
  for (Description* writer : ends.writers) writer->becomes(record.object, 1);
  if (!ends.readers.empty()) record.read_flags = ends.readers.front()->first().flags;
  if (!ends.writers.empty()) record.write_flags = ends.writers.front()->first().flags;
  const int capacity = ::fcntl(end.get(), F_GETPIPE_SZ);
  if (capacity < 0) return Error::of_errno("fcntl", "asking for a pipe's capacity").with_fd(any.number);
  record.capacity = static_cast<std::uint32_t>(capacity);
  if (objects.phase() == Phase::Stopped && !ends.readers.empty()) {
    auto data = content_of(end.get(), capacity);
    if (!data.ok()) return std::move(data).error().with_pid(any.owner->pid).with_fd(any.number);
    record.data = std::move(data).value();
    if (!record.data.empty() && (record.write_flags & O_DIRECT) != 0) {
      findings.add(where, "a pipe in packet mode (O_DIRECT) with packets in flight", "read them before the checkpoint");
    }
  }
  image.pipes.push_back(std::move(record));
  return {};
}

}  // namespace

Status save_pipes(Objects& objects, image::Image& image, Findings& findings) {
  std::map<std::uint64_t, Ends> pipes;
  for (Description& description : objects.descriptions) {
    const Fd& fd = description.first();
    if (description.saved || !fd.link_starts("pipe:[")) continue;
    description.saved = true;
    Ends& ends = pipes[fd.inode];
    if (fd.access() == O_RDONLY) {
      ends.readers.push_back(&description);
    } else if (fd.access() == O_WRONLY) {
      ends.writers.push_back(&description);
    } else {
      ends.other_mode = true;
      findings.add(fd.where(), "a pipe opened for reading and writing", "close it before the checkpoint");
    }
  }
  for (const auto& [inode, ends] : pipes) {
    if (ends.other_mode) continue;
    const std::string link = "pipe:[" + std::to_string(inode) + "]";
    STASIS_TRY(save_pipe(objects, ends, objects.shared_outside(link), image, findings));
  }
  return {};
}

}  // namespace stasis::checkpoint
