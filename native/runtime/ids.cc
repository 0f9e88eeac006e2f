// The table of this process: mapping it, and the translations that every handler uses (ids.h). The algorithms on the
// table itself are in ids_table.cc.
#include "runtime/ids.h"

#include <linux/mman.h>

#include "runtime/syscall.h"

namespace stasis::runtime {

i64 map_ids(const Marker& marker) {
  if (marker.ids_fd < 0) return 0;
  const i64 mapped = raw_syscall(__NR_mmap, wire::kIdTableBase, wire::kIdTableBytes, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_FIXED, marker.ids_fd, 0);
  if (is_error(mapped)) return mapped;
  const wire::IdTableHeader& header = *id_table().header();
  if (header.magic != wire::kIdTableMagic || header.version != wire::kIdTableVersion ||
      header.table_bytes != wire::kIdTableBytes || header.checksum != wire::id_header_checksum(header)) {
    return -ENOEXEC;
  }
  g_private.ids = 1;
  return 0;
}

i32 parked_fd() { return ids_on() ? static_cast<i32>(id_table().header()->parked_fd) : -1; }

}  // namespace stasis::runtime
