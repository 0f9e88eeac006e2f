// Records of what stands behind file descriptors and is no socket. image/records.h has the rules of the place.
//
// Each record is an object: one open file description, or the two of a pipe, however many numbers of however many processes stand for it.
#pragma once

#include "image/records.h"

namespace stasis::image {

struct OpenFile {
  static constexpr RecordType kType = RecordType::OpenFile;
  static constexpr const char* kName = "open-file";
  std::vector<FdNumber> numbers;
  std::string path;
  std::uint32_t flags = 0;
  std::int64_t position = -1;
  std::uint32_t file_type = 0;
  std::uint64_t file_bytes = 0;
  std::int64_t file_modified_ns = 0;
  std::uint64_t device_number = 0;
  std::uint32_t object = 0;
  std::uint32_t memory = 0;
  std::uint32_t mode = 0;
  bool deleted = false;
  std::uint32_t flock = 0;
  std::vector<FileLock> locks;
  std::int32_t signal = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("numbers", r.numbers, "version 1: every fd of this open file description");
    v.field("path", r.path, "absolute path");
    v.hex("flags", r.flags, "open(2) access mode and status flags");
    v.field("position", r.position, "file offset, -1 where it has none");
    v.field("file_type", r.file_type, "S_IFMT bits of the mode: regular file, directory or character device");
    v.field("file_bytes", r.file_bytes, "size at the checkpoint, bytes");
    v.field("file_modified_ns", r.file_modified_ns, "modification time at the checkpoint, ns since the epoch");
    v.hex("device_number", r.device_number, "st_rdev of a device node, 0 for other files");
    v.since(2, "object", r.object, "number of this object, which descriptors refer to");
    v.since(2, "memory", r.memory, "the shared-memory object that is open, 0: the file at `path`");
    v.since(2, "mode", r.mode, "permission bits of a deleted directory");
    v.since(2, "deleted", r.deleted, "a directory that was removed");
    v.since(2, "flock", r.flock, "flock(2): 0 none, 1 shared, 2 exclusive");
    v.since(2, "locks", r.locks, "locks that belong to the open file description");
    v.since(2, "signal", r.signal, "F_GETSIG, 0: SIGIO");
  }
};

struct Stdio {
  static constexpr RecordType kType = RecordType::Stdio;
  static constexpr const char* kName = "stdio";
  std::vector<FdNumber> numbers;
  std::uint32_t stream = 0;
  std::uint32_t object = 0;
  std::vector<std::uint8_t> settings;
  std::int32_t foreground_group = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("numbers", r.numbers, "version 1: every fd of this open file description");
    v.field("stream", r.stream, "0 input, 1 output, 2 error: replaced by the restorer's own");
    v.since(2, "object", r.object, "number of this object, which descriptors refer to");
    v.since(2, "settings", r.settings, "of a terminal: struct termios2");
    v.since(2, "foreground_group", r.foreground_group,
            "of the application's controlling terminal: the process group in the foreground, 0 for the one it was "
            "started in");
  }
};

// Bytes in a pipe that one write in packet mode made, or that come as a stream.
struct PipePacket {
  std::uint32_t bytes = 0;
  bool packet = false;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("bytes", r.bytes, "how many of the pipe's bytes, in their order");
    v.field("packet", r.packet, "written in packet mode (O_DIRECT)");
  }
};

struct Pipe {
  static constexpr RecordType kType = RecordType::Pipe;
  static constexpr const char* kName = "pipe";
  std::vector<FdNumber> readers, writers;
  std::uint32_t read_flags = 0, write_flags = 0, capacity = 0;
  std::vector<std::uint8_t> data;
  std::uint32_t object = 0;
  std::vector<PipePacket> packets;
  std::vector<std::uint32_t> more_flags;
  std::string fifo_path;
  bool never_written = false;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("readers", r.readers, "version 1: fds of the read end; none: closed");
    v.field("writers", r.writers, "version 1: fds of the write end; none: closed");
    v.hex("read_flags", r.read_flags, "status flags of the read end");
    v.hex("write_flags", r.write_flags, "status flags of the write end (O_DIRECT: packet mode)");
    v.field("capacity", r.capacity, "F_GETPIPE_SZ, bytes");
    v.field("data", r.data, "bytes in flight");
    v.since(2, "object", r.object, "number of this object, which descriptors refer to");
    v.since(2, "packets", r.packets, "how `data` is divided, if some of it is packets");
    v.since(2, "more_flags", r.more_flags,
            "flags, with the access mode, of further descriptions of the pipe: ends 2 and up");
    v.since(2, "fifo_path", r.fifo_path, "path of a FIFO, empty for a pipe without a name");
    v.since(2, "never_written", r.never_written, "nobody has had the FIFO's writing end, which poll(2) tells");
  }
};

struct Eventfd {
  static constexpr RecordType kType = RecordType::Eventfd;
  static constexpr const char* kName = "eventfd";
  std::vector<FdNumber> numbers;
  std::uint64_t count = 0;
  bool semaphore = false;
  std::uint32_t flags = 0;
  std::uint32_t object = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("numbers", r.numbers, "version 1: every fd of this open file description");
    v.field("count", r.count, "counter");
    v.field("semaphore", r.semaphore, "EFD_SEMAPHORE");
    v.hex("flags", r.flags, "status flags");
    v.since(2, "object", r.object, "number of this object, which descriptors refer to");
  }
};

struct Timerfd {
  static constexpr RecordType kType = RecordType::Timerfd;
  static constexpr const char* kName = "timerfd";
  std::vector<FdNumber> numbers;
  std::uint32_t clock_id = 0, flags = 0, settime_flags = 0;
  std::uint64_t ticks = 0;
  std::int64_t interval_ns = 0, remaining_ns = 0;
  std::uint32_t object = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("numbers", r.numbers, "version 1: every fd of this open file description");
    v.field("clock_id", r.clock_id, "clockid_t");
    v.hex("flags", r.flags, "status flags");
    v.field("settime_flags", r.settime_flags, "TFD_TIMER_ABSTIME 1, TFD_TIMER_CANCEL_ON_SET 2");
    v.field("ticks", r.ticks, "expirations not read yet");
    v.field("interval_ns", r.interval_ns, "period, ns");
    v.field("remaining_ns", r.remaining_ns, "time to the next expiry at the checkpoint, ns; 0 if disarmed");
    v.since(2, "object", r.object, "number of this object, which descriptors refer to");
  }
};

struct Watch {
  std::int32_t number = 0;
  std::string path;
  std::uint32_t mask = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("number", r.number, "watch descriptor");
    v.field("path", r.path, "what is watched");
    v.hex("mask", r.mask, "events and flags");
  }
};

struct Inotify {
  static constexpr RecordType kType = RecordType::Inotify;
  static constexpr const char* kName = "inotify";
  std::uint32_t object = 0;
  std::uint32_t flags = 0;
  std::vector<Watch> watches;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("object", r.object, "number of this object, which descriptors refer to");
    v.hex("flags", r.flags, "status flags");
    v.field("watches", r.watches, "ascending by number");
  }
};

struct EpollTarget {
  std::int32_t fd = -1;
  std::uint32_t events = 0;
  std::uint64_t data = 0;
  std::uint32_t object = 0;
  std::uint32_t end = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("fd", r.fd, "number that it was registered under");
    v.hex("events", r.events, "event mask and flags");
    v.hex("data", r.data, "user data");
    v.since(2, "object", r.object, "the object that is watched");
    v.since(2, "end", r.end, "which end of it");
  }
};

struct Epoll {
  static constexpr RecordType kType = RecordType::Epoll;
  static constexpr const char* kName = "epoll";
  std::vector<FdNumber> numbers;
  std::uint32_t flags = 0;
  std::vector<EpollTarget> targets;
  std::uint32_t object = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("numbers", r.numbers, "version 1: every fd of this open file description");
    v.hex("flags", r.flags, "status flags");
    v.field("targets", r.targets, "registrations");
    v.since(2, "object", r.object, "number of this object, which descriptors refer to");
  }
};

}  // namespace stasis::image
