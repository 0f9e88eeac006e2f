#include "os/build_id.h"

#include <elf.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace stasis {

namespace {

constexpr std::size_t kMaxHeaders = 128;
constexpr std::size_t kMaxNoteBytes = 64 * 1024;
constexpr std::size_t kMaxIdBytes = 64;

bool read_exactly(int fd, void* into, std::size_t bytes, std::uint64_t offset) {
  return offset <= INT64_MAX - bytes &&
         ::pread(fd, into, bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes);
}

std::string hex_of(const std::uint8_t* bytes, std::size_t count) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

std::size_t aligned(std::size_t value, std::size_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

// elf(5): notes are header, name and descriptor, each padded to the segment's alignment.
std::string find_build_id(const std::vector<std::uint8_t>& notes, std::size_t alignment) {
  std::size_t at = 0;
  while (notes.size() - at >= sizeof(Elf64_Nhdr)) {
    Elf64_Nhdr note;
    std::memcpy(&note, &notes[at], sizeof note);
    at += sizeof note;
    std::size_t name_bytes = aligned(note.n_namesz, alignment), id_bytes = aligned(note.n_descsz, alignment);
    if (name_bytes > notes.size() - at || id_bytes > notes.size() - at - name_bytes) break;
    const std::uint8_t* name = notes.data() + at;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0 &&
        note.n_descsz <= kMaxIdBytes) {
      return hex_of(name + name_bytes, note.n_descsz);
    }
    at += name_bytes + id_bytes;
  }
  return {};
}

}  // namespace

std::string build_id_of(int fd) {
  Elf64_Ehdr header;
  if (!read_exactly(fd, &header, sizeof header, 0)) return {};
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_phentsize != sizeof(Elf64_Phdr) ||
      header.e_phnum > kMaxHeaders) {
    return {};
  }
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  if (!read_exactly(fd, segments.data(), segments.size() * sizeof(Elf64_Phdr), header.e_phoff)) return {};
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_NOTE || segment.p_filesz > kMaxNoteBytes) continue;
    std::vector<std::uint8_t> notes(segment.p_filesz);
    if (!read_exactly(fd, notes.data(), notes.size(), segment.p_offset)) continue;
    // Some linkers leave p_align 0 or 1 where 4 is meant; 8 is used for GNU properties only.
    std::string id = find_build_id(notes, segment.p_align == 8 ? 8 : 4);
    if (!id.empty()) return id;
  }
  return {};
}

}  // namespace stasis
