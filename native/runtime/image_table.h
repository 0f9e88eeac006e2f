// Which addresses of a restored process are still mapped from an image. A sorted table of ranges, fixed at restore, and one bit for each
// page of theirs, set once the page has been replaced by real anonymous memory. Lives at kImageTableBase; absent (count 0) in processes
// that were never restored and in what they execute. A set bit is final; a clear one is only a hint, since the program may have mapped
// something else there: who acts on it asks the kernel first (mapping_query.h).
#pragma once

#include "runtime/mapping_query.h"
#include "wire/plan.h"
#include "wire/types.h"

namespace stasis::runtime {

class ImageTable {
 public:
  bool empty() const { return count_ == 0; }

  // True if some page of [begin, end) may still come from an image.
  bool touches(u64 begin, u64 end) const;

  // The range that covers `address`, or null.
  const wire::ImageRange* range_at(u64 address) const;

  // No page of [begin, end) comes from an image any more. Lock-free.
  void forget(u64 begin, u64 end);

  // True if `mapping` is a private mapping of one of the image's page files.
  bool is_image(const MappingInfo& mapping) const;

  i64 adopt(const wire::ImageRange* ranges, u64 count, u64 pages);

 private:
  u64 first_ending_after(u64 address) const;

  wire::ImageRange* ranges_;
  u8* bits_;
  u64 count_;
};

extern ImageTable g_image_table;

}  // namespace stasis::runtime
