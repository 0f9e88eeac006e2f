// Stamps of verified page files: a line of text that must be equal, byte for byte, to the one that the file as it is
// now would get.
#include <fcntl.h>
#include <sys/stat.h>

#include <array>

#include "image/files.h"
#include "image/present.h"

namespace stasis::image {

std::string stamp_name(const FileStatus& status) {
  return std::to_string(status.device) + "-" + std::to_string(status.inode);
}

std::string stamp_text(const FileStatus& status, std::uint64_t records_checksum) {
  return "verified size=" + std::to_string(status.bytes) + " modified=" + std::to_string(status.modified_ns) +
         " changed=" + std::to_string(status.changed_ns) + " records=" + hex_number(records_checksum) + "\n";
}

bool has_stamp(const std::string& stamp_directory, const FileStatus& status, std::uint64_t records_checksum) {
  const std::string path = stamp_directory + "/" + stamp_name(status);
  auto file = open_file_at(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, "opening a stamp");
  if (!file.ok()) return false;
  const std::string expected = stamp_text(status, records_checksum);
  std::array<std::uint8_t, 256> buffer;
  auto count = read_at(file.value().get(), buffer, 0, path);
  return count.ok() && std::string(buffer.begin(), buffer.begin() + count.value()) == expected;
}

void leave_stamp(const std::string& stamp_directory, const FileStatus& status, std::uint64_t records_checksum) {
  // A write in the tick of the last change would leave the file with the same times: such a file is verified again next
  // time.
  if (file_clock_ns() <= status.changed_ns) return;
  ::mkdir(stamp_directory.c_str(), 0700);
  auto directory = open_directory(stamp_directory, "opening the directory of stamps");
  if (!directory.ok()) return;
  const std::string text = stamp_text(status, records_checksum);
  // A stamp that cannot be written costs the next restore a verification, nothing else.
  (void)replace_file_at(directory.value().get(), stamp_name(status),
                        {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, 0600);
}

}  // namespace stasis::image
