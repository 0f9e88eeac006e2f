// Exact semantics of anonymous memory for pages that are mapped from an image: madvise(2) and mremap(2) of restored processes.
#pragma once

#include "wire/descriptor.h"
#include "wire/plan.h"
#include "wire/types.h"

namespace stasis::runtime {

// Copies the table of image-backed ranges to kImageTableBase and maps the bitmap of their pages (`pages` bits, all clear: every page
// still comes from the image) behind it. Call after the ranges have been mapped and before the program runs. 0 or -errno.
i64 set_image_ranges(const wire::ImageRange* ranges, u64 count, u64 pages, const wire::PageFileIdentity* page_files,
                     u32 page_file_count);

// The trapped call: the program's arguments, the kernel's result.
i64 exact_mremap(u64 address, u64 old_length, u64 new_length, u64 flags, u64 new_address);

}  // namespace stasis::runtime
