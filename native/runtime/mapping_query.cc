#include "runtime/mapping_query.h"

#include <linux/fcntl.h>

#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

// struct procmap_query of linux/fs.h, repeated because build machines may have older headers.
struct ProcmapQuery {
  u64 size, query_flags, query_address;
  u64 begin, end, flags, page_size, offset, inode;
  u32 device_major, device_minor;
  u32 name_size, build_id_size;
  u64 name_address, build_id_address;
};
static_assert(sizeof(ProcmapQuery) == 104);

constexpr u64 kProcmapQuery = 0xc0686611;  // _IOWR('f', 17, struct procmap_query)
constexpr u64 kCoveringOrNext = 0x10;
constexpr u64 kSharedFlag = 0x08;

u64 encode_device(u64 major, u64 minor) { return (minor & 0xff) | (major << 8) | ((minor & ~0xffUL) << 12); }

// One line of /proc/self/maps: "begin-end rwxp offset major:minor inode   path". False if it is cut off before the inode ended.
bool parse_line(const char* line, const char* end, MappingInfo* info) {
  const char* at = line;
  info->begin = read_hex(at);
  if (at >= end || *at++ != '-') return false;
  info->end = read_hex(at);
  if (end - at < 6) return false;
  info->protection = (at[1] == 'r' ? 1U : 0U) | (at[2] == 'w' ? 2U : 0U) | (at[3] == 'x' ? 4U : 0U);
  info->shared = at[4] == 's';
  at += 6;
  read_hex(at);
  if (at >= end || *at++ != ' ') return false;
  const u64 major = read_hex(at);
  if (at >= end || *at++ != ':') return false;
  const u64 minor = read_hex(at);
  if (at >= end || *at++ != ' ') return false;
  info->device = encode_device(major, minor);
  info->inode = read_decimal(at);
  return at < end;
}

}  // namespace

MappingQuery::MappingQuery()
    : fd_(raw_syscall(__NR_openat, AT_FDCWD, "/proc/thread-self/maps", O_RDONLY | O_CLOEXEC, 0)) {}

MappingQuery::~MappingQuery() {
  if (fd_ >= 0) raw_syscall(__NR_close, fd_);
}

bool MappingQuery::find(u64 address, MappingInfo* info) const {
  ProcmapQuery query;
  memset(&query, 0, sizeof query);
  query.size = sizeof query;
  query.query_flags = kCoveringOrNext;
  query.query_address = address;
  const i64 result = raw_syscall(__NR_ioctl, fd_, kProcmapQuery, &query);
  if (result == -ENOENT) return false;
  if (result < 0) return find_in_text(address, info);
  info->begin = query.begin;
  info->end = query.end;
  info->protection = static_cast<u32>(query.flags & 7);
  info->shared = (query.flags & kSharedFlag) != 0;
  info->device = encode_device(query.device_major, query.device_minor);
  info->inode = query.inode;
  return true;
}

bool MappingQuery::find_in_text(u64 address, MappingInfo* info) const {
  // The part of a line up to the inode has at most 16+1+16+6+9+6+21 bytes; a path may follow that is longer than the buffer.
  char buffer[512];
  u64 held = 0;
  bool in_path = false;  // the buffer starts inside a line whose beginning has been looked at
  if (raw_syscall(__NR_lseek, fd_, 0, 0) < 0) return false;
  for (;;) {
    const i64 got = raw_syscall(__NR_read, fd_, buffer + held, sizeof buffer - 1 - held);
    if (got <= 0) return false;
    held += static_cast<u64>(got);
    buffer[held] = '\0';
    u64 at = 0;
    while (at < held) {
      u64 newline = at;
      while (newline < held && buffer[newline] != '\n') newline++;
      if (!in_path) {
        if (!parse_line(buffer + at, buffer + held, info)) break;
        if (info->end > address) return true;
        in_path = true;
      }
      if (newline == held) {
        at = held;
        break;
      }
      in_path = false;
      at = newline + 1;
    }
    memmove(buffer, buffer + at, held - at);
    held -= at;
  }
}

}  // namespace stasis::runtime
