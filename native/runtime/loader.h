// Mapping an ELF file as the kernel would (fs/binfmt_elf.c).
#pragma once

#include "runtime/program_file.h"
#include "wire/types.h"

namespace stasis::runtime {

struct LoadedFile {
  u64 bias;  // added to the file's addresses
  u64 entry;
  u64 headers;  // address of the program headers, 0 if no segment holds them
  u32 header_count;
  bool executable_stack;
  // As in struct mm_struct: code and data by segment flags, break_start behind everything.
  u64 start_code, end_code, start_data, end_data, break_start;
};

// Where an ET_DYN file is wished: beginning at `at`, or ending at or shortly before `below`; 0 for no wish.
struct Place {
  u64 at, below;
};

// Maps all segments of a file whose header is checked: an ET_DYN file at its place if that is free, else where the
// kernel likes. 0 or -errno.
i64 load_file(const FileHead& head, Place place, LoadedFile* loaded);

}  // namespace stasis::runtime
