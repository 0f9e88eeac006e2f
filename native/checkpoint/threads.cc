// Threads as records.
#include "checkpoint/records.h"

namespace stasis::checkpoint {

namespace {

image::GeneralRegisters general(const user_regs_struct& r) {
  image::GeneralRegisters g;
  g.r15 = r.r15;
  g.r14 = r.r14;
  g.r13 = r.r13;
  g.r12 = r.r12;
  g.rbp = r.rbp;
  g.rbx = r.rbx;
  g.r11 = r.r11;
  g.r10 = r.r10;
  g.r9 = r.r9;
  g.r8 = r.r8;
  g.rax = r.rax;
  g.rcx = r.rcx;
  g.rdx = r.rdx;
  g.rsi = r.rsi;
  g.rdi = r.rdi;
  g.rip = r.rip;
  g.eflags = r.eflags;
  g.rsp = r.rsp;
  g.fs_base = r.fs_base;
  g.gs_base = r.gs_base;
  return g;
}

}  // namespace

void record_threads(const tracer::ProcessState& state, image::ProcessImage& section) {
  for (const tracer::ThreadState& thread : state.threads) {
    image::Thread record;
    record.tid = thread.tid;
    record.name = thread.name;
    record.registers = general(thread.registers);
    record.xsave = thread.xsave;
    record.signal_mask = thread.mask;
    record.altstack_address = thread.alternate_stack.address;
    record.altstack_bytes = thread.alternate_stack.bytes;
    record.altstack_flags = thread.alternate_stack.flags;
    record.clear_child_tid = thread.clear_child_tid;
    record.robust_list = thread.robust_list;
    record.robust_list_bytes = thread.robust_list_bytes;
    record.rseq_address = thread.rseq.address;
    record.rseq_bytes = thread.rseq.bytes;
    record.rseq_signature = thread.rseq.signature;
    record.wait_ns = thread.wait_ns;
    section.threads.push_back(std::move(record));
  }
}

}  // namespace stasis::checkpoint
