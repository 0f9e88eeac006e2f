// The filter's program, interpreted: for every number and the arguments that matter it decides as the table of calls says,
// and calls of every program leave after few instructions.
#include "runtime/filter.h"

#include <linux/audit.h>
#include <linux/mman.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cstring>
#include <initializer_list>
#include <set>
#include <string>

#include "runtime/filter_calls.h"
#include "runtime/filter_program.h"
#include "test/check.h"
#include "wire/layout.h"

namespace {

using namespace stasis;
using namespace stasis::runtime;
using filter::Entry, filter::Program, filter::Test;

constexpr i32 kParkedFd = 1023;
constexpr u32 kAllParts = kPartBase | kPartRestored | kPartIds | kPartNet;
constexpr u32 kTrap = SECCOMP_RET_TRAP | kTrapData, kRefuse = SECCOMP_RET_ERRNO | ENOSYS;

struct Outcome {
  u32 action;
  u32 steps;  // instructions that were executed
};

// Classic BPF as the kernel runs it, with the instructions that it lets a seccomp filter have (seccomp_check_filter). An
// instruction that is not among them, or a jump out of the program, ends it with SECCOMP_RET_KILL_PROCESS.
Outcome run(const Program& program, const seccomp_data& data) {
  u32 a = 0, x = 0, steps = 0;
  for (u32 at = 0; at < program.length; at++) {
    const sock_filter& now = program.code[at];
    steps++;
    const auto branch = [&](bool holds) { at += holds ? now.jt : now.jf; };
    switch (now.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (now.k % 4 != 0 || now.k + 4 > sizeof data) return {SECCOMP_RET_KILL_PROCESS, steps};
        std::memcpy(&a, reinterpret_cast<const char*>(&data) + now.k, 4);
        break;
      case BPF_LD | BPF_IMM:
        a = now.k;
        break;
      case BPF_MISC | BPF_TAX:
        x = a;
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        a &= now.k;
        break;
      case BPF_ALU | BPF_RSH | BPF_X:
        a >>= x & 31;
        break;
      case BPF_JMP | BPF_JA:
        at += now.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        branch(a == now.k);
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        branch(a >= now.k);
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        branch(a > now.k);
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        branch((a & now.k) != 0);
        break;
      case BPF_RET | BPF_K:
        return {now.k, steps};
      default:
        return {SECCOMP_RET_KILL_PROCESS, steps};
    }
  }
  return {SECCOMP_RET_KILL_PROCESS, steps};
}

seccomp_data call(u32 number, std::initializer_list<u64> arguments = {}) {
  seccomp_data data = {
      .nr = static_cast<int>(number), .arch = AUDIT_ARCH_X86_64, .instruction_pointer = 0x401000, .args = {}};
  u32 i = 0;
  for (u64 argument : arguments) data.args[i++] = argument;
  return data;
}

bool futex_time_matches(u64 operation, u64 time) {
  const u64 command = operation & 127;
  return (operation & 256) == 0 && (command == 9 || command == 11 || command == 13) && time != 0;
}

bool futex_ids_match(u64 operation, u64 value) {
  switch (operation & 127) {
    case 6:
    case 7:
    case 8:
    case 11:
    case 12:
    case 13:
      return true;
    case 0:
    case 9:
      return (operation & 128) == 0 && (value & 0x80000000) != 0;
    default:
      return false;
  }
}

bool is_far_hint(const seccomp_data& data) {
  return static_cast<u32>(data.args[3]) == (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE) &&
         static_cast<u32>(data.args[2]) == PROT_NONE && data.args[0] >> 32 != 0 &&
         data.args[1] <= filter::kMaxHintedBytes;
}

// What the comments of Test say.
bool matches(const Entry& entry, const seccomp_data& data) {
  const u64 argument = data.args[entry.argument];
  const u32 low = static_cast<u32>(argument);
  switch (entry.test) {
    case Test::Always:
    case Test::Refuse:
      return true;
    case Test::Nonzero:
      return argument != 0;
    case Test::Nonzero32:
      return low != 0;
    case Test::Negative:
      return static_cast<i32>(low) < 0;
    case Test::Not:
      return low != entry.value;
    case Test::BitSet:
      return (low & entry.value) != 0;
    case Test::BitClear:
      return (low & entry.value) == 0;
    case Test::MaskSet:
      return static_cast<u32>(data.args[0]) != 1 && data.args[1] != 0;
    case Test::FutexTime:
      return futex_time_matches(data.args[1], data.args[3]);
    case Test::FutexIds:
      return futex_ids_match(data.args[1], data.args[2]);
    case Test::OneOf:
      for (u32 i = 0; i < filter::kMaxValues && entry.values[i] >= 0; i++) {
        if (low == static_cast<u32>(entry.values[i])) return true;
      }
      return false;
    case Test::FarHint:
      return is_far_hint(data);
    case Test::ParkedFd:
      return low == kParkedFd;
    case Test::CoversParkedFd:
      return static_cast<u32>(data.args[0]) <= kParkedFd && static_cast<u32>(data.args[1]) >= kParkedFd;
  }
  return false;
}

u32 decision(u32 parts, const seccomp_data& data) {
  u32 action = SECCOMP_RET_ALLOW;
  const u32 number = static_cast<u32>(data.nr);
  for (const Entry& entry : filter::kEntries) {
    if ((entry.part & parts) == 0 || number < entry.number || number > filter::last_of(entry)) continue;
    if (matches(entry, data)) action = entry.test == Test::Refuse ? kRefuse : kTrap;
  }
  return action;
}

void check_program(u32 parts) {
  Program program;
  if (!CHECK(filter::write_program(parts, kParkedFd, program))) return;
  std::set<u64> values = {0,      1,        2,          62,         1022,        1023,        1024,       0x100,
                          0x1000, 0x100000, 0x80000000, 0xffffffff, 0x100000000, 0x1000003ff, 0x59616d61, ~0ull};
  for (const Entry& entry : filter::kEntries) {
    if (entry.value != 0) values.insert(entry.value);
    for (u32 i = 0; i < filter::kMaxValues && entry.values[i] >= 0; i++) values.insert(entry.values[i]);
  }
  u64 wrong = 0;
  std::string first;
  const auto compare = [&](const seccomp_data& data) {
    if (run(program, data).action == decision(parts, data)) return;
    if (wrong++ == 0) first = "call " + std::to_string(data.nr) + ", argument " + std::to_string(data.args[1]);
  };
  for (u32 number = 0; number < 600; number++) {
    for (u64 value : values) {
      compare(call(number, {value, value, value, value, value, value}));
      for (u32 i = 0; i < 6; i++) {
        seccomp_data data = call(number);
        data.args[i] = value;
        compare(data);
      }
    }
  }
  for (u64 operation = 0; operation < 1024; operation++) {
    for (u64 value : {0ull, 7ull, 0x80000000ull, 0x8000000000ull}) {
      for (u64 time : {0ull, 1ull, 0x100000000ull}) compare(call(SYS_futex, {0, operation, value, time}));
    }
  }
  for (u64 from : {0ull, 1022ull, 1023ull, 1024ull}) {
    for (u64 to : {0ull, 1022ull, 1023ull, 1024ull, 0xffffffffull}) compare(call(SYS_close_range, {from, to}));
  }
  constexpr u64 kHintFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  for (u64 bytes : {0x1000ull, 0x100000ull, 0x100001ull, 0x100001000ull}) {
    for (u64 place : {0ull, 0x10000ull, 0x7f0000000000ull})
      compare(call(SYS_mmap, {place, bytes, PROT_NONE, kHintFlags}));
  }
  CHECK_EQUAL(wrong, 0u);
  CHECK_EQUAL(first, "");
}

TEST(filter_decides_as_the_table_says) {
  // Plain, with ids, in an environment; and each of these restored.
  for (u32 others : {0u, kPartIds, kPartIds | kPartNet}) {
    check_program(kPartBase | others);
    check_program(kPartBase | kPartRestored | others);
  }
}

TEST(filter_lets_the_runtime_pass_and_refuses_other_architectures) {
  Program program;
  CHECK(filter::write_program(kAllParts, kParkedFd, program));
  seccomp_data data = call(SYS_getpid);
  CHECK_EQUAL(run(program, data).action, kTrap);
  for (u64 inside : {wire::kWindowBase, wire::kWindowBase + wire::kWindowBytes - 1}) {
    data.instruction_pointer = inside;
    CHECK_EQUAL(run(program, data).action, u32{SECCOMP_RET_ALLOW});
  }
  for (u64 outside : {wire::kWindowBase - 1, wire::kWindowBase + wire::kWindowBytes}) {
    data.instruction_pointer = outside;
    CHECK_EQUAL(run(program, data).action, kTrap);
  }
  data = call(SYS_getpid | 0x40000000);  // x32
  CHECK_EQUAL(run(program, data).action, kRefuse);
  data = call(SYS_getpid);
  data.arch = AUDIT_ARCH_I386;
  CHECK_EQUAL(run(program, data).action, kRefuse);
}

}  // namespace
