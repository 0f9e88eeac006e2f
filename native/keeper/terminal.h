// The terminal of a foreground application, as its caller had it.
//
// A program may change the terminal's modes and hand it to a process group of its own, and puts both back when it ends. One that is
// killed, a checkpoint included, does not; and one that was restored puts back what it found on the terminal that it was started on. So the
// keeper, in whose place the caller's shell waits, remembers the modes and puts them back, unless the terminal belongs to somebody else by
// then.
#pragma once

#include <termios.h>

namespace stasis::keeper {

class CallersTerminal {
 public:
  // While the streams are still the caller's. Without a terminal there is nothing to put back.
  void remember();
  // With SIGTTOU blocked.
  void put_back() const;
  // Tells the processes in the foreground that the terminal is not the one that they know: its size may be another, and it shows nothing of
  // what they have drawn. Once they are where they wait for keys, so that the signal interrupts them.
  void announce() const;

 private:
  termios modes_{};
  bool known_ = false;
};

}  // namespace stasis::keeper
