// Records of memory and of other things that processes share by no file descriptor alone. image/records.h has the rules of the place.
#pragma once

#include "image/records.h"

namespace stasis::image {

enum class SharedMemoryKind : std::uint32_t {
  Anonymous = 1,  // mmap(2) with MAP_SHARED | MAP_ANONYMOUS
  Memfd,          // memfd_create(2)
  SystemV,        // shmget(2)
  File,  // a file that is deleted, or one in memory that only this application has open: restored from its content
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
  std::vector<PageRun> runs;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("object", r.object, "number of this object, which mappings and descriptors refer to");
    v.field("kind", r.kind, "1 anonymous, 2 memfd, 3 System V segment, 4 file");
    v.field("name", r.name, "of a memfd; path of a file");
    v.field("bytes", r.bytes, "size");
    v.hex("mode", r.mode, "permission bits");
    v.hex("seals", r.seals, "F_GET_SEALS of a memfd");
    v.field("runs", r.runs,
            "stored pages, ascending; `address` is the offset in the object; pages in no run are zeros");
  }
};

}  // namespace stasis::image
