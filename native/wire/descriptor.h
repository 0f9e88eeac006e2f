// What a tracer must know of the runtime inside a process. The descriptor lies at kDescriptorAddress; the tracer reads it with
// process_vm_readv and writes nothing but parasite blocks.
#pragma once

#include "wire/types.h"

namespace stasis::wire {

inline constexpr u64 kDescriptorMagic = 0x3173697361747353;  // "Sstasis1" backwards in memory order
// 1: a restored program gets new ids. 2: it keeps them (wire/ids.h). 3: call sites may be rewritten (runtime/sites.h).
// 4: it rebuilds several processes (wire/plan.h); parasites run lists of any length and make holders (wire/parasite.h).
// 5: threads go on with what was left of their waits (wire/waits.h).
inline constexpr u32 kDescriptorVersion = 5;
inline constexpr u32 kDescriptorVersionWithWaits = 5;
inline constexpr u32 kDescriptorVersionOfOneProcess = 3;
inline constexpr u32 kDescriptorVersionWithoutIds = 1;

inline constexpr u32 kSignalCount = 64;
inline constexpr u32 kMaxExePath = 4096;
inline constexpr u32 kMaxPageFiles = 16;

// The kernel's struct sigaction of x86-64 (rt_sigaction(2), linux/arch/x86/include/uapi/asm/signal.h).
struct KernelSigaction {
  u64 handler;
  u64 flags;
  u64 restorer;
  u64 mask;
};

// A file that backs memory restored from an image: its pages stand for anonymous memory.
struct PageFileIdentity {
  u64 device;
  u64 inode;
};

// A call site that the runtime has rewritten: kSiteBytes bytes at `address`, in the low bits of the words. They stand there only as
// long as nothing else is mapped in their place.
inline constexpr u32 kSiteBytes = 5;
struct RewrittenSite {
  u64 address;
  u64 original;
  u64 replacement;
};
inline constexpr u32 kMaxRewrittenSites = 512;

// Pages that the runtime has put between the program's own, for rewritten sites to jump to. No part of the program.
struct StubArea {
  u64 begin, end;
};
inline constexpr u32 kMaxStubAreas = 8;

// In a fast call r15 holds its address, and so far behind that lies the ucontext with the program's registers, rip behind the system
// call (runtime/fast_call.h).
inline constexpr u64 kFastCallProgramOffset = 32;
inline constexpr u64 kFastCallFlagsBelow = 136;  // the program's flags lie so far below its rsp

// The runtime's mutable state that a checkpoint needs. Lives in the runtime's data; program-visible values only.
struct RuntimeState {
  KernelSigaction actions[kSignalCount];  // [signal - 1], as the program set them (never a thunk)
  u64 actions_known;                      // bit signal-1: the program has set this action since exec or restore
  i64 monotonic_offset_ns;                // virtual minus host, for CLOCK_MONOTONIC, _RAW, _COARSE
  i64 boottime_offset_ns;                 // virtual minus host, for CLOCK_BOOTTIME, _ALARM
  u32 page_file_count;                    // entries of page_files; 0 in a process that was never restored
  u32 restored;                           // 1 in a process rebuilt from an image (not in what it execs)
  PageFileIdentity page_files[kMaxPageFiles];
  u64 image_range_count;  // wire::ImageRange entries at kImageTableBase
  u32 rewritten_site_count;
  u32 stub_area_count;
  StubArea stub_areas[kMaxStubAreas];
  char exe_path[kMaxExePath];      // what /proc/self/exe names for the program
  char runtime_path[kMaxExePath];  // the runtime's own file, executed again at every exec
  RewrittenSite rewritten_sites[kMaxRewrittenSites];
  u64 stacked_filters;  // seccomp filters of the runtime's on top of the first (runtime/ids_signalfd.cc)
  u64 notes_used;       // bytes of notes at kNotesBase (wire/notes.h)
};

struct Descriptor {
  u64 magic;
  u32 version;
  u32 bytes;  // sizeof(Descriptor) of the runtime that wrote it
  u64 text_begin, text_end;
  // A blocking system call for the program is issued only inside this window, with rbx = the SIGSYS frame's ucontext:
  //   [blocking_begin, blocking_call]  the call has not been issued yet, or is to be issued again
  //   blocking_after                   the call has returned; rax holds its result
  u64 blocking_begin, blocking_call, blocking_after, blocking_end;
  u64 parasite_entry;      // rdi = ParasiteBlock*, rsp = top of a stack of at least 1 KiB
  u64 parasite_sigreturn;  // address of the syscall instruction that ends a parasite run (rip + 2 at its stop)
  u64 state;               // RuntimeState*
  u64 fast_call_after;     // behind the call that a fast call issues
  u64 main_parasite_area, main_parasite_bytes;  // static memory for the first parasite run, before the arena exists
  u8 no_build_id[20];                           // zero; in runtimes from before the note had its place, the build id
  u32 reserved;
};

// The runtime's GNU build id as the linker wrote it (elf(5)), right behind the descriptor: nothing of this page is written
// when a process starts.
struct BuildIdNote {
  u32 name_bytes;
  u32 id_bytes;
  u32 type;
  char name[4];
  u8 build_id[20];
};

struct DescriptorPage {
  Descriptor descriptor;
  BuildIdNote note;
};

}  // namespace stasis::wire
