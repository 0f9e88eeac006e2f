// What sendmsg(2), recvmsg(2) and their plural forms find in memory, as the kernel has it.
#pragma once

#include "wire/types.h"

namespace stasis::runtime {

struct MessageHeader {  // struct user_msghdr
  u64 name;
  u32 name_bytes, padding;
  u64 vector, vector_count;
  u64 control, control_bytes;
  u32 flags, padding2;
};
static_assert(sizeof(MessageHeader) == 56);

struct MessageInArray {  // struct mmsghdr
  MessageHeader header;
  u32 bytes, padding;
};
static_assert(sizeof(MessageInArray) == 64);

struct ControlHeader {  // struct cmsghdr
  u64 bytes;
  i32 level, type;
};

inline constexpr u32 kMaxMessages = 1024;  // UIO_MAXIOV, which the kernel caps sendmmsg(2) and recvmmsg(2) at

// Where the next control message begins, counted from this one.
inline u64 step_of(const ControlHeader& header) { return (header.bytes + 7) & ~7UL; }

}  // namespace stasis::runtime
