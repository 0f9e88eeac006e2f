// What is mapped at an address of this process, asked from the kernel: PROCMAP_QUERY (kernel 6.11) or, where that is missing, the text
// of /proc/self/maps.
#pragma once

#include "wire/types.h"

namespace stasis::runtime {

struct MappingInfo {
  u64 begin, end;
  u32 protection;  // PROT_READ | PROT_WRITE | PROT_EXEC
  bool shared;
  u64 device;  // as stat(2) encodes it; of the file system as /proc/self/maps shows it
  u64 inode;   // 0 for anonymous memory
};

// An open view of the address space. Each query sees the mappings of that moment.
class MappingQuery {
 public:
  MappingQuery();
  ~MappingQuery();
  MappingQuery(const MappingQuery&) = delete;
  MappingQuery& operator=(const MappingQuery&) = delete;

  bool ok() const { return fd_ >= 0; }

  // The mapping that covers `address`, or else the next one above it. False if there is none.
  bool find(u64 address, MappingInfo* info) const;

 private:
  bool find_in_text(u64 address, MappingInfo* info) const;

  i64 fd_;
};

}  // namespace stasis::runtime
