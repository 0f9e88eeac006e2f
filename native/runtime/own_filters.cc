// seccomp(2) and prctl(2) PR_SET_SECCOMP: the program installs a filter of its own (see own_filters.h).
//
// The filter is run here as the kernel would run it, on each call in question with arguments of zero. Anything but "allow"
// and "log" counts as a refusal. Instructions are read from the program's memory as they are met; jumps go forward only,
// so that is at most once each.
#include "runtime/own_filters.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#include "runtime/notes.h"
#include "runtime/program_memory.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/trap.h"
#include "wire/layout.h"
#include "wire/parts.h"

namespace stasis::runtime {

namespace {

struct OwnNumber {
  u32 number;
  OwnCall call;
};
constexpr OwnNumber kOwnNumbers[] = {
    {__NR_process_vm_readv, kOwnMemory},
    {__NR_process_vm_writev, kOwnMemory},
    {__NR_gettid, kOwnThreadId},
    {__NR_getpid, kOwnProcessId},
    {__NR_kill, kOwnProbe},
    {__NR_openat, kOwnFiles},
    {__NR_read, kOwnFiles},
    {__NR_close, kOwnFiles},
    {__NR_clock_gettime, kOwnClock},
    {__NR_get_robust_list, kOwnRobustList},
};

struct Machine {
  u32 a, x;
  u32 memory[BPF_MEMWORDS];
};

u32 calculate(u32 operation, u32 a, u32 operand) {
  switch (operation) {
    case BPF_ADD:
      return a + operand;
    case BPF_SUB:
      return a - operand;
    case BPF_MUL:
      return a * operand;
    case BPF_DIV:
      return operand != 0 ? a / operand : 0;
    case BPF_AND:
      return a & operand;
    case BPF_OR:
      return a | operand;
    case BPF_XOR:
      return a ^ operand;
    case BPF_LSH:
      return a << (operand & 31);
    case BPF_RSH:
      return a >> (operand & 31);
    default:
      return 0 - a;  // BPF_NEG
  }
}

bool holds(u32 test, u32 a, u32 operand) {
  switch (test) {
    case BPF_JEQ:
      return a == operand;
    case BPF_JGT:
      return a > operand;
    case BPF_JGE:
      return a >= operand;
    default:
      return (a & operand) != 0;  // BPF_JSET
  }
}

u32 loaded(const Machine& machine, const sock_filter& now, const seccomp_data& data) {
  u32 word = now.k;
  if (BPF_MODE(now.code) == BPF_LEN) word = sizeof data;
  if (BPF_MODE(now.code) == BPF_MEM) word = machine.memory[now.k % BPF_MEMWORDS];
  if (BPF_MODE(now.code) == BPF_ABS && now.k <= sizeof data - sizeof word) {
    memcpy(&word, reinterpret_cast<const u8*>(&data) + now.k, sizeof word);
  }
  return word;
}

// What the filter answers. A program that the kernel would not take gives anything.
u32 answer_of(const sock_fprog& program, const seccomp_data& data) {
  Machine machine{};
  for (u32 at = 0; at < program.len; at++) {
    sock_filter now;
    if (read_program(&now, reinterpret_cast<u64>(program.filter + at), sizeof now) < 0) break;
    const u32 operand = BPF_SRC(now.code) == BPF_X ? machine.x : now.k;
    switch (BPF_CLASS(now.code)) {
      case BPF_LD:
        machine.a = loaded(machine, now, data);
        break;
      case BPF_LDX:
        machine.x = loaded(machine, now, data);
        break;
      case BPF_ST:
        machine.memory[now.k % BPF_MEMWORDS] = machine.a;
        break;
      case BPF_STX:
        machine.memory[now.k % BPF_MEMWORDS] = machine.x;
        break;
      case BPF_ALU:
        machine.a = calculate(BPF_OP(now.code), machine.a, operand);
        break;
      case BPF_JMP:
        if (BPF_OP(now.code) == BPF_JA) {
          at += now.k;
        } else {
          at += holds(BPF_OP(now.code), machine.a, operand) ? now.jt : now.jf;
        }
        break;
      case BPF_RET:
        return BPF_RVAL(now.code) == BPF_A ? machine.a : now.k;
      default:  // BPF_MISC
        if (BPF_MISCOP(now.code) == BPF_TAX) {
          machine.x = machine.a;
        } else {
          machine.a = machine.x;
        }
    }
  }
  return SECCOMP_RET_KILL_PROCESS;
}

u32 refused_by(const sock_fprog& program) {
  u32 refused = 0;
  for (const OwnNumber& own : kOwnNumbers) {
    seccomp_data data{};
    data.nr = static_cast<int>(own.number);
    data.arch = AUDIT_ARCH_X86_64;
    data.instruction_pointer = wire::kWindowBase;
    const u32 action = answer_of(program, data) & SECCOMP_RET_ACTION_FULL;
    if (action != SECCOMP_RET_ALLOW && action != SECCOMP_RET_LOG) refused |= own.call;
  }
  return refused;
}

// Room with the filter's instructions in it, nullptr if there is none.
wire::Note* begin_filter_note(const sock_fprog& program) {
  if (!owns_memory()) return nullptr;
  const u64 bytes = program.len * sizeof(sock_filter);
  wire::Note* note = begin_note(bytes);
  if (note == nullptr) return nullptr;
  return read_program(note + 1, reinterpret_cast<u64>(program.filter), bytes) < 0 ? nullptr : note;
}

}  // namespace

void adopt_own_filter(const sock_fprog& program, u32 flags) {
  forgo(refused_by(program));
  __atomic_fetch_or(&g_private.parts, wire::kPartNoSites, __ATOMIC_RELAXED);
  if (wire::Note* note = begin_filter_note(program); note != nullptr) {
    finish_note(note, wire::NoteKind::Filter, flags);
  }
}

i64 trapped_seccomp(Trap& trap) {
  give_up_fast_call();
  const bool by_prctl = trap.number == __NR_prctl;
  const u64 mode = by_prctl ? trap.arguments[1] : trap.arguments[0];
  const u64 filters = by_prctl ? SECCOMP_MODE_FILTER : SECCOMP_SET_MODE_FILTER;
  const u32 before = __atomic_load_n(&g_private.forgone, __ATOMIC_RELAXED);
  sock_fprog program;
  const bool known = mode == filters && read_program(&program, trap.arguments[2], sizeof program) == 0;
  if (known) forgo(refused_by(program));
  // Now: behind the filter, calls of the runtime's own for a note may be forbidden.
  wire::Note* note = known ? begin_filter_note(program) : nullptr;
  const i64 result = raw_syscall(static_cast<i64>(trap.number), trap.arguments[0], trap.arguments[1], trap.arguments[2],
                                 trap.arguments[3], trap.arguments[4]);
  if (result < 0) {
    __atomic_store_n(&g_private.forgone, before, __ATOMIC_RELAXED);
    return result;
  }
  // One with a listener (SECCOMP_FILTER_FLAG_NEW_LISTENER) gives a descriptor, and cannot be made again.
  const u32 flags = by_prctl ? 0 : static_cast<u32>(trap.arguments[1]);
  if (note != nullptr && result == 0) finish_note(note, wire::NoteKind::Filter, flags);
  // Rewriting of call sites takes calls of many kinds, which a sandboxed program may do without.
  __atomic_fetch_or(&g_private.parts, wire::kPartNoSites, __ATOMIC_RELAXED);
  return result;
}

}  // namespace stasis::runtime
