// The translation table of one application: which number the program knows (virtual) stands for which number this
// kernel uses (system). One memfd, mapped shared at kIdTableBase in every process of the application, inherited by fork,
// mapped again after an exec; the host reads the same file.
//
//     +0x0000000  header, one page
//     +0x0001000  overrides: a process group or session whose leader is not in the restored image
//     +0x0010000  objects: ids of ipc, timers
//     +0x0210000  index of the objects by system value
//     +0x0300000  ports: for each TCP port, then each UDP port, a word of what is bound to it (runtime/net_address.h)
//     +0x1000000  forward: for each virtual pid a word
//     +0x3000000  reverse: for each system pid its virtual one
//
// 2^22 is the kernel's own limit for pids (PID_MAX_LIMIT, linux/threads.h), so the arrays hold all there can be; the file
// is sparse, and only pages in use cost memory.
//
// Rules. Nothing is ever locked or waited for, and a process may be killed between any two instructions:
//   - a pid's entry is live only if both directions agree: forward[v].system == s and reverse[s] == v. Each is one atomic
//     word. What a killed process leaves half done fails this test; readers ignore it and allocators take it over;
//   - an object's slot is claimed by a compare-and-swap, filled, and published by one store. A claim whose claimer is dead
//     may be taken over, one whose claimer lives never is.
#pragma once

#include "wire/layout.h"
#include "wire/types.h"

namespace stasis::wire {

inline constexpr u64 kIdTableMagic = 0x3173646973697473;  // "stisids1" in memory order
inline constexpr u32 kIdTableVersion = 1;
inline constexpr u32 kPidLimit = 1 << 22;
inline constexpr u32 kFirstAllocatedPid = 300;  // the kernel's RESERVED_PIDS: below are processes of the boot
inline constexpr u64 kIdOverridesOffset = 0x1000, kIdObjectsOffset = 0x10000, kIdObjectIndexOffset = 0x210000;
inline constexpr u64 kIdPortsOffset = 0x300000;
inline constexpr u64 kIdForwardOffset = 0x1000000, kIdReverseOffset = 0x3000000;
inline constexpr u32 kIdOverrides = 3840, kIdObjects = 65536, kIdIndexSlots = 131072;

// A helper that leads a session has two overrides, and so has the application's first process.
inline constexpr u32 kMostIdHelpers = kIdOverrides / 2 - 1;

enum class IdKind : u32 {
  Process = 1,
  Group,
  Session,
  SharedMemory,
  Semaphore,
  MessageQueue,
  Timer,
  Port,
  Address,
  Path,
};

enum class IdState : u32 {
  Free = 0,
  Live,   // has a system id
  Gone,   // ended and waited for; its number may still name a process group
  Known,  // an id of the image without a system id: reserved, so that nobody else is ever given it
};

inline constexpr u32 kIdThread = 1;   // a thread that does not lead its process
inline constexpr u32 kIdForeign = 2;  // not of this application
inline constexpr u32 kIdFromImage = 4;

// One forward word: system 22 bits, state 2, flags 8, seen 32, from the low end. `seen` is when the system id was last
// known to be this very task: CLOCK_BOOTTIME in units of 2^24 ns (16.8 ms), which wraps in 2.3 years.
struct ForwardWord {
  u32 system;
  IdState state;
  u32 flags;
  u32 seen;

  static constexpr ForwardWord unpack(u64 word) {
    return {static_cast<u32>(word & (kPidLimit - 1)), static_cast<IdState>(word >> 22 & 3),
            static_cast<u32>(word >> 24 & 255), static_cast<u32>(word >> 32)};
  }
  constexpr u64 pack() const {
    return static_cast<u64>(system) | static_cast<u64>(state) << 22 | static_cast<u64>(flags) << 24 |
           static_cast<u64>(seen) << 32;
  }
};

constexpr u32 id_stamp(i64 boottime_ns) { return static_cast<u32>(boottime_ns >> 24); }
constexpr bool not_before(u32 a, u32 b) { return static_cast<i32>(a - b) >= 0; }

struct IdOverride {
  u32 kind;  // Group or Session
  u32 virtual_id;
  u32 system_id;
  u32 state;  // 1: live; stored last. 0 under a number that is counted: whoever took it has not come so far, or was killed
};
static_assert(kIdOverridesOffset + kIdOverrides * sizeof(IdOverride) <= kIdObjectsOffset);

enum class ObjectState : u32 { Free = 0, Claimed, Live, Removed };

// key: state 2 bits | kind 6 | owner 24 (virtual pid; 0: the application) | virtual 32. A claimed one has no kind at
// first, and the claimer's system tid in place of the virtual id (runtime/ids_objects.cc).
struct IdObject {
  u64 key;
  u64 value;    // system id
  u64 claimer;  // system tid
  u64 reserved;
};
static_assert(sizeof(IdObject) == 32);

struct IdTableHeader {
  u64 magic;
  u32 version;
  u32 header_bytes;
  u64 table_bytes;
  u32 checksum;     // 32-bit FNV-1a of the bytes from `shift` to `application`, which never change
  u32 shift;        // --shift-ids
  u32 parts;        // filter parts of the application (wire/parts.h)
  u32 environment;  // network number, 0: none
  u32 own_address;  // host part inside it
  u32 reserved;
  char application[64];  // its id, NUL-terminated
  // From here on it changes.
  u64 device, inode;          // of the memfd (fstat), which tells it from another file that took the parked number
  u32 parked_fd;              // the number at which every process of the application holds the memfd
  u32 keeper_pid, keeper_fd;  // where the memfd can be opened again, 0: nowhere
  u32 next_virtual;           // where the search for a free virtual pid starts; any value is right
  u32 override_count;
  u32 object_high;      // upper bound of the objects ever used
  u32 next_object[16];  // by kind
};
static_assert(sizeof(IdTableHeader) <= kPageBytes);

// Address arithmetic on a mapped table, wherever it is mapped.
struct IdTableView {
  u8* base;

  IdTableHeader* header() const { return reinterpret_cast<IdTableHeader*>(base); }
  IdOverride* overrides() const { return reinterpret_cast<IdOverride*>(base + kIdOverridesOffset); }
  IdObject* objects() const { return reinterpret_cast<IdObject*>(base + kIdObjectsOffset); }
  u32* index() const { return reinterpret_cast<u32*>(base + kIdObjectIndexOffset); }
  u32* ports() const { return reinterpret_cast<u32*>(base + kIdPortsOffset); }
  u64* forward() const { return reinterpret_cast<u64*>(base + kIdForwardOffset); }
  u32* reverse() const { return reinterpret_cast<u32*>(base + kIdReverseOffset); }
};

inline u32 id_header_checksum(const IdTableHeader& header) {
  const u8* from = reinterpret_cast<const u8*>(&header.shift);
  const u8* to = reinterpret_cast<const u8*>(&header.application) + sizeof header.application;
  u32 hash = 2166136261u;
  for (; from != to; from++) hash = (hash ^ *from) * 16777619u;
  return hash;
}

}  // namespace stasis::wire
