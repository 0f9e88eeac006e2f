// The runtime's data and the descriptor that leads a tracer to it (see state.h, wire/descriptor.h).
#include "runtime/state.h"

#include "runtime/births.h"
#include "runtime/ipc_notes.h"
#include "runtime/own_filters.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

extern "C" {
extern const char stasis_text_begin[], stasis_text_end[];
extern const char stasis_blocking_begin[], stasis_blocking_site[], stasis_blocking_after[], stasis_blocking_end[];
extern const char stasis_parasite_entry[], stasis_parasite_sigreturn[];
extern const char stasis_fast_after[];
}

namespace stasis::runtime {

STASIS_HOT PrivateState g_private;
STASIS_HOT ProcessMarks g_process;
STASIS_HOT_LAST wire::RuntimeState g_state;

namespace {

// Room for a long list and a frame with a large XSAVE area, for the runs in a process's first thread. Pages that no checkpoint
// touches do not exist.
alignas(64) u8 g_parasite_area[1 << 20];

}  // namespace

extern "C" {
// Static initialisers are addresses, which the linker knows, so no code has to run before a tracer may look.
extern const wire::Descriptor stasis_descriptor;
__attribute__((section(".descriptor"), used)) const wire::Descriptor stasis_descriptor = {
    .magic = wire::kDescriptorMagic,
    .version = wire::kDescriptorVersion,
    .bytes = sizeof(wire::Descriptor),
    .text_begin = reinterpret_cast<u64>(stasis_text_begin),
    .text_end = reinterpret_cast<u64>(stasis_text_end),
    .blocking_begin = reinterpret_cast<u64>(stasis_blocking_begin),
    .blocking_call = reinterpret_cast<u64>(stasis_blocking_site),
    .blocking_after = reinterpret_cast<u64>(stasis_blocking_after),
    .blocking_end = reinterpret_cast<u64>(stasis_blocking_end),
    .parasite_entry = reinterpret_cast<u64>(stasis_parasite_entry),
    .parasite_sigreturn = reinterpret_cast<u64>(stasis_parasite_sigreturn),
    .state = reinterpret_cast<u64>(&g_state),
    .fast_call_after = reinterpret_cast<u64>(stasis_fast_after),
    .main_parasite_area = reinterpret_cast<u64>(g_parasite_area),
    .main_parasite_bytes = sizeof g_parasite_area,
    .no_build_id = {},
    .reserved = 0,
};
}

void start_process() { g_process.owner_pid = static_cast<u32>(raw_syscall(__NR_getpid)); }

void start_forked_process() {
  forget_births();
  memset(&g_process, 0, sizeof g_process);
  start_process();
  forget_undo_notes();
}

bool owns_memory() {
  return !may_call(kOwnProcessId) || static_cast<u32>(raw_syscall(__NR_getpid)) == g_process.owner_pid;
}

}  // namespace stasis::runtime
