#include "restore/working_set.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "os/file.h"
#include "wire/layout.h"
#include "wire/working_set.h"

namespace stasis::restore {

namespace {

using wire::kPageBytes;
using wire::WorkingSetHeader;
using wire::WorkingSetRange;

// An image has one page file, as the checkpoint makes it.
constexpr const char* kPageFileName = "pages-0.raw";

std::uint64_t end_of(const WorkingSetRange& range) { return range.address + range.pages * kPageBytes; }

bool are_sound(const std::vector<WorkingSetRange>& ranges) {
  std::uint64_t least = kPageBytes, pages = 0;
  for (const WorkingSetRange& range : ranges) {
    if (range.pages == 0 || range.pages > wire::kWorkingSetMaxPages || range.address % kPageBytes != 0) return false;
    if (range.address < least || range.address >= wire::kUserTop || end_of(range) > wire::kUserTop) return false;
    least = end_of(range);
    pages += range.pages;
  }
  return pages <= wire::kWorkingSetMaxPages;
}

// False: the file is not one that the keeper wrote for this state of the page file.
bool parse(int fd, const std::string& path, const std::string& stamp, std::vector<WorkingSetRange>& ranges) {
  std::vector<std::uint8_t> bytes(sizeof(WorkingSetHeader) + wire::kWorkingSetMaxRanges * sizeof(WorkingSetRange) + 1);
  auto count = read_at(fd, bytes, 0, path);
  if (!count.ok() || count.value() < sizeof(WorkingSetHeader)) return false;
  WorkingSetHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != wire::kWorkingSetMagic) return false;
  if (header.count == 0 || header.count > wire::kWorkingSetMaxRanges) return false;
  if (count.value() != sizeof header + header.count * sizeof(WorkingSetRange)) return false;
  if (stamp.size() >= sizeof header.stamp ||
      stamp != std::string(header.stamp, strnlen(header.stamp, sizeof header.stamp)))
    return false;
  ranges.resize(header.count);
  std::memcpy(ranges.data(), bytes.data() + sizeof header, header.count * sizeof(WorkingSetRange));
  return are_sound(ranges);
}

}  // namespace

std::string working_set_path(const std::string& stamp_directory, const FileStatus& page_file) {
  return stamp_directory + "/" + image::stamp_name(page_file) + ".written";
}

std::vector<WorkingSetRange> read_working_set(const std::string& stamp_directory, const FileStatus& page_file,
                                              std::uint64_t records_checksum) {
  const std::string path = working_set_path(stamp_directory, page_file);
  auto file = open_file_at(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, "opening a working set");
  if (!file.ok()) return {};
  std::vector<WorkingSetRange> ranges;
  if (parse(file.value().get(), path, image::stamp_text(page_file, records_checksum), ranges)) return ranges;
  ::unlink(path.c_str());
  return {};
}

std::vector<std::string> working_set_arguments(const std::string& stamp_directory, const std::string& directory,
                                               std::uint64_t records_checksum) {
  if (stamp_directory.empty()) return {};
  const std::string page_file = directory + "/" + kPageFileName;
  auto fd = open_file_at(AT_FDCWD, page_file, O_PATH | O_NOFOLLOW, 0, "looking for the page file");
  if (!fd.ok()) return {};
  auto status = status_of(fd.value().get(), page_file);
  if (!status.ok()) return {};
  const std::string path = working_set_path(stamp_directory, status.value());
  if (::access(path.c_str(), F_OK) == 0) return {};
  // As the maps of the process will name it.
  char* real = ::realpath(page_file.c_str(), nullptr);
  if (real == nullptr) return {};
  std::vector<std::string> arguments = {"--working-set",     path,
                                        "--page-file",       real,
                                        "--page-file-stamp", image::stamp_text(status.value(), records_checksum)};
  std::free(real);
  return arguments;
}

void plan_working_set(const std::vector<WorkingSetRange>& ranges, PlanBuilder& plan) {
  auto map = plan.maps.begin();
  for (const WorkingSetRange& range : ranges) {
    // Mappings come first in a plan, in ascending order.
    while (map != plan.maps.end() && map->address + map->length <= range.address) ++map;
    for (auto piece = map; piece != plan.maps.end() && piece->address < end_of(range); ++piece) {
      if (piece->kind != wire::MapKind::Image || (piece->protection & PROT_WRITE) == 0) continue;
      const std::uint64_t start = std::max(piece->address, range.address);
      const std::uint64_t end = std::min(piece->address + piece->length, end_of(range));
      if (start < end) plan.working_set.push_back({start, (end - start) / kPageBytes});
    }
  }
}

}  // namespace stasis::restore
