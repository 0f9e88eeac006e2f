// mmap(2) of a small reservation at an address that the program asks for without insisting on it: the kernel chooses the
// place.
//
// V8 asks for each 256 KiB of its heap at an address it has drawn from 46 bits. Every such piece is a mapping of its
// own, far from any other, so that a restore needs one call for each (657 for 150 MB) and each first touch a page table
// of its own. The kernel puts them side by side, below the last one. mmap(2) makes the address a hint: whoever gives
// one must look where the memory came to lie, since another mapping may stand there. The filter (filter_calls.h, FarHint)
// lets pass what may have reason for its wish: anything larger, accessible at once or in the low 4 GiB
// (docs/adr/0009).
#include "runtime/syscall.h"
#include "runtime/trap.h"

namespace stasis::runtime {

i64 trapped_reservation(Trap& trap) {
  const u64* arguments = trap.arguments;
  return raw_syscall(__NR_mmap, 0, arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}

}  // namespace stasis::runtime
