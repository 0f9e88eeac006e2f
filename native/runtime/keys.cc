// Keys of the kernel's keyrings (keyrings(7)): that a program has put or found some there is noted, since a restored program would look for
// them in vain, and nothing else tells a checkpoint of them.
#include <linux/keyctl.h>

#include "runtime/notes.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

// Operations that only look, or take away, leave nothing that a restored program would miss.
bool gives_keys(const Trap& trap) {
  if (trap.number != __NR_keyctl) return true;
  switch (static_cast<u32>(trap.arguments[0])) {
    case KEYCTL_JOIN_SESSION_KEYRING:
    case KEYCTL_LINK:
    case KEYCTL_MOVE:
    case KEYCTL_SET_REQKEY_KEYRING:
    case KEYCTL_INSTANTIATE:
    case KEYCTL_INSTANTIATE_IOV:
    case KEYCTL_ASSUME_AUTHORITY:
    case KEYCTL_GET_PERSISTENT:
      return true;
    default:
      return false;
  }
}

}  // namespace

i64 trapped_keys(Trap& trap) {
  const i64 result = blocking_call(trap);
  if (result < 0 || !gives_keys(trap) || !owns_memory() || find_note(wire::NoteKind::Keys, 0) != nullptr) return result;
  if (wire::Note* note = begin_note(0); note != nullptr) finish_note(note, wire::NoteKind::Keys, 0);
  return result;
}

}  // namespace stasis::runtime
