// A stub area is two pages: stubs, which are executable, and behind them their data, writable: where each goes back to and
// its call's number.
#include "runtime/stubs.h"

#include <linux/fcntl.h>
#include <linux/mman.h>

#include "runtime/site_code.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

extern "C" const char stasis_fast_entry[];

namespace stasis::runtime {

namespace {

constexpr u64 kStubBytes = 32;
constexpr u32 kStubsInArea = wire::kPageBytes / kStubBytes;
constexpr u64 kReach = 0x7fff'0000;
constexpr u64 kAreaBytes = 2 * wire::kPageBytes;
constexpr u64 kSearchStep = 1 << 20;
constexpr u32 kSearchSteps = 1024;
constexpr u8 kTrapCode = 0xcc;

struct StubData {
  u64 after;  // the address behind the program's system call
  u32 number;
  u32 moved_bytes;  // of the instruction that the stub begins with, 0: none
};
constexpr u64 kDataOffset = wire::kPageBytes;
constexpr u64 kTargetOffset = kDataOffset + kStubsInArea * sizeof(StubData);

u32 g_stubs_used[wire::kMaxStubAreas];

bool in_reach(u64 area, u64 site) {
  const u64 distance = area > site ? area - site : site - area;
  return distance < kReach;
}

//     the moved instruction, if there is one
//     mov data.after(%rip), %rcx ; mov data.number(%rip), %eax ; jmp *target(%rip)
bool write_stub(u8* area, u32 index, const u8* moved) {
  constexpr u8 kLoadRcx[] = {0x48, 0x8b, 0x0d}, kLoadEax[] = {0x8b, 0x05}, kJumpTo[] = {0xff, 0x25};
  const u64 stub = reinterpret_cast<u64>(area) + index * kStubBytes;
  const auto& data = reinterpret_cast<const StubData*>(area + kDataOffset)[index];
  u8 code[kStubBytes];
  u32 at = data.moved_bytes;
  if (at != 0 && !move_instruction(moved, at, code, stub)) return false;
  const auto put = [&](const u8* bytes, u32 count, const void* target) {
    memcpy(code + at, bytes, count);
    at += count + 4;
    const u32 distance = static_cast<u32>(reinterpret_cast<u64>(target) - (stub + at));
    memcpy(code + at - 4, &distance, sizeof distance);
  };
  put(kLoadRcx, sizeof kLoadRcx, &data.after);
  put(kLoadEax, sizeof kLoadEax, &data.number);
  put(kJumpTo, sizeof kJumpTo, area + kTargetOffset);
  if (write_text(stub, code, at)) return true;
  // Other threads may be in the page's other stubs: it stays executable.
  const u64 page = reinterpret_cast<u64>(area);
  if (raw_syscall(__NR_mprotect, page, wire::kPageBytes, PROT_READ | PROT_WRITE | PROT_EXEC) < 0) return false;
  memcpy(reinterpret_cast<void*>(stub), code, at);
  return raw_syscall(__NR_mprotect, page, wire::kPageBytes, PROT_READ | PROT_EXEC) == 0;
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
      if (raw_syscall(__NR_mprotect, address, wire::kPageBytes, PROT_READ | PROT_EXEC) == 0) return address;
      raw_syscall(__NR_munmap, address, kAreaBytes);
      return 0;
    }
    if (!is_error(made)) raw_syscall(__NR_munmap, made, kAreaBytes);  // before 4.17 the flag is a hint only
    if (made != -EEXIST && is_error(made)) return 0;
  }
  return 0;
}

}  // namespace

bool write_text(u64 address, const void* bytes, u64 count) {
  const i64 fd = raw_syscall(__NR_openat, AT_FDCWD, "/proc/thread-self/mem", O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return false;
  const i64 written = raw_syscall(__NR_pwrite64, fd, bytes, count, address);
  raw_syscall(__NR_close, fd);
  return written == static_cast<i64>(count);
}

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
  const auto* moved = reinterpret_cast<const u8*>(site.address + wire::kSiteBytes);
  if (!write_stub(reinterpret_cast<u8*>(area), index, moved)) return 0;
  g_stubs_used[i]++;
  return area + index * kStubBytes;
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
