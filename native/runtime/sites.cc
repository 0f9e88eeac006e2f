// Rewriting of call sites (sites.h).
//
// A stub area is two pages within reach of a 32-bit jump: stubs, which are executable, and behind them their data,
// writable: where each goes back to and its call's number.
//
// The store. Text pages are private to the process; they are made writable for it, for an instant and as a whole mapping,
// since a part of one would stay a mapping of its own. Five bytes within an aligned word of 8, or of 16 on processors with AVX, are replaced
// by one store (Intel SDM 3A, 9.1.1 "Guaranteed Atomic Operations"; AMD64 APM 2, 7.3.2), so that another thread executes
// the old instruction or the new one. Others are replaced only while the process has one thread.
#include "runtime/sites.h"

#include <linux/fcntl.h>
#include <linux/mman.h>

#include "runtime/ids.h"
#include "runtime/image_table.h"
#include "runtime/mapping_query.h"
#include "runtime/scratch.h"
#include "runtime/site_code.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "wire/parts.h"

extern "C" {
extern const char stasis_fast_entry[];
void stasis_store_16(void* to, const void* from);
}

namespace stasis::runtime {

namespace {

constexpr u32 kTrapsBeforeRewriting = 12;  // about what rewriting costs
constexpr u32 kCounters = 64;
constexpr u64 kSyscallBytes = 2;
constexpr u8 kJump = 0xe9, kTrapCode = 0xcc;

constexpr u64 kStubBytes = 32;
constexpr u32 kStubsInArea = wire::kPageBytes / kStubBytes;
constexpr u64 kReach = 0x7fff'0000;
constexpr u64 kAreaBytes = 2 * wire::kPageBytes;
constexpr u64 kSearchStep = 1 << 20;
constexpr u32 kSearchSteps = 1024;

struct StubData {
  u64 after;  // the address behind the program's system call
  u32 number;
  u32 moved_bytes;  // of the instruction that the stub begins with, 0: none
};
constexpr u64 kDataOffset = wire::kPageBytes;
constexpr u64 kTargetOffset = kDataOffset + kStubsInArea * sizeof(StubData);

struct Counter {
  u32 address;  // low half
  u32 traps;
};
STASIS_HOT Counter g_counters[kCounters];
u32 g_stubs_used[wire::kMaxStubAreas];

// Calls whose handlers may be given up at any instant (fast_call.h).
bool has_fast_handler(u64 number) {
  switch (number) {
    case __NR_rt_sigaction:
    case __NR_rt_sigprocmask:
    case __NR_madvise:
    case __NR_readlink:
    case __NR_readlinkat:
      return true;
    case __NR_getpid:
    case __NR_gettid:
    case __NR_getppid:
    case __NR_getpgrp:
    case __NR_getpgid:
    case __NR_getsid:
    case __NR_kill:
    case __NR_tkill:
    case __NR_tgkill:
    case __NR_getpriority:
    case __NR_setpriority:
    case __NR_sched_getparam:
    case __NR_sched_setparam:
    case __NR_sched_getscheduler:
    case __NR_sched_setscheduler:
    case __NR_sched_getaffinity:
    case __NR_sched_setaffinity:
    case __NR_prlimit64:
    case __NR_open:
    case __NR_openat:
    case __NR_stat:
    case __NR_lstat:
    case __NR_newfstatat:
    case __NR_statx:
    case __NR_access:
    case __NR_faccessat:
    case __NR_faccessat2:
      return ids_on();
    default:
      return false;
  }
}

struct Site {
  u64 address;      // of the mov
  u64 after;        // behind the system call
  u32 moved_bytes;  // between the two
};

// The site of the system call that ends at `after`, in text that begins at `begin`. False if it is none of the form.
bool find_site(u64 begin, u64 after, u64 number, Site* site) {
  for (u32 moved = 0; moved <= kMostMovedBytes; moved++) {
    const u64 address = after - kSyscallBytes - moved - wire::kSiteBytes;
    if (address < begin + kLookBehind) return false;
    const auto* code = reinterpret_cast<const u8*>(address);
    if (!is_plain_site(code, number)) continue;
    if (moved != 0 && movable_instruction(code + wire::kSiteBytes) != moved) continue;
    *site = {address, after, moved};
    return true;
  }
  return false;
}

// "Key:\tNUMBER" in /proc/self/status.
struct Status {
  u64 tracer = ~0UL, threads = ~0UL;
};

bool read_status(char* buffer, u64 capacity, Status* status) {
  const i64 fd = raw_syscall(__NR_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return false;
  const i64 length = raw_syscall(__NR_read, fd, buffer, capacity - 1);
  raw_syscall(__NR_close, fd);
  if (length <= 0) return false;
  buffer[length] = 0;
  for (const char* line = buffer; *line != 0; line++) {
    const auto value = [line](const char* key) {
      const char* text = line + string_length(key);
      return read_decimal(text);
    };
    if (starts_with(line, "TracerPid:\t")) status->tracer = value("TracerPid:\t");
    if (starts_with(line, "Threads:\t")) status->threads = value("Threads:\t");
    while (*line != 0 && *line != '\n') line++;
    if (*line == 0) break;
  }
  return status->tracer != ~0UL && status->threads != ~0UL;
}

// The program's own file, by its inode: in the main program nothing is rewritten. Without one to compare with, neither.
bool is_main_program(u64 inode) {
  u8 buffer[256];  // struct stat has 144 bytes; st_ino is its second word (asm/stat.h)
  if (raw_syscall(__NR_newfstatat, AT_FDCWD, g_state.exe_path, buffer, 0) < 0) return true;
  u64 own;
  memcpy(&own, buffer + sizeof(u64), sizeof own);
  return own == inode;
}

bool in_reach(u64 area, u64 site) {
  const u64 distance = area > site ? area - site : site - area;
  return distance < kReach;
}

void put_instruction(u8* stub, u32* at, const u8* code, u32 code_bytes, const void* target) {
  memcpy(stub + *at, code, code_bytes);
  *at += code_bytes + 4;
  const u32 distance = static_cast<u32>(reinterpret_cast<u64>(target) - reinterpret_cast<u64>(stub + *at));
  memcpy(stub + *at - 4, &distance, sizeof distance);
}

//     the moved instruction, if there is one
//     mov data.after(%rip), %rcx ; mov data.number(%rip), %eax ; jmp *target(%rip)
bool write_stub(u8* area, u32 index, const u8* moved) {
  constexpr u8 kLoadRcx[] = {0x48, 0x8b, 0x0d}, kLoadEax[] = {0x8b, 0x05}, kJumpTo[] = {0xff, 0x25};
  u8* stub = area + index * kStubBytes;
  const auto& data = reinterpret_cast<const StubData*>(area + kDataOffset)[index];
  u32 at = data.moved_bytes;
  if (at != 0 && !move_instruction(moved, at, stub, reinterpret_cast<u64>(stub))) return false;
  put_instruction(stub, &at, kLoadRcx, sizeof kLoadRcx, &data.after);
  put_instruction(stub, &at, kLoadEax, sizeof kLoadEax, &data.number);
  put_instruction(stub, &at, kJumpTo, sizeof kJumpTo, area + kTargetOffset);
  return true;
}
static_assert(kMostMovedBytes + 19 <= kStubBytes);

// Near the mapping, below it: what grows upwards from there is the program's.
u64 make_area(const MappingInfo& mapping) {
  for (u32 step = 0; step < kSearchSteps; step++) {
    const u64 address = mapping.begin - kAreaBytes - step * kSearchStep;
    if (address > mapping.begin) return 0;
    const i64 made = raw_syscall(__NR_mmap, address, kAreaBytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (made == static_cast<i64>(address)) {
      memset(reinterpret_cast<void*>(address), kTrapCode, wire::kPageBytes);
      *reinterpret_cast<u64*>(address + kTargetOffset) = reinterpret_cast<u64>(stasis_fast_entry);
      return address;
    }
    if (!is_error(made)) raw_syscall(__NR_munmap, made, kAreaBytes);  // before 4.17 the flag is a hint only
    if (made != -EEXIST && is_error(made)) return 0;
  }
  return 0;
}

// A stub that the site can reach, 0 if there is none.
u64 make_stub(const MappingInfo& mapping, const Site& site, u64 number) {
  u32 i = 0;
  const u32 count = g_state.stub_area_count;
  while (i < count && (g_stubs_used[i] == kStubsInArea || !in_reach(g_state.stub_areas[i].begin, site.after))) i++;
  if (i == wire::kMaxStubAreas) return 0;
  if (i == count) {
    const u64 area = make_area(mapping);
    if (area == 0) return 0;
    g_state.stub_areas[i] = {area, area + kAreaBytes};
    g_stubs_used[i] = 0;
    __atomic_store_n(&g_state.stub_area_count, i + 1, __ATOMIC_RELEASE);
    if (!in_reach(area, site.after)) return 0;
  }
  const u64 area = g_state.stub_areas[i].begin;
  const u32 index = g_stubs_used[i];
  reinterpret_cast<StubData*>(area + kDataOffset)[index] = {site.after, static_cast<u32>(number), site.moved_bytes};
  // Other threads may be in the page's other stubs: it stays executable.
  const i64 opened = raw_syscall(__NR_mprotect, area, wire::kPageBytes, PROT_READ | PROT_WRITE | PROT_EXEC);
  if (opened < 0) return 0;
  const bool written =
      write_stub(reinterpret_cast<u8*>(area), index, reinterpret_cast<const u8*>(site.address + wire::kSiteBytes));
  const i64 closed = raw_syscall(__NR_mprotect, area, wire::kPageBytes, PROT_READ | PROT_EXEC);
  if (!written || closed < 0) return 0;
  g_stubs_used[i]++;
  return area + index * kStubBytes;
}

enum class Store { Word, Pair, Alone, None };

Store store_for(u64 site, bool pairs, bool alone) {
  if (site % 8 <= 8 - wire::kSiteBytes) return Store::Word;
  if (pairs && site % 16 <= 16 - wire::kSiteBytes) return Store::Pair;
  return alone ? Store::Alone : Store::None;
}

void store(u64 site, const u8* bytes, Store how) {
  alignas(16) u8 pair[16];
  u64 word;
  switch (how) {
    case Store::Word:
      word = *reinterpret_cast<const u64*>(site & ~7UL);
      memcpy(reinterpret_cast<u8*>(&word) + site % 8, bytes, wire::kSiteBytes);
      __atomic_store_n(reinterpret_cast<u64*>(site & ~7UL), word, __ATOMIC_RELEASE);
      break;
    case Store::Pair:
      memcpy(pair, reinterpret_cast<const void*>(site & ~15UL), sizeof pair);
      memcpy(pair + site % 16, bytes, wire::kSiteBytes);
      stasis_store_16(reinterpret_cast<void*>(site & ~15UL), pair);
      break;
    default:
      memcpy(reinterpret_cast<void*>(site), bytes, wire::kSiteBytes);
  }
}

u64 packed(const u8* bytes) {
  u64 word = 0;
  memcpy(&word, bytes, wire::kSiteBytes);
  return word;
}

void record_site(u64 site, u64 original, u64 replacement) {
  u32 i = 0;
  const u32 count = g_state.rewritten_site_count;
  while (i < count && g_state.rewritten_sites[i].address != site) i++;  // the same library once more
  g_state.rewritten_sites[i] = {site, original, replacement};
  if (i == count) __atomic_store_n(&g_state.rewritten_site_count, count + 1, __ATOMIC_RELEASE);
}

struct Request {
  u64 after;
  u64 number;
  bool pairs;  // the processor stores 16 bytes at once
  char* buffer;
  u64 capacity;
};

bool is_library_text(const MappingInfo& mapping) {
  return !mapping.shared && mapping.inode != 0 && mapping.protection == (PROT_READ | PROT_EXEC) &&
         !g_image_table.is_image(mapping) && !is_main_program(mapping.inode);
}

// On a scratch stack, with the lock. An error leaves the site as it is, and nobody has to know.
i64 rewrite(void* argument) {
  const auto& request = *static_cast<const Request*>(argument);
  if (g_state.rewritten_site_count == wire::kMaxRewrittenSites) return -ENOSPC;
  MappingQuery query;
  MappingInfo mapping;
  if (!query.ok() || !query.find(request.after - 1, &mapping) || request.after - 1 < mapping.begin) return -EINVAL;
  Site site;
  if (!is_library_text(mapping) || !find_site(mapping.begin, request.after, request.number, &site)) return -EINVAL;
  Status status;
  if (!read_status(request.buffer, request.capacity, &status) || status.tracer != 0) return -EBUSY;
  const Store how = store_for(site.address, request.pairs, status.threads == 1);
  if (how == Store::None) return -EAGAIN;
  const u64 stub = make_stub(mapping, site, request.number);
  if (stub == 0) return -ENOSPC;
  u8 jump[wire::kSiteBytes] = {kJump};
  const u32 distance = static_cast<u32>(stub - (site.address + wire::kSiteBytes));
  memcpy(jump + 1, &distance, sizeof distance);
  const u64 bytes = mapping.end - mapping.begin;
  const i64 opened = raw_syscall(__NR_mprotect, mapping.begin, bytes, PROT_READ | PROT_WRITE | PROT_EXEC);
  if (opened < 0) return opened;
  record_site(site.address, packed(reinterpret_cast<const u8*>(site.address)), packed(jump));
  store(site.address, jump, how);
  return raw_syscall(__NR_mprotect, mapping.begin, bytes, mapping.protection);
}

constexpr u64 kAvxState = 4;  // XFEATURE_MASK_YMM in the features of a signal frame

bool has_avx(const arch::KernelSigcontext& context) {
  if (context.fpstate == 0) return false;
  const auto* software =
      reinterpret_cast<const arch::FrameSoftwareBytes*>(context.fpstate + arch::kFrameSoftwareOffset);
  return software->magic1 == arch::kFrameMagic1 && (software->features & kAvxState) != 0;
}

// What could not be rewritten is tried again, more and more seldom: a process may be down to one thread by then.
bool is_time(u32 traps) {
  const u32 rounds = traps / kTrapsBeforeRewriting;
  return traps % kTrapsBeforeRewriting == 0 && (rounds & (rounds - 1)) == 0;
}

}  // namespace

void note_trap(const Trap& trap, u64 after) {
  if ((g_private.parts & wire::kPartNoSites) != 0 || !has_fast_handler(trap.number)) return;
  Counter& counter = g_counters[(after ^ after >> 8) % kCounters];
  if (counter.address != static_cast<u32>(after)) counter = {static_cast<u32>(after), 0};
  if (!is_time(++counter.traps)) return;
  // A vfork child must not: it may be killed halfway, and its parent goes on with the memory.
  if (!owns_memory() || __atomic_exchange_n(&g_process.sites_lock, 1, __ATOMIC_ACQUIRE) != 0) return;
  if (Scratch* scratch = acquire_scratch()) {
    Request request{after, trap.number, has_avx(trap.context->context), scratch->path, sizeof scratch->path};
    run_on_scratch(scratch, rewrite, &request);
    release_scratch(scratch);
  }
  __atomic_store_n(&g_process.sites_lock, 0, __ATOMIC_RELEASE);
}

bool in_stub_area(u64 address) {
  const u32 count = __atomic_load_n(&g_state.stub_area_count, __ATOMIC_ACQUIRE);
  for (u32 i = 0; i < count; i++) {
    if (address - g_state.stub_areas[i].begin < wire::kPageBytes) return true;
  }
  return false;
}

bool leave_stub(arch::KernelSigcontext* context) {
  const u32 count = __atomic_load_n(&g_state.stub_area_count, __ATOMIC_ACQUIRE);
  for (u32 i = 0; i < count; i++) {
    const u64 begin = g_state.stub_areas[i].begin;
    if (context->rip < begin || context->rip >= begin + wire::kPageBytes) continue;
    const u64 offset = context->rip - begin;
    const StubData& data = reinterpret_cast<const StubData*>(begin + kDataOffset)[offset / kStubBytes];
    context->rip = data.after - kSyscallBytes;
    if (offset % kStubBytes == 0) context->rip -= data.moved_bytes;
    context->rax = data.number;
    return true;
  }
  return false;
}

}  // namespace stasis::runtime
