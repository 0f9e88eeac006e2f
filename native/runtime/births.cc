// fork, vfork and clone. Those that copy memory are trapped always, since the child starts with marks of its own
// (state.h), the others where ids are translated: in this application or in one around it.
//
// Rules. The program's id words (CLONE_PARENT_SETTID, CLONE_CHILD_SETTID) hold the virtual id before parent or child
// goes on, and are never written after that, since a thread may end and its memory be another's at once. So the kernel
// is not asked to write them, and of parent and child whoever comes first does it; the other one waits until it is done.
//
//   own memory      fork and its like: both return by their SIGSYS frames, of which the child has its own copy
//   shared memory   the child leaves by a jump (arch/x86_64/clone.S) with registers from a BirthRecord. So does a parent whose
//                   frame the child may overwrite: always after vfork, whose child has its parent's alternate stack or
//                   even its stack; and where no stack is given
//
// What the child does before it jumps runs on its own new stack, or on one in the BirthRecord where it has none.
#include "runtime/births.h"

#include <asm/signal.h>
#include <linux/futex.h>
#include <linux/sched.h>

#include "runtime/ids.h"
#include "runtime/program_memory.h"
#include "runtime/signals.h"
#include "runtime/sigsys_mask.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

constexpr u32 kBirths = 256;
constexpr u32 kAcquireAttempts = 1000;
constexpr u64 kRedZone = 128;
constexpr u32 kAutoDisarm = 1u << 31;       // SS_AUTODISARM
constexpr u64 kExtendedFeatures = 0x803ff;  // all but AMX tiles, whose state is large and is not kept across calls
constexpr u64 kAreaBytes = 2752;            // of those, in the standard format
constexpr i64 kWaitNanoseconds = 50'000'000;
constexpr u32 kWaits = 20;

// How a side leaves for the program. Offsets are clone.S's.
struct BirthSide {
  u64 registers[17];  // as in KernelSigcontext, r8 to rip
  u64 mask;
  u64 area;      // floating point state, 0: none
  u64 features;  // of it, for XRSTOR; 0: FXRSTOR
  u32 in_use;
  u32 padding;
};
static_assert(sizeof(BirthSide) == 168);
constexpr u32 kRax = 13, kRsp = 15, kRip = 16;
static_assert(__builtin_offsetof(arch::KernelSigcontext, rip) == kRip * 8);

// The words' state: nobody has come, somebody is writing, somebody waits for that, they are written.
enum class Words : u32 { Open, Taken, Awaited, Written };

struct BirthRecord {
  BirthSide child, parent;
  u64 call[5];  // flags, stack, parent_tid, child_tid, tls for the kernel
  u64 child_stack;
  u64 parent_stack;
  u64 parent_word, child_word;  // the program's, 0: none
  arch::KernelStack stack;      // the program's alternate stack
  u32 flags;                    // of the table's entry
  u32 born;
  Words words;
  u32 virtual_id;
  u32 system_id;  // written by the kernel before the child runs; where it cannot be, by the parent
  u32 uses;
  bool sigsys_blocked;  // as the creator sees it
  alignas(64) u8 area[kAreaBytes];
  alignas(16) u8 stacks[2][4096];
};
static_assert(__builtin_offsetof(BirthRecord, parent) == 168);
static_assert(__builtin_offsetof(BirthRecord, call) == 336);
static_assert(__builtin_offsetof(BirthRecord, child_stack) == 376);
static_assert(__builtin_offsetof(BirthRecord, parent_stack) == 384);

}  // namespace

extern "C" {
i64 stasis_birth(BirthRecord* birth);
extern const char stasis_birth_window[], stasis_birth_released[];
}

namespace {

BirthRecord g_births[kBirths];

struct CloneCall {
  u64 flags, stack, parent_tid, child_tid, tls;
};

CloneCall read_call(const Trap& trap) {
  if (trap.number == __NR_fork) return {SIGCHLD, 0, 0, 0, 0};
  if (trap.number == __NR_vfork) return {CLONE_VFORK | CLONE_VM | SIGCHLD, 0, 0, 0, 0};
  return {trap.arguments[0] & 0xffffffff, trap.arguments[1], trap.arguments[2], trap.arguments[3], trap.arguments[4]};
}

// With CLONE_PIDFD parent_tid is where the descriptor goes; together with CLONE_PARENT_SETTID the kernel refuses it.
u64 parent_word_of(const CloneCall& call) {
  return (call.flags & CLONE_PARENT_SETTID) != 0 && (call.flags & CLONE_PIDFD) == 0 ? call.parent_tid : 0;
}

u64 child_word_of(const CloneCall& call) { return (call.flags & CLONE_CHILD_SETTID) != 0 ? call.child_tid : 0; }

u64 kernel_flags(const CloneCall& call) {
  const u64 own = CLONE_CHILD_SETTID | ((call.flags & CLONE_PIDFD) == 0 ? CLONE_PARENT_SETTID : 0);
  return call.flags & ~own;
}

// A bad address is nobody's error, as in the kernel.
void write_word(u64 address, u32 virtual_id) {
  if (address != 0) write_program(address, &virtual_id, sizeof virtual_id);
}

u32 born_now() { return ids_on() ? stamp_now() : 0; }

u32 virtual_of_birth(u32 system_id, u32 flags, u32 born) {
  return ids_on() ? bind_birth(system_id, flags, born) : system_id;
}

i64 fork_process(Trap& trap, const CloneCall& call) {
  const u32 born = born_now();
  const bool blocked = ids_on() && sigsys_blocked();
  // The child runs on a copy of this frame first, so a new stack waits until the frame is left.
  // Without a table the kernel's id is the one to be written, by the kernel.
  const u64 flags = ids_on() ? kernel_flags(call) : call.flags;
  const i64 result = raw_syscall(__NR_clone, flags, 0, call.parent_tid, call.child_tid, call.tls);
  if (result < 0) return result;
  if (result > 0) {
    if (!ids_on()) return result;
    const u32 virtual_id = bind_birth(static_cast<u32>(result), 0, born);
    write_word(parent_word_of(call), virtual_id);
    return virtual_id;
  }
  start_forked_process();
  if (ids_on()) write_word(child_word_of(call), bind_birth(g_process.owner_pid, 0, born));
  if (blocked) set_sigsys_blocked(true);  // inherited, as the mask is
  if (call.stack != 0) trap.context->context.rsp = call.stack;
  return 0;
}

// The child's side of those who were killed before they left. The value tells one use of a birth from the next.
void reclaim_births() {
  for (u32 i = 0; i < kBirths; i++) {
    BirthRecord* birth = &g_births[i];
    u32 use = __atomic_load_n(&birth->child.in_use, __ATOMIC_ACQUIRE);
    const u32 child = __atomic_load_n(&birth->system_id, __ATOMIC_RELAXED);
    if (use == 0 || child == 0 || __atomic_load_n(&birth->parent.in_use, __ATOMIC_ACQUIRE) != 0) continue;
    if (raw_syscall(__NR_tkill, child, 0) != -ESRCH) continue;
    __atomic_compare_exchange_n(&birth->child.in_use, &use, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
  }
}

BirthRecord* acquire_birth() {
  for (u32 attempt = 0; attempt < kAcquireAttempts; attempt++) {
    for (u32 i = 0; i < kBirths; i++) {
      BirthRecord* birth = &g_births[i];
      // Free when both sides are; who has taken the parent's side may not have the child's yet.
      u32 none = 0;
      if (__atomic_load_n(&birth->child.in_use, __ATOMIC_ACQUIRE) != 0 ||
          !__atomic_compare_exchange_n(&birth->parent.in_use, &none, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        continue;
      }
      if (__atomic_load_n(&birth->child.in_use, __ATOMIC_ACQUIRE) != 0) {
        __atomic_store_n(&birth->parent.in_use, 0, __ATOMIC_RELEASE);
        continue;
      }
      for (u32 used = __atomic_load_n(&g_process.births_used, __ATOMIC_RELAXED); used <= i;) {
        __atomic_compare_exchange_n(&g_process.births_used, &used, i + 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
      }
      return birth;
    }
    reclaim_births();
    raw_syscall(__NR_sched_yield);
  }
  return nullptr;
}

void release_side(BirthSide* side) { __atomic_store_n(&side->in_use, 0, __ATOMIC_RELEASE); }

// The state that the program had, of which the kernel keeps a copy in the SIGSYS frame.
void copy_floating_point(BirthRecord* birth, const arch::KernelUcontext& program) {
  const u64 area = program.context.fpstate;
  if (area == 0) {
    birth->child.area = 0;
    return;
  }
  const auto* software = reinterpret_cast<const arch::FrameSoftwareBytes*>(area + arch::kFrameSoftwareOffset);
  const bool extended = software->magic1 == arch::kFrameMagic1;
  const u64 bytes = !extended ? 512 : software->xstate_bytes < kAreaBytes ? software->xstate_bytes : kAreaBytes;
  memcpy(birth->area, reinterpret_cast<const void*>(area), bytes);
  birth->child.area = reinterpret_cast<u64>(birth->area);
  birth->child.features = extended ? software->features & kExtendedFeatures : 0;
}

void fill_birth(BirthRecord* birth, const CloneCall& call, const arch::KernelUcontext& program) {
  memcpy(birth->child.registers, &program.context, sizeof birth->child.registers);
  birth->child.mask = program.signal_mask & ~kSignalSysBit;
  copy_floating_point(birth, program);
  birth->stack = program.stack;
  birth->parent_word = parent_word_of(call);
  birth->child_word = child_word_of(call);
  birth->child.in_use = ++birth->uses | 1u << 31;
  birth->flags = (call.flags & CLONE_THREAD) != 0 ? wire::kIdThread : 0;
  birth->words = Words::Open;
  birth->virtual_id = 0;
  birth->system_id = 0;
  birth->sigsys_blocked = ids_on() && sigsys_blocked();
  birth->call[0] = kernel_flags(call);
  birth->call[1] = call.stack;
  birth->call[2] = call.parent_tid;
  birth->call[3] = call.child_tid;
  birth->call[4] = call.tls;
  if ((call.flags & CLONE_PIDFD) == 0) {  // the field is free: the child's id comes with it
    birth->call[0] |= CLONE_PARENT_SETTID;
    birth->call[2] = reinterpret_cast<u64>(&birth->system_id);
  }
}

// The child jumps, with result 0 and its stack; so does the parent if its frames may be gone by then.
void prepare_sides(BirthRecord* birth, const CloneCall& call) {
  const bool own_stack = call.stack != 0;
  birth->parent = birth->child;
  birth->child.registers[kRax] = 0;
  if (own_stack) birth->child.registers[kRsp] = call.stack;
  birth->child_stack =
      own_stack ? (call.stack - kRedZone) & ~15UL : reinterpret_cast<u64>(birth->stacks[0] + sizeof birth->stacks[0]);
  const bool parent_jumps = !own_stack || (call.flags & CLONE_VFORK) != 0;
  birth->parent_stack = parent_jumps ? reinterpret_cast<u64>(birth->stacks[1] + sizeof birth->stacks[1]) : 0;
  // A vfork child may be killed at any instant, and its parent goes on: it frees both sides.
  if ((call.flags & CLONE_VFORK) != 0) birth->child.in_use = 0;
}

void bind_and_write(BirthRecord* birth, u32 system_id) {
  birth->virtual_id = virtual_of_birth(system_id, birth->flags, birth->born);
  write_word(birth->parent_word, birth->virtual_id);
  if (birth->child_word != birth->parent_word) write_word(birth->child_word, birth->virtual_id);
}

// The virtual id, once it stands in the program's words.
u32 settle(BirthRecord* birth, u32 system_id) {
  Words state = Words::Open;
  if (__atomic_compare_exchange_n(&birth->words, &state, Words::Taken, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    bind_and_write(birth, system_id);
    const u32 virtual_id = birth->virtual_id;  // the other side may free the birth as soon as it is told
    if (__atomic_exchange_n(&birth->words, Words::Written, __ATOMIC_ACQ_REL) == Words::Awaited) {
      raw_syscall(__NR_futex, &birth->words, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
    return virtual_id;
  }
  const i64 timeout[2] = {0, kWaitNanoseconds};
  for (u32 i = 0; i < kWaits && state != Words::Written; i++) {
    if (state == Words::Awaited ||
        __atomic_compare_exchange_n(&birth->words, &state, Words::Awaited, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
      raw_syscall(__NR_futex, &birth->words, FUTEX_WAIT_PRIVATE, Words::Awaited, timeout, nullptr, 0);
    }
    state = __atomic_load_n(&birth->words, __ATOMIC_ACQUIRE);
  }
  // Killed or stopped for long, which takes a process of its own. Binding again gives the same id.
  if (state != Words::Written) bind_and_write(birth, system_id);
  return birth->virtual_id;
}

// SS_AUTODISARM took the alternate stack away at the SIGSYS, and a return from there would put it back. Threads start
// without one (kernel/fork.c, copy_process).
void rearm_stack(const BirthRecord* birth) {
  if ((birth->stack.flags & kAutoDisarm) != 0) raw_syscall(__NR_sigaltstack, &birth->stack, nullptr);
}

// Children that are processes of their own in this memory: while there may be one, getpid(2) is asked (ids.cc). A vfork
// child is gone when its parent goes on; of others nobody tells.
void count_borrower(const BirthRecord* birth, u32 change) {
  if ((birth->call[0] & CLONE_THREAD) == 0) __atomic_fetch_add(&g_process.borrowers, change, __ATOMIC_ACQ_REL);
}

i64 share_memory(Trap& trap, const CloneCall& call) {
  BirthRecord* birth = acquire_birth();
  if (birth == nullptr) return -EAGAIN;
  fill_birth(birth, call, *trap.context);
  prepare_sides(birth, call);
  if (birth->parent_stack != 0) {
    // A SIGSYS from elsewhere must not find the stacks of the birth in use; who leaves sets the program's mask.
    const u64 mask = kSignalSysBit;
    raw_syscall(__NR_rt_sigprocmask, SIG_BLOCK, &mask, nullptr, sizeof mask);
  }
  birth->born = born_now();
  count_borrower(birth, 1);
  const i64 result = stasis_birth(birth);
  if (result < 0) {
    count_borrower(birth, -1u);
    release_side(&birth->child);
    release_side(&birth->parent);
    return result;
  }
  __atomic_store_n(&birth->system_id, static_cast<u32>(result), __ATOMIC_RELAXED);
  const u32 virtual_id = settle(birth, static_cast<u32>(result));
  release_side(&birth->parent);
  return virtual_id;
}

}  // namespace

extern "C" __attribute__((used)) void stasis_born_child(BirthRecord* birth) {
  u32 system_id = birth->system_id;
  if (system_id == 0) system_id = static_cast<u32>(raw_syscall(__NR_gettid));
  settle(birth, system_id);
  if (ids_on()) set_sigsys_blocked(birth->sigsys_blocked);
  if (birth->parent_stack != 0) rearm_stack(birth);
}

// Of a parent that jumps. After vfork the child has gone on or is dead, so there is nobody to wait for.
extern "C" __attribute__((used)) void stasis_born_parent(BirthRecord* birth, u32 system_id) {
  const bool alone = birth->child.in_use == 0;
  if (alone && __atomic_load_n(&birth->words, __ATOMIC_ACQUIRE) != Words::Written) {
    bind_and_write(birth, system_id);
    birth->parent.registers[kRax] = birth->virtual_id;
  } else {
    birth->parent.registers[kRax] = settle(birth, system_id);
  }
  rearm_stack(birth);
  if ((birth->call[0] & CLONE_VFORK) != 0) count_borrower(birth, -1u);
}

void forget_births() {
  for (u32 i = 0; i < g_process.births_used; i++) {
    g_births[i].child.in_use = 0;
    g_births[i].parent.in_use = 0;
  }
}

void leave_birth(arch::KernelUcontext* interrupted) {
  arch::KernelSigcontext& context = interrupted->context;
  const u64 window = reinterpret_cast<u64>(stasis_birth_window),
            released = reinterpret_cast<u64>(stasis_birth_released);
  if (context.rip < window || context.rip > released) return;
  if (context.rip == released) {
    context.rip = context.rcx;
    return;
  }
  auto* side = reinterpret_cast<BirthSide*>(context.rip == window ? context.rbx : context.r11);
  const u64 flags = context.r11;
  memcpy(&context, side->registers, sizeof side->registers);
  context.rcx = context.rip;
  context.r11 = flags;
  release_side(side);
}

i64 trapped_clone(Trap& trap) {
  const CloneCall call = read_call(trap);
  return (call.flags & CLONE_VM) != 0 ? share_memory(trap, call) : fork_process(trap, call);
}

}  // namespace stasis::runtime
