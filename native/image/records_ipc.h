// Records of memory and of other things that processes share by no file descriptor alone. image/records.h has the rules of the place.
#pragma once

#include "image/records.h"

namespace stasis::image {

enum class SharedMemoryKind : std::uint32_t {
  Anonymous = 1,  // mmap(2) with MAP_SHARED | MAP_ANONYMOUS
  Memfd,          // memfd_create(2)
  SystemV,        // shmget(2)
  File,           // found by its name; the content is for where it is gone or has changed
  DeletedFile,    // has descriptors and no name any more
};

// What System V objects have in common.
struct IpcObject {
  std::int32_t id = -1;
  std::int32_t key = 0;
  std::uint32_t uid = 0, gid = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("id", r.id, "as the program knows it");
    v.field("key", r.key, "0: IPC_PRIVATE");
    v.field("uid", r.uid, "owner");
    v.field("gid", r.gid, "owner's group");
  }
};

// A set of System V semaphores.
struct Semaphores {
  static constexpr RecordType kType = RecordType::Semaphores;
  static constexpr const char* kName = "semaphores";
  IpcObject system;
  std::uint32_t mode = 0;
  std::vector<std::uint32_t> values;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("system", r.system, "id, key, owner");
    v.hex("mode", r.mode, "permission bits");
    v.field("values", r.values, "of each semaphore");
  }
};

// What a process has yet to undo at its end (SEM_UNDO).
struct SemaphoreUndo {
  static constexpr RecordType kType = RecordType::SemaphoreUndo;
  static constexpr const char* kName = "semaphore-undo";
  std::int32_t id = -1;
  std::uint32_t number = 0;
  std::int64_t adjustment = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("id", r.id, "of the set");
    v.field("number", r.number, "of the semaphore in it");
    v.field("adjustment", r.adjustment, "added to its value at the end of the process");
  }
};

struct IpcMessage {
  std::int64_t type = 0;
  std::vector<std::uint8_t> text;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("type", r.type, "type; priority in a POSIX queue");
    v.field("text", r.text, "bytes");
  }
};

// A System V message queue.
struct MessageQueue {
  static constexpr RecordType kType = RecordType::MessageQueue;
  static constexpr const char* kName = "message-queue";
  IpcObject system;
  std::uint32_t mode = 0;
  std::uint64_t most_bytes = 0;
  std::vector<IpcMessage> messages;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("system", r.system, "id, key, owner");
    v.hex("mode", r.mode, "permission bits");
    v.field("most_bytes", r.most_bytes, "msg_qbytes");
    v.field("messages", r.messages, "oldest first");
  }
};

// An open POSIX message queue (mq_open(3)).
struct PosixQueue {
  static constexpr RecordType kType = RecordType::PosixQueue;
  static constexpr const char* kName = "posix-queue";
  std::uint32_t object = 0;
  std::string name;
  bool unlinked = false;
  std::uint32_t flags = 0, mode = 0;
  std::uint64_t most_messages = 0, message_bytes = 0;
  std::vector<IpcMessage> messages;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("object", r.object, "number of this object");
    v.field("name", r.name, "with its slash");
    v.field("unlinked", r.unlinked, "it has no name any more");
    v.hex("flags", r.flags, "access mode and status flags");
    v.hex("mode", r.mode, "permission bits");
    v.field("most_messages", r.most_messages, "mq_maxmsg");
    v.field("message_bytes", r.message_bytes, "mq_msgsize");
    v.field("messages", r.messages, "in the order in which they would be received");
  }
};

// Memory that several mappings, attachments or descriptors show: stored once, and one again after the restore.
struct SharedMemory {
  static constexpr RecordType kType = RecordType::SharedMemory;
  static constexpr const char* kName = "shared-memory";
  std::uint32_t object = 0;
  SharedMemoryKind kind = SharedMemoryKind::Anonymous;
  std::string name;
  std::uint64_t bytes = 0;
  std::uint32_t mode = 0;
  std::uint32_t seals = 0;
  IpcObject system;
  bool removed = false;
  std::vector<PageRun> runs;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("object", r.object, "number of this object, which mappings and descriptors refer to");
    v.field("kind", r.kind, "1 anonymous, 2 memfd, 3 System V segment, 4 file, 5 deleted file");
    v.field("name", r.name, "of a memfd; path of a file");
    v.field("bytes", r.bytes, "size");
    v.hex("mode", r.mode, "permission bits");
    v.hex("seals", r.seals, "F_GET_SEALS of a memfd");
    v.field("system", r.system, "of a System V segment; owner of a file");
    v.field("removed", r.removed, "of a System V segment: gone with its last attachment (IPC_RMID)");
    v.field("runs", r.runs,
            "stored pages, ascending; `address` is the offset in the object; pages in no run are zeros");
  }
};

}  // namespace stasis::image
