// Pids in the table (ids_table.h): two arrays of atomic words, forward by virtual and reverse by system number.
//
// A binding is made forward first, reverse second:
//
//     1  is there one of this life already (reverse names it, and its word is not older than the birth)? It is the answer
//     2  take a free number by a compare-and-swap of its forward word
//     3  compare-and-swap of the reverse word: the entry is live
//     4  if another thread was first there, give the number back and start over, now to find the other's at 1
//
// Whoever is killed behind 2 leaves a number that is not live, as reverse does not name it; after a while (kGrace)
// allocators take it over. Words hold stamps, so that a word that has changed and come back is told from the old one.
#include "runtime/ids_table.h"

namespace stasis::runtime {

namespace {

using wire::ForwardWord;
using wire::IdState;
using wire::IdTableView;

// How long a number rests: 64 stamps are a second, longer than any thread is between two steps unless it is stopped
// there, and a stopped one fails at its compare-and-swap.
constexpr u32 kGrace = 64;

u64 load_forward(const IdTableView& table, u32 virtual_pid) {
  return __atomic_load_n(&table.forward()[virtual_pid], __ATOMIC_ACQUIRE);
}

u32 load_reverse(const IdTableView& table, u32 system_pid) {
  return __atomic_load_n(&table.reverse()[system_pid], __ATOMIC_ACQUIRE);
}

bool swap_forward(const IdTableView& table, u32 virtual_pid, u64 from, u64 to) {
  return __atomic_compare_exchange_n(&table.forward()[virtual_pid], &from, to, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE);
}

bool swap_reverse(const IdTableView& table, u32 system_pid, u32 from, u32 to) {
  return __atomic_compare_exchange_n(&table.reverse()[system_pid], &from, to, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE);
}

// Whether `word` is this very task's. With a known birth, one that has ended since counts: a thread may be gone before
// its creator gets here.
bool is_of_birth(const ForwardWord& word, const Birth& birth) {
  if (word.system != birth.system_pid) return false;
  if (birth.born == kAnyAge) return word.state == IdState::Live;
  return (word.state == IdState::Live || word.state == IdState::Gone) && wire::not_before(word.seen, birth.born);
}

// A task first met as a stranger, by a listing of /proc, turns out to be our own.
void adopt(const IdTableView& table, u32 virtual_pid, u64 word, u32 flags) {
  ForwardWord entry = ForwardWord::unpack(word);
  if ((entry.flags & wire::kIdForeign) == 0 || (flags & wire::kIdForeign) != 0) return;
  entry.flags = flags;
  swap_forward(table, virtual_pid, word, entry.pack());
}

bool is_usable(const IdTableView& table, u32 virtual_pid, const ForwardWord& word, const Birth& birth,
               HasGroup has_group) {
  // An earlier life of the same number: the kernel has used it again, so it is free for us too.
  const bool same = word.system == birth.system_pid;
  const bool rested = wire::not_before(birth.now, word.seen + kGrace);
  switch (word.state) {
    case IdState::Free:
      return true;
    case IdState::Known:
      return false;
    case IdState::Gone:
      return same || (rested && !has_group(word.system));
    case IdState::Live: {
      const bool agreed = load_reverse(table, word.system) == virtual_pid;
      if (same) return !agreed || birth.born != kAnyAge;
      return rested && !agreed;
    }
  }
  return false;
}

// Takes one number if it can be had; gives the word stored, 0 if not.
u64 take_number(const IdTableView& table, u32 virtual_pid, const Birth& birth, HasGroup has_group) {
  const u64 mine = ForwardWord{birth.system_pid, IdState::Live, birth.flags, birth.now}.pack();
  for (;;) {
    const u64 word = load_forward(table, virtual_pid);
    if (!is_usable(table, virtual_pid, ForwardWord::unpack(word), birth, has_group)) return 0;
    if (swap_forward(table, virtual_pid, word, mine)) return mine;
  }
}

struct TakenNumber {
  u32 virtual_pid;
  u64 word;
};

TakenNumber take_any_number(const IdTableView& table, const Birth& birth, HasGroup has_group) {
  const u32 shift = table.header()->shift;
  const u32 natural = (birth.system_pid + shift) & (wire::kPidLimit - 1);
  if (natural >= wire::kFirstAllocatedPid || (shift == 0 && natural != 0)) {
    if (u64 word = take_number(table, natural, birth, has_group)) return {natural, word};
  }
  for (u32 tries = 0; tries < wire::kPidLimit; tries++) {
    const u32 next = __atomic_fetch_add(&table.header()->next_virtual, 1, __ATOMIC_RELAXED) & (wire::kPidLimit - 1);
    if (next < wire::kFirstAllocatedPid) continue;
    if (u64 word = take_number(table, next, birth, has_group)) return {next, word};
  }
  return {0, 0};
}

wire::IdOverride* find_override(const IdTableView& table, wire::IdKind kind, u32 wire::IdOverride::* field, u32 value) {
  const u32 count = __atomic_load_n(&table.header()->override_count, __ATOMIC_ACQUIRE);
  for (u32 i = 0; i < count && i < wire::kIdOverrides; i++) {
    wire::IdOverride* entry = table.overrides() + i;
    if (__atomic_load_n(&entry->state, __ATOMIC_ACQUIRE) == 1 && entry->kind == static_cast<u32>(kind) &&
        entry->*field == value)
      return entry;
  }
  return nullptr;
}

}  // namespace

bool check_header(const wire::IdTableHeader& header) {
  return header.magic == wire::kIdTableMagic && header.version == wire::kIdTableVersion &&
         header.header_bytes == sizeof header && header.table_bytes == wire::kIdTableBytes &&
         header.checksum == wire::id_header_checksum(header);
}

ForwardWord forward_word(const IdTableView& table, u32 virtual_pid) {
  if (virtual_pid >= wire::kPidLimit) return {0, IdState::Free, 0, 0};
  return ForwardWord::unpack(load_forward(table, virtual_pid));
}

u32 find_system(const IdTableView& table, u32 virtual_pid) {
  const ForwardWord word = forward_word(table, virtual_pid);
  return word.state == IdState::Live && load_reverse(table, word.system) == virtual_pid ? word.system : 0;
}

u32 find_virtual(const IdTableView& table, u32 system_pid, IdState state) {
  if (system_pid >= wire::kPidLimit) return 0;
  const u32 virtual_pid = load_reverse(table, system_pid);
  const ForwardWord word = forward_word(table, virtual_pid);
  return word.state == state && word.system == system_pid ? virtual_pid : 0;
}

u32 bind_pid(const IdTableView& table, const Birth& birth, HasGroup has_group) {
  if (birth.system_pid == 0 || birth.system_pid >= wire::kPidLimit) return 0;
  for (;;) {
    const u32 bound = load_reverse(table, birth.system_pid);
    if (bound != 0 && bound < wire::kPidLimit) {
      const u64 word = load_forward(table, bound);
      if (is_of_birth(ForwardWord::unpack(word), birth)) {
        adopt(table, bound, word, birth.flags);
        return bound;
      }
    }
    const TakenNumber taken = take_any_number(table, birth, has_group);
    if (taken.virtual_pid == 0) return 0;
    if (taken.virtual_pid == bound) return bound;  // the same pair in its next life
    if (swap_reverse(table, birth.system_pid, bound, taken.virtual_pid)) return taken.virtual_pid;
    if (load_reverse(table, birth.system_pid) == taken.virtual_pid) return taken.virtual_pid;  // both took the same one
    swap_forward(table, taken.virtual_pid, taken.word, 0);
  }
}

void release_pid(const IdTableView& table, u32 virtual_pid, u32 system_pid, u32 now) {
  if (virtual_pid >= wire::kPidLimit) return;
  const u64 word = load_forward(table, virtual_pid);
  ForwardWord entry = ForwardWord::unpack(word);
  if (entry.state != IdState::Live || entry.system != system_pid) return;
  entry.state = IdState::Gone;
  entry.seen = now;
  swap_forward(table, virtual_pid, word, entry.pack());
}

bool place_pid(const IdTableView& table, u32 virtual_pid, u32 system_pid, u32 flags, u32 now) {
  if (virtual_pid == 0 || virtual_pid >= wire::kPidLimit || system_pid == 0 || system_pid >= wire::kPidLimit) {
    return false;
  }
  for (;;) {
    const u64 word = load_forward(table, virtual_pid);
    const ForwardWord entry = ForwardWord::unpack(word);
    const bool live = entry.state == IdState::Live && load_reverse(table, entry.system) == virtual_pid;
    if (live && entry.system != system_pid) return false;
    if (swap_forward(table, virtual_pid, word, ForwardWord{system_pid, IdState::Live, flags, now}.pack())) break;
  }
  __atomic_store_n(&table.reverse()[system_pid], virtual_pid, __ATOMIC_RELEASE);
  return true;
}

void reserve_pid(const IdTableView& table, u32 virtual_pid) {
  if (virtual_pid == 0 || virtual_pid >= wire::kPidLimit) return;
  swap_forward(table, virtual_pid, 0, ForwardWord{0, IdState::Known, wire::kIdFromImage, 0}.pack());
}

void refresh_pid(const IdTableView& table, u32 virtual_pid, u32 system_pid, u32 now) {
  if (virtual_pid >= wire::kPidLimit) return;
  const u64 word = load_forward(table, virtual_pid);
  ForwardWord entry = ForwardWord::unpack(word);
  if (entry.state != IdState::Live || entry.system != system_pid) return;
  entry.seen = now;
  swap_forward(table, virtual_pid, word, entry.pack());
}

bool add_override(const IdTableView& table, wire::IdKind kind, u32 virtual_id, u32 system_id) {
  u32* count = &table.header()->override_count;
  u32 index = __atomic_load_n(count, __ATOMIC_ACQUIRE);
  do {
    if (index >= wire::kIdOverrides) return false;
  } while (!__atomic_compare_exchange_n(count, &index, index + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
  wire::IdOverride* entry = table.overrides() + index;
  *entry = {static_cast<u32>(kind), virtual_id, system_id, 0};
  __atomic_store_n(&entry->state, 1, __ATOMIC_RELEASE);
  return true;
}

u32 override_system(const IdTableView& table, wire::IdKind kind, u32 virtual_id) {
  const wire::IdOverride* entry = find_override(table, kind, &wire::IdOverride::virtual_id, virtual_id);
  return entry != nullptr ? entry->system_id : 0;
}

u32 override_virtual(const IdTableView& table, wire::IdKind kind, u32 system_id) {
  const wire::IdOverride* entry = find_override(table, kind, &wire::IdOverride::system_id, system_id);
  return entry != nullptr ? entry->virtual_id : 0;
}

}  // namespace stasis::runtime
