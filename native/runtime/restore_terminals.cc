// Pseudoterminals whose both ends the application has, and controlling terminals.
//
// The terminal that a foreground application was on is the restorer's now: it gets the modes and the foreground process group of before, as the
// last thing before the program runs, and only where the application is in its foreground. The keeper puts the modes back at the end
// (keeper/terminal.h).
//
// A new pair gets another number: /dev/pts/N is another N than before, and what ttyname(3) tells is new.
#include <asm/ioctls.h>
#include <linux/fcntl.h>

#include "runtime/ids.h"
#include "runtime/restore.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

using wire::FdEntry;
using wire::Step;

constexpr u64 kSetSettings = 0x402c542b;  // TCSETS2
constexpr u64 kOpenPeer = 0x5441;         // TIOCGPTPEER, 4.13
constexpr u64 kLock = 0x40045431;         // TIOCSPTLCK

constexpr u64 kGetSettings = 0x802c542a;  // TCGETS2

struct Settings {  // struct termios2
  u8 bytes[44];
};

// The terminal that the application was on, if it is on one again.
struct {
  Settings settings;
  i32 foreground_group;
  bool known;
} g_stdio;

}  // namespace

void create_master(const FdEntry& entry) {
  const i64 fd =
      must(raw_syscall(__NR_open, "/dev/ptmx", (entry.flags & (O_ACCMODE | O_NONBLOCK)) | O_NOCTTY | O_CLOEXEC, 0),
           Step::MakeTerminal, entry.image_fd);
  i32 locked = 0, packet = (entry.option & wire::kTerminalPacket) != 0;
  must(raw_syscall(__NR_ioctl, fd, kLock, &locked), Step::MakeTerminal, entry.image_fd);
  must(raw_syscall(__NR_ioctl, fd, kSetSettings, wire::kPlanBase + entry.data), Step::MakeTerminal, entry.image_fd);
  raw_syscall(__NR_ioctl, fd, TIOCSWINSZ, entry.address);
  if (packet != 0) raw_syscall(__NR_ioctl, fd, TIOCPKT, &packet);
  if ((entry.option & wire::kTerminalHungUp) != 0) {  // its slave was open once, and is not any more
    const i64 peer = raw_syscall(__NR_ioctl, fd, kOpenPeer, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (peer >= 0) raw_syscall(__NR_close, peer);
  }
  locked = (entry.option & wire::kTerminalLocked) != 0;
  if (locked != 0) raw_syscall(__NR_ioctl, fd, kLock, &locked);
  park(fd, entry.slot, entry);
}

void create_slave(const FdEntry& entry) {
  const u64 flags = (entry.flags & (O_ACCMODE | O_NONBLOCK | O_APPEND)) | O_NOCTTY | O_CLOEXEC;
  park(must(raw_syscall(__NR_ioctl, slot_fd(entry.peer_slot), kOpenPeer, flags), Step::MakeTerminal, entry.image_fd),
       entry.slot, entry);
}

void take_terminal(u32 slot) {
  if (slot != wire::kNoSlot) must(raw_syscall(__NR_ioctl, slot_fd(slot), TIOCSCTTY, 0), Step::MakeTerminal, slot);
}

void set_foreground_group() {
  if (plan().terminal_slot == wire::kNoSlot || plan().foreground_group <= 0) return;
  wait_for(wire::Meeting::Grouped);
  const auto system = static_cast<i32>(system_of(plan().foreground_group, IdFor::Group));
  if (system > 0) raw_syscall(__NR_ioctl, slot_fd(plan().terminal_slot), TIOCSPGRP, &system);
}

void note_stdio_terminal(i64 fd, const FdEntry& entry) {
  Settings own;
  if (g_stdio.known || entry.data_bytes != sizeof own) return;
  if (is_error(raw_syscall(__NR_ioctl, fd, kGetSettings, &own))) return;
  memcpy(&g_stdio.settings, reinterpret_cast<const void*>(wire::kPlanBase + entry.data), sizeof own);
  g_stdio.foreground_group = static_cast<i32>(entry.ticks);
  g_stdio.known = true;
}

void set_stdio_terminal() {
  if (!g_stdio.known) return;
  // Without a controlling terminal, as a detached application is, ENXIO.
  const i64 fd = raw_syscall(__NR_open, "/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
  if (fd < 0) return;
  i32 group = 0;
  const bool in_foreground =
      raw_syscall(__NR_ioctl, fd, TIOCGPGRP, &group) == 0 && static_cast<i64>(group) == raw_syscall(__NR_getpgid, 0);
  if (in_foreground) {
    // SIGTTOU is blocked.
    raw_syscall(__NR_ioctl, fd, kSetSettings, &g_stdio.settings);
    if (g_stdio.foreground_group > 0) {
      const auto system = static_cast<i32>(system_of(g_stdio.foreground_group, IdFor::Group));
      if (system > 0) raw_syscall(__NR_ioctl, fd, TIOCSPGRP, &system);
    }
  }
  raw_syscall(__NR_close, fd);
}

}  // namespace stasis::runtime
