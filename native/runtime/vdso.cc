// Moving the kernel's vdso into the window and finding its functions (see vdso.h).
//
// The vdso's text reaches its data pages by distance, so all mappings move by the same amount. Layouts met:
// [vvar][vdso] up to 6.12, [vvar][vvar_vclock][vdso] since 6.13. Each is a special mapping, which the kernel moves only
// as a whole (arch/x86/entry/vdso/vma.c).
#include "runtime/vdso.h"

#include <linux/elf.h>
#include <linux/mman.h>

#include "runtime/maps_reader.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "wire/layout.h"

namespace stasis::runtime {

namespace {

constexpr u64 kDynamicGnuHash = 0x6ffffef5;

struct Part {
  u64 start, end;
};

struct Parts {
  Part all[VdsoLayout::kMostParts];
  u32 count = 0;
};

Parts find_parts() {
  Parts parts;
  MapsReader reader;
  MapsLine line;
  while (parts.count < VdsoLayout::kMostParts && reader.next(&line)) {
    if (starts_with(line.name, "[vvar") || string_equal(line.name, "[vdso]"))
      parts.all[parts.count++] = {line.begin, line.end};
  }
  return parts;
}

// What a process of the same kernel has found.
Parts parts_of(const VdsoLayout& layout, u64 vdso) {
  Parts parts;
  u64 start = vdso + layout.vdso_bytes() - layout.bytes();
  for (; parts.count < layout.count; parts.count++) {
    const u64 end = start + layout.pages[parts.count] * wire::kPageBytes;
    parts.all[parts.count] = {start, end};
    start = end;
  }
  return parts;
}

// Stays unknown if the mappings do not lie side by side with the vdso behind the others.
void learn_layout(const Parts& parts, u64 vdso) {
  for (u32 i = 0; i < parts.count; i++) {
    if (i > 0 && parts.all[i].start != parts.all[i - 1].end) return;
    g_vdso_layout.pages[i] = static_cast<u32>((parts.all[i].end - parts.all[i].start) / wire::kPageBytes);
  }
  if (parts.all[parts.count - 1].start == vdso) g_vdso_layout.count = parts.count;
}

i64 move_part(u64 start, u64 bytes, u64 target) {
  i64 result = raw_syscall(__NR_mremap, start, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target);
  return is_error(result) ? result : 0;
}

// Where /proc cannot be read: the vdso's length follows from its headers, and a data mapping of the wrong length is
// refused by the kernel, so lengths can be tried. The vdso goes to the middle of its part of the window, its data below
// it.
i64 move_by_trial(u64 vdso, u64* moved_vdso) {
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(vdso);
  u64 bytes = header->e_shoff + static_cast<u64>(header->e_shnum) * header->e_shentsize;
  bytes = (bytes + wire::kPageBytes - 1) & ~(wire::kPageBytes - 1);
  u64 target = wire::kHostVdsoHome + wire::kHostVdsoMaxBytes / 2;
  i64 result = move_part(vdso, bytes, target);
  if (result < 0) return result;
  *moved_vdso = target;
  for (u32 part = 0; part < 2; part++) {
    for (u64 pages = 1; pages <= 16; pages++) {
      u64 length = pages * wire::kPageBytes;
      if (move_part(vdso - length, length, target - length) == 0) {
        vdso -= length;
        target -= length;
        break;
      }
    }
  }
  return 0;
}

i64 move_parts(const Parts& parts, u64 vdso, u64* moved_vdso) {
  u64 base = parts.all[0].start;
  if (parts.all[parts.count - 1].end - base > wire::kHostVdsoMaxBytes - wire::kPageBytes) return -E2BIG;
  for (u32 i = 0; i < parts.count; i++) {
    const Part& part = parts.all[i];
    i64 result = move_part(part.start, part.end - part.start, wire::kHostVdsoHome + (part.start - base));
    if (result < 0) return result;
  }
  *moved_vdso = wire::kHostVdsoHome + (vdso - base);
  return 0;
}

// The vdso's symbol table.
struct Symbols {
  const Elf64_Sym* table = nullptr;
  const char* names = nullptr;
  u32 count = 0;
};

// The table's length is not recorded where there is only a GNU hash: it ends with the last chain.
u32 count_by_gnu_hash(const u32* hash) {
  u32 buckets = hash[0], first = hash[1], bloom_words = hash[2];
  const u32* bucket = hash + 4 + bloom_words * 2;
  const u32* chain = bucket + buckets;
  u32 last = 0;
  for (u32 i = 0; i < buckets; i++) {
    if (bucket[i] > last) last = bucket[i];
  }
  if (last < first) return 0;
  while ((chain[last - first] & 1) == 0) last++;
  return last + 1;
}

Symbols read_symbols(u64 base) {
  Symbols symbols;
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(base);
  const auto* segment = reinterpret_cast<const Elf64_Phdr*>(base + header->e_phoff);
  const Elf64_Dyn* dynamic = nullptr;
  u64 bias = base;
  for (u32 i = 0; i < header->e_phnum; i++) {
    if (segment[i].p_type == PT_LOAD) bias = base + segment[i].p_offset - segment[i].p_vaddr;
    if (segment[i].p_type == PT_DYNAMIC) dynamic = reinterpret_cast<const Elf64_Dyn*>(base + segment[i].p_offset);
  }
  if (dynamic == nullptr) return symbols;
  for (; dynamic->d_tag != DT_NULL; dynamic++) {
    u64 address = bias + dynamic->d_un.d_ptr;
    if (dynamic->d_tag == DT_SYMTAB) symbols.table = reinterpret_cast<const Elf64_Sym*>(address);
    if (dynamic->d_tag == DT_STRTAB) symbols.names = reinterpret_cast<const char*>(address);
    if (dynamic->d_tag == DT_HASH) symbols.count = reinterpret_cast<const u32*>(address)[1];
    if (static_cast<u64>(dynamic->d_tag) == kDynamicGnuHash && symbols.count == 0) {
      symbols.count = count_by_gnu_hash(reinterpret_cast<const u32*>(address));
    }
  }
  if (symbols.table == nullptr || symbols.names == nullptr) symbols.count = 0;
  return symbols;
}

template <typename Function>
void resolve(const Symbols& symbols, u64 base, const char* name, Function* function) {
  for (u32 i = 1; i < symbols.count; i++) {
    const Elf64_Sym& symbol = symbols.table[i];
    if (symbol.st_shndx == 0 || !string_equal(symbols.names + symbol.st_name, name)) continue;
    *function = reinterpret_cast<Function>(base + symbol.st_value);
    return;
  }
}

void resolve_functions(u64 base) {
  Symbols symbols = read_symbols(base);
  resolve(symbols, base, "__vdso_clock_gettime", &g_host_vdso.clock_gettime);
  resolve(symbols, base, "__vdso_gettimeofday", &g_host_vdso.gettimeofday);
  resolve(symbols, base, "__vdso_time", &g_host_vdso.time);
  resolve(symbols, base, "__vdso_getcpu", &g_host_vdso.getcpu);
  resolve(symbols, base, "__vdso_clock_getres", &g_host_vdso.clock_getres);
}

static_assert(sizeof(HostVdso) == VdsoLayout::kFunctions * sizeof(u64));

void take_functions(u64 base) {
  auto* functions = reinterpret_cast<u64*>(&g_host_vdso);
  for (u32 i = 0; i < VdsoLayout::kFunctions; i++) {
    if (g_vdso_layout.entries[i] != 0) functions[i] = base + g_vdso_layout.entries[i];
  }
}

void learn_functions(u64 base) {
  const auto* functions = reinterpret_cast<const u64*>(&g_host_vdso);
  for (u32 i = 0; i < VdsoLayout::kFunctions; i++) {
    if (functions[i] != 0) g_vdso_layout.entries[i] = static_cast<u32>(functions[i] - base);
  }
}

bool move_as_known(const VdsoLayout& known, u64 vdso) {
  u64 moved = vdso;
  if (known.count == 0 || move_parts(parts_of(known, vdso), vdso, &moved) != 0) return false;
  g_vdso_layout = known;
  take_functions(moved);
  return true;
}

}  // namespace

i64 move_host_vdso(u64 sysinfo_ehdr, const VdsoLayout& known) {
  g_host_vdso = {};
  if (sysinfo_ehdr == 0 || move_as_known(known, sysinfo_ehdr)) return 0;
  Parts parts = find_parts();
  u64 vdso = sysinfo_ehdr;
  i64 result = parts.count > 0 ? move_parts(parts, sysinfo_ehdr, &vdso) : move_by_trial(sysinfo_ehdr, &vdso);
  // EPERM: sealed by CONFIG_MSEAL_SYSTEM_MAPPINGS (6.15), so nothing has moved.
  if (result != 0 && result != -EPERM) return result;
  resolve_functions(vdso);
  if (result == 0 && parts.count > 0) learn_layout(parts, sysinfo_ehdr);
  learn_functions(vdso);
  return result;
}

}  // namespace stasis::runtime
