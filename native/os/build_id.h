// The GNU build id of an ELF file: the note by which linkers tell builds apart (ld --build-id).
#pragma once

#include <string>

namespace stasis {

// Lower-case hex, empty if the file is not a 64-bit little-endian ELF file, has no such note or cannot be read. Reads
// only headers and notes, and never past limits of its own, so any file may be given. The file position is not used.
std::string build_id_of(int fd);

}  // namespace stasis
