// Mapping an ELF file as the kernel would (fs/binfmt_elf.c).
#pragma once

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

// Maps all segments of the file open at `fd`. An ET_DYN file goes to `hint` if it is given and free, else where the
// kernel likes. 0 or -errno.
i64 load_file(i32 fd, u64 hint, LoadedFile* loaded);

}  // namespace stasis::runtime
