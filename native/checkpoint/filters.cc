// Seccomp filters of the program's own: the runtime has noted those that it saw being installed. They are saved if every thread has all of them,
// and if they let pass what a checkpoint has the application's threads call.
//
// A filter is run here as the kernel would run it, on each of those calls with arguments of zero and from the runtime's place.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "checkpoint/settings.h"
#include "checkpoint/sysv.h"
#include "wire/layout.h"

namespace stasis::checkpoint {

namespace {

constexpr struct {
  int number;
  const char* name;
} kNeeded[] = {{SYS_rt_sigreturn, "rt_sigreturn"},
               {SYS_sigaltstack, "sigaltstack"},
               {SYS_prctl, "prctl"},
               {SYS_brk, "brk"},
               {SYS_getitimer, "getitimer"},
               {SYS_mmap, "mmap"},
               {SYS_clone, "clone"},
               {SYS_wait4, "wait4"},
               {SYS_madvise, "madvise"}};

std::uint32_t answer_of(const std::vector<sock_filter>& program, const seccomp_data& data) {
  std::uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {};
  for (std::size_t at = 0; at < program.size(); ++at) {
    const sock_filter& now = program[at];
    const std::uint32_t operand = BPF_SRC(now.code) == BPF_X ? x : now.k;
    std::uint32_t loaded = now.k;
    if (BPF_MODE(now.code) == BPF_LEN) loaded = sizeof data;
    if (BPF_MODE(now.code) == BPF_MEM) loaded = memory[now.k % BPF_MEMWORDS];
    if (BPF_MODE(now.code) == BPF_ABS && now.k <= sizeof data - sizeof loaded) {
      std::memcpy(&loaded, reinterpret_cast<const char*>(&data) + now.k, sizeof loaded);
    }
    switch (BPF_CLASS(now.code)) {
      case BPF_LD:
        a = loaded;
        break;
      case BPF_LDX:
        x = loaded;
        break;
      case BPF_ST:
        memory[now.k % BPF_MEMWORDS] = a;
        break;
      case BPF_STX:
        memory[now.k % BPF_MEMWORDS] = x;
        break;
      case BPF_ALU:
        switch (BPF_OP(now.code)) {
          case BPF_ADD:
            a += operand;
            break;
          case BPF_SUB:
            a -= operand;
            break;
          case BPF_MUL:
            a *= operand;
            break;
          case BPF_DIV:
            a = operand != 0 ? a / operand : 0;
            break;
          case BPF_AND:
            a &= operand;
            break;
          case BPF_OR:
            a |= operand;
            break;
          case BPF_XOR:
            a ^= operand;
            break;
          case BPF_LSH:
            a <<= operand & 31;
            break;
          case BPF_RSH:
            a >>= operand & 31;
            break;
          default:
            a = 0 - a;
            break;  // BPF_NEG
        }
        break;
      case BPF_JMP: {
        if (BPF_OP(now.code) == BPF_JA) {
          at += now.k;
          break;
        }
        const bool holds = BPF_OP(now.code) == BPF_JEQ   ? a == operand
                           : BPF_OP(now.code) == BPF_JGT ? a > operand
                           : BPF_OP(now.code) == BPF_JGE ? a >= operand
                                                         : (a & operand) != 0;
        at += holds ? now.jt : now.jf;
        break;
      }
      case BPF_RET:
        return BPF_RVAL(now.code) == BPF_A ? a : now.k;
      default:  // BPF_MISC
        (BPF_MISCOP(now.code) == BPF_TAX ? x : a) = BPF_MISCOP(now.code) == BPF_TAX ? a : x;
    }
  }
  return SECCOMP_RET_KILL_PROCESS;
}

const char* first_refused(const image::OwnFilter& filter) {
  std::vector<sock_filter> program(filter.program.size() / sizeof(sock_filter));
  std::memcpy(program.data(), filter.program.data(), program.size() * sizeof(sock_filter));
  for (const auto& needed : kNeeded) {
    seccomp_data data{};
    data.nr = needed.number;
    data.arch = AUDIT_ARCH_X86_64;
    data.instruction_pointer = wire::kWindowBase;
    const std::uint32_t action = answer_of(program, data) & SECCOMP_RET_ACTION_FULL;
    if (action != SECCOMP_RET_ALLOW && action != SECCOMP_RET_LOG) return needed.name;
  }
  return nullptr;
}

// The runtime installed the first filter, and perhaps some on top of it.
std::uint64_t filters_of_ours(const Subject& subject, std::uint64_t inherited) {
  return inherited + 1 + subject.stacked_filters;
}

}  // namespace

std::uint64_t inherited_filters() {
  const auto own = procfs::read_status(::getpid());
  return own.ok() ? own.value().number("Seccomp_filters") : 0;
}

bool has_own_filters(const Subject& subject, const procfs::Fields& status, std::uint64_t inherited) {
  return status.number("Seccomp_filters") > filters_of_ours(subject, inherited);
}

void refuse_filters(const Subject& subject, const procfs::Fields& status, const Notes& notes, Findings& findings) {
  const std::uint64_t filters = status.number("Seccomp_filters");
  const std::uint64_t known = filters_of_ours(subject, inherited_filters()) + notes.filters.size();
  if (filters > known) {
    findings.add(subject.where(), std::to_string(filters - known) + " seccomp filters of the program's own",
                 "run the program with its sandbox switched off");
    return;
  }
  if (notes.filters.empty()) return;
  const auto threads = procfs::list_threads(subject.pid);
  for (const pid_t tid : threads.ok() ? threads.value() : std::vector<pid_t>{}) {
    const auto text = procfs::read_text(subject.pid, "task/" + std::to_string(tid) + "/status");
    if (!text.ok() || procfs::Fields(text.value()).number("Seccomp_filters") == filters) continue;
    findings.add_passing(subject.where() + ", thread " + std::to_string(tid),
                         "seccomp filters that other threads have not",
                         "install them before the threads are made, or for all (SECCOMP_FILTER_FLAG_TSYNC)");
  }
  for (const image::OwnFilter& filter : notes.filters) {
    if (const char* name = first_refused(filter); name != nullptr) {
      findings.add(
          subject.where(),
          std::string("a seccomp filter of the program's own that forbids ") + name + ", which a checkpoint needs",
          "let the filter allow it, or run the program with its sandbox switched off");
    }
  }
}

}  // namespace stasis::checkpoint
