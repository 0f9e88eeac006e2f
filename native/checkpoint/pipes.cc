// Pipes and FIFOs whose ends are all in the application, with the bytes and packets in flight.
//
// The bytes are copied by tee(2), which takes nothing out and keeps the bounds of packets. An end that nobody has any more (the
// other end then polls as hung up) is saved as closed; an end that another process has is refused. A pipe can have further
// descriptions, opened through /proc or by a FIFO's name, with flags and an access mode of their own.
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "checkpoint/fds.h"
#include "os/pidfd.h"

namespace stasis::checkpoint {

namespace {

struct Ends {
  std::vector<Description*> readers, writers, both;
  std::string fifo;  // path, empty for a pipe

  const Description& any() const { return *(!readers.empty() ? readers : !writers.empty() ? writers : both).front(); }
  bool reads() const { return !readers.empty() || !both.empty(); }
  bool writes() const { return !writers.empty() || !both.empty(); }
};

constexpr const char* kRemedy = "close it, or keep both ends inside the application";

bool other_end_is_closed(int fd, short event) {
  pollfd query{fd, 0, 0};
  return ::poll(&query, 1, 0) == 1 && (query.revents & event) != 0;
}

// A pipe with what is in `source`'s.
struct Copy {
  UniqueFd out, in;
};

Result<Copy> copy_of(int source, int bytes, int capacity) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return Error::of_errno("pipe2", "copying a pipe's content");
  Copy copy{UniqueFd(ends[0]), UniqueFd(ends[1])};
  // tee needs as many slots as the source has in use. Without privilege a pipe may grow to fs.pipe-max-size; more than
  // that the source cannot have either, unless a privileged process enlarged it.
  if (::fcntl(copy.in.get(), F_SETPIPE_SZ, capacity) < 0)
    return Error::of_errno("fcntl", "making room for a pipe's content");
  const ssize_t copied = ::tee(source, copy.in.get(), static_cast<std::size_t>(bytes), SPLICE_F_NONBLOCK);
  if (copied != bytes) {
    if (copied >= 0) errno = ENOBUFS;
    return Error::of_errno("tee", "copying a pipe's content");
  }
  return copy;
}

// Whether the next `bytes` are a packet: what is left of one is dropped by a read (pipe(2)). Takes them.
Result<bool> is_packet(const UniqueFd& copy, std::size_t bytes, bool packet_mode) {
  std::uint8_t byte;
  int before = 0, after = 0;
  ::ioctl(copy.get(), FIONREAD, &before);
  if (::read(copy.get(), &byte, 1) != 1) return Error::of_errno("read", "copying a pipe's content");
  ::ioctl(copy.get(), FIONREAD, &after);
  if (bytes == 1) return packet_mode;
  if (before - after == static_cast<int>(bytes)) return true;
  std::vector<std::uint8_t> rest(bytes - 1);
  if (::read(copy.get(), rest.data(), rest.size()) != static_cast<ssize_t>(rest.size()))
    return Error::of_errno("read", "copying a pipe's content");
  return false;
}

// What is in the pipe that `source` reads from. One read gives the stream up to a packet, or a packet.
Status read_content(int source, bool packet_mode, image::Pipe& record) {
  const int capacity = static_cast<int>(record.capacity);
  int bytes = 0;
  if (::ioctl(source, FIONREAD, &bytes) != 0) return Error::of_errno("ioctl", "asking how much is in a pipe");
  if (bytes == 0) return {};
  const Copy copy = STASIS_TRY(copy_of(source, bytes, capacity));
  record.data.resize(static_cast<std::size_t>(bytes));
  std::vector<image::PipePacket> packets;
  for (std::size_t done = 0; done < record.data.size(); done += packets.back().bytes) {
    const ssize_t count = ::read(copy.out.get(), record.data.data() + done, record.data.size() - done);
    if (count <= 0) return Error::of_errno("read", "copying a pipe's content");
    packets.push_back({static_cast<std::uint32_t>(count), false});
  }
  if (packets.size() == 1 && !packet_mode) return {};
  const Copy again = STASIS_TRY(copy_of(source, bytes, capacity));
  for (image::PipePacket& packet : packets) packet.packet = STASIS_TRY(is_packet(again.out, packet.bytes, packet_mode));
  record.packets = std::move(packets);
  return {};
}

// Who has what: the first reader and writer are ends 0 and 1, everything with other flags, or both modes, an end more.
void give_ends(const Ends& ends, image::Pipe& record) {
  const auto add = [&](Description& description) {
    description.becomes(record.object, 2 + static_cast<std::uint32_t>(record.more_flags.size()));
    record.more_flags.push_back(description.first().flags);
  };
  if (!ends.readers.empty()) record.read_flags = ends.readers.front()->first().flags;
  if (!ends.writers.empty()) record.write_flags = ends.writers.front()->first().flags;
  for (Description* reader : ends.readers)
    reader == ends.readers.front() ? reader->becomes(record.object, 0) : add(*reader);
  for (Description* writer : ends.writers)
    writer == ends.writers.front() ? writer->becomes(record.object, 1) : add(*writer);
  for (Description* both : ends.both) add(*both);
}

Status save_pipe(Objects& objects, const Ends& ends, image::Image& image, Findings& findings) {
  const Fd& any = ends.any().first();
  const std::string where = any.where(), what = ends.fifo.empty() ? "a pipe" : "the FIFO " + ends.fifo;
  if (objects.shared_outside(any.link)) {
    findings.add(where, what + " to another process", kRemedy);
    return {};
  }
  auto duplicate = any.duplicate();
  if (!duplicate.ok() && objects.phase() == Phase::Before && duplicate.error().error == EBADF) return {};
  const UniqueFd end = STASIS_TRY(std::move(duplicate));
  // A FIFO that nobody has opened for writing yet does not poll as hung up.
  const bool unwritten = !ends.writes() && !other_end_is_closed(end.get(), POLLHUP);
  if (unwritten && ends.fifo.empty() && objects.is_outside(any.link)) {
    findings.add(where, what + " whose writing end is in another process", kRemedy);
    return {};
  }
  if (!ends.reads() && !other_end_is_closed(end.get(), POLLERR) && objects.is_outside(any.link)) {
    findings.add(where, what + " whose reading end is in another process", kRemedy);
    return {};
  }
  image::Pipe record;
  record.object = objects.next();
  record.fifo_path = ends.fifo;
  record.never_written = unwritten;
  give_ends(ends, record);
  const int capacity = ::fcntl(end.get(), F_GETPIPE_SZ);
  if (capacity < 0) return Error::of_errno("fcntl", "asking for a pipe's capacity").with_fd(any.number);
  record.capacity = static_cast<std::uint32_t>(capacity);
  if (objects.phase() == Phase::Stopped && ends.reads()) {
    const bool packet_mode = (record.write_flags & O_DIRECT) != 0;
    Status read = read_content(end.get(), packet_mode, record);
    if (!read.ok()) return std::move(read).error().with_pid(any.owner->pid).with_fd(any.number);
  }
  image.pipes.push_back(std::move(record));
  return {};
}

// The name leads to this very FIFO.
bool leads_to(const Fd& fd) {
  struct stat status;
  return ::stat(fd.link.c_str(), &status) == 0 && status.st_ino == fd.inode && status.st_dev == fd.device;
}

}  // namespace

Status save_pipes(Objects& objects, image::Image& image, Findings& findings) {
  std::map<std::pair<std::uint64_t, std::uint64_t>, Ends> pipes;
  for (Description& description : objects.descriptions) {
    const Fd& fd = description.first();
    const bool fifo = fd.type() == S_IFIFO && !fd.link.empty() && fd.link[0] == '/' && (fd.flags & O_PATH) == 0;
    if (description.saved || (!fd.link_starts("pipe:[") && !fifo)) continue;
    description.saved = true;
    Ends& ends = pipes[{fd.device, fd.inode}];
    if (fifo && leads_to(fd)) ends.fifo = fd.link;
    (fd.access() == O_RDONLY   ? ends.readers
     : fd.access() == O_WRONLY ? ends.writers
                               : ends.both)
        .push_back(&description);
  }
  for (const auto& [inode, ends] : pipes) STASIS_TRY(save_pipe(objects, ends, image, findings));
  return {};
}

}  // namespace stasis::checkpoint
