// The lines of /proc/self/maps, in order, with the start of their names. For questions about one address see
// mapping_query.h.
#pragma once

#include "wire/types.h"

namespace stasis::runtime {

struct MapsLine {
  u64 begin, end;
  char name[16];  // cut off if longer
};

class MapsReader {
 public:
  MapsReader();
  ~MapsReader();
  MapsReader(const MapsReader&) = delete;
  MapsReader& operator=(const MapsReader&) = delete;

  // False at the end, or if /proc cannot be read.
  bool next(MapsLine* line);

 private:
  i32 get();
  u64 hex(i32* stopped_at);

  i64 fd_;
  u32 used_ = 0, filled_ = 0;
  char buffer_[512];
};

}  // namespace stasis::runtime
