// Memory that several mappings or descriptors show: a memory file each, made and filled once, which the processes map.
// Memory that a single mapping shows and no descriptor needs none (memory.cc).
#include <algorithm>

#include "restore/builders.h"

namespace stasis::restore {

namespace {

// What the checkpoint of a restored application knows as anonymous memory again (checkpoint/shared_memory.cc).
constexpr const char* kAnonymousName = "stasis-shared";

bool is_shown_once(const image::Image& image, const image::SharedMemory& memory) {
  if (memory.kind != image::SharedMemoryKind::Anonymous) return false;
  std::size_t shown = 0;
  for (const image::ProcessImage& section : image.processes) {
    for (const image::Mapping& mapping : section.mappings) shown += mapping.object == memory.object ? 1 : 0;
  }
  for (const image::OpenFile& file : image.open_files) shown += file.memory == memory.object ? 2 : 0;
  return shown <= 1;
}

// Of a deleted file; a memory file's name has a slash only if the program gave it one.
std::string base_name(const image::SharedMemory& memory) {
  return memory.kind == image::SharedMemoryKind::DeletedFile ? memory.name.substr(memory.name.rfind('/') + 1)
                                                             : memory.name;
}

}  // namespace

Status plan_shared_memory(const image::Image& image, const RestoreInputs& inputs, GroupBuilder& group) {
  for (const image::SharedMemory& memory : image.shared_memory) {
    if (memory.kind == image::SharedMemoryKind::File || memory.kind == image::SharedMemoryKind::SystemV ||
        is_shown_once(image, memory))
      continue;
    std::vector<wire::SegmentPiece> pieces;
    for (const image::PageRun& run : memory.runs) {
      const PageFileLocation& file = inputs.page_files[run.page_file];
      // The last page of a file may reach over its end.
      const std::uint64_t length = std::min(run.length, memory.bytes - std::min(memory.bytes, run.address));
      if (length == 0) continue;
      pieces.push_back({.offset = run.address,
                        .length = length,
                        .file_offset = run.file_offset,
                        .file = group.add_file(file.path, file.device, file.inode),
                        .reserved = 0});
    }
    const bool anonymous = memory.kind == image::SharedMemoryKind::Anonymous;
    const std::uint64_t name = group.add_string(anonymous ? kAnonymousName : base_name(memory));
    const bool deleted = memory.kind == image::SharedMemoryKind::DeletedFile;
    const std::string above = deleted ? memory.name.substr(0, memory.name.rfind('/')) : "";
    group.segments.push_back({.slot = group.add_own_slot(memory.object),
                              .seals = memory.seals,
                              .bytes = memory.bytes,
                              .name = name,
                              .pieces = group.bytes().add_array(pieces),
                              .directory = deleted ? group.add_string(above.empty() ? "/" : above) : 0,
                              .mode = memory.mode,
                              .reserved = 0});
  }
  return {};
}

}  // namespace stasis::restore
