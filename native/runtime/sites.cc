// Rewriting of call sites (sites.h).
//
// The store. Text pages are private to the process. With one thread they are written by way of /proc/self/mem. With more,
// they are made writable for an instant, as a whole mapping, since a part of one would stay a mapping of its own. Five bytes within an aligned word of 8, or of 16 on processors with AVX, are replaced
// by one store (Intel SDM 3A, 9.1.1 "Guaranteed Atomic Operations"; AMD64 APM 2, 7.3.2), so that another thread executes
// the old instruction or the new one. Other places are left then.
#include "runtime/sites.h"

#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/mman.h>

#include "runtime/ids.h"
#include "runtime/image_table.h"
#include "runtime/mapping_query.h"
#include "runtime/scratch.h"
#include "runtime/site_code.h"
#include "runtime/state.h"
#include "runtime/stubs.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "wire/parts.h"

extern "C" void stasis_store_16(void* to, const void* from);

namespace stasis::runtime {

namespace {

constexpr u32 kTrapsBeforeRewriting = 6;  // what rewriting costs
constexpr u32 kSitesBetweenLooks = 8;
constexpr u32 kCounterSets = 8, kCountersInSet = 8;
constexpr u8 kJump = 0xe9;

struct Counter {
  u32 address;  // low half
  u32 traps;
};
STASIS_HOT Counter g_counters[kCounterSets][kCountersInSet];

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

// "TracerPid:\tNUMBER" in /proc/self/status. What cannot be seen counts as a tracer.
bool has_tracer(char* buffer, u64 capacity) {
  const i64 fd = raw_syscall(__NR_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return true;
  const i64 length = raw_syscall(__NR_read, fd, buffer, capacity - 1);
  raw_syscall(__NR_close, fd);
  buffer[length > 0 ? length : 0] = 0;
  constexpr const char* kKey = "TracerPid:\t";
  const char* line = buffer;
  while (*line != 0 && !starts_with(line, kKey)) {
    while (*line != 0 && *line != '\n') line++;
    if (*line == '\n') line++;
  }
  if (*line == 0) return true;
  line += string_length(kKey);
  return read_decimal(line) != 0;
}

// A directory's links beside the two it has anyway count the threads (fs/proc/base.c, proc_task_getattr).
bool is_alone() {
  struct stat status;
  return raw_syscall(__NR_newfstatat, AT_FDCWD, "/proc/self/task", &status, 0) == 0 && status.st_nlink == 3;
}

// The program's own file, by its inode: nothing is rewritten there, nor where it cannot be told.
bool is_main_program(u64 inode) {
  struct stat status;
  return raw_syscall(__NR_newfstatat, AT_FDCWD, g_state.exe_path, &status, 0) < 0 || status.st_ino == inode;
}

enum class Store { Word, Pair, Alone, None };

Store store_for(u64 site, bool pairs) {
  if (is_alone()) return Store::Alone;
  if (site % 8 <= 8 - wire::kSiteBytes) return Store::Word;
  return pairs && site % 16 <= 16 - wire::kSiteBytes ? Store::Pair : Store::None;
}

void store_at_once(u64 site, const u8* bytes, Store how) {
  alignas(16) u8 pair[16];
  u64 word;
  if (how == Store::Word) {
    word = *reinterpret_cast<const u64*>(site & ~7UL);
    memcpy(reinterpret_cast<u8*>(&word) + site % 8, bytes, wire::kSiteBytes);
    __atomic_store_n(reinterpret_cast<u64*>(site & ~7UL), word, __ATOMIC_RELEASE);
  } else {
    memcpy(pair, reinterpret_cast<const void*>(site & ~15UL), sizeof pair);
    memcpy(pair + site % 16, bytes, wire::kSiteBytes);
    stasis_store_16(reinterpret_cast<void*>(site & ~15UL), pair);
  }
}

i64 write_site(const MappingInfo& mapping, u64 site, const u8* bytes, Store how) {
  if (how == Store::Alone) return write_text(site, bytes, wire::kSiteBytes) ? 0 : -EACCES;
  const u64 length = mapping.end - mapping.begin;
  const i64 opened = raw_syscall(__NR_mprotect, mapping.begin, length, PROT_READ | PROT_WRITE | PROT_EXEC);
  if (opened < 0) return opened;
  store_at_once(site, bytes, how);
  return raw_syscall(__NR_mprotect, mapping.begin, length, mapping.protection);
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
  // Asked now and then: 10 us, and a breakpoint would show in the bytes.
  if (g_state.rewritten_site_count % kSitesBetweenLooks == 0 && has_tracer(request.buffer, request.capacity))
    return -EBUSY;
  const Store how = store_for(site.address, request.pairs);
  if (how == Store::None) return -EAGAIN;
  const u64 stub = make_stub(mapping, site, request.number);
  if (stub == 0) return -ENOSPC;
  u8 jump[wire::kSiteBytes] = {kJump};
  const u32 distance = static_cast<u32>(stub - (site.address + wire::kSiteBytes));
  memcpy(jump + 1, &distance, sizeof distance);
  record_site(site.address, packed(reinterpret_cast<const u8*>(site.address)), packed(jump));
  return write_site(mapping, site.address, jump, how);
}

constexpr u64 kAvxState = 4;  // XFEATURE_MASK_YMM in the features of a signal frame

bool has_avx(const arch::KernelSigcontext& context) {
  if (context.fpstate == 0) return false;
  const auto* software =
      reinterpret_cast<const arch::FrameSoftwareBytes*>(context.fpstate + arch::kFrameSoftwareOffset);
  return software->magic1 == arch::kFrameMagic1 && (software->features & kAvxState) != 0;
}

// How often the site has trapped, roughly: sites that meet in a full set take from each other, so that those that trap most
// stay in it.
u32 count_trap(u64 after) {
  Counter* set = g_counters[(after ^ after >> 8) % kCounterSets];
  Counter* free = nullptr;
  for (u32 i = 0; i < kCountersInSet; i++) {
    if (set[i].address == static_cast<u32>(after)) return ++set[i].traps;
    if (set[i].traps == 0) free = &set[i];
  }
  if (free != nullptr) {
    *free = {static_cast<u32>(after), 1};
  } else {
    for (u32 i = 0; i < kCountersInSet; i++) set[i].traps -= set[i].traps != 0 ? 1 : 0;
  }
  return 1;
}

// What could not be rewritten is tried again, more and more seldom: a process may be down to one thread by then.
bool is_time(u32 traps) {
  const u32 rounds = traps / kTrapsBeforeRewriting;
  return traps % kTrapsBeforeRewriting == 0 && (rounds & (rounds - 1)) == 0;
}

// A child that borrows this memory (vfork) must not rewrite: it may be killed halfway, and its parent goes on with the
// memory. It leaves a wish, the number above the address, for the owner's next trap.
constexpr u32 kNumberShift = 48;

void rewrite_site(u64 after, u64 number, const arch::KernelSigcontext& context) {
  if (!owns_memory()) {
    __atomic_store_n(&g_process.wished_site, number << kNumberShift | after, __ATOMIC_RELAXED);
    return;
  }
  if (__atomic_exchange_n(&g_process.sites_lock, 1, __ATOMIC_ACQUIRE) != 0) return;
  if (Scratch* scratch = acquire_scratch()) {
    Request request{after, number, has_avx(context), scratch->path, sizeof scratch->path};
    run_on_scratch(scratch, rewrite, &request);
    release_scratch(scratch);
  }
  __atomic_store_n(&g_process.sites_lock, 0, __ATOMIC_RELEASE);
}

void serve_wish(const arch::KernelSigcontext& context) {
  if (__atomic_load_n(&g_process.wished_site, __ATOMIC_RELAXED) == 0 || !owns_memory()) return;
  const u64 wish = __atomic_exchange_n(&g_process.wished_site, 0, __ATOMIC_RELAXED);
  if (wish != 0) rewrite_site(wish & ((1UL << kNumberShift) - 1), wish >> kNumberShift, context);
}

}  // namespace

void note_trap(const Trap& trap, u64 after) {
  if ((g_private.parts & wire::kPartNoSites) != 0) return;
  serve_wish(trap.context->context);
  if (!has_fast_handler(trap.number)) return;
  if (is_time(count_trap(after))) rewrite_site(after, trap.number, trap.context->context);
}

}  // namespace stasis::runtime
