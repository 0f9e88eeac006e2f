// A pseudoterminal with both ends in one process: settings, size, packet mode, and a second one whose terminal was closed.
// mode: checkpoint
// build: static
#include <sys/ioctl.h>
#include <termios.h>

#include "guest.h"

static int open_master(void) {
  int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  CHECK(fd >= 0 && grantpt(fd) == 0 && unlockpt(fd) == 0);
  return fd;
}

static void passes(int from, int to, const char* text) {
  char buffer[64];
  size_t length = strlen(text);
  CHECK(write(from, text, length) == (ssize_t)length);
  CHECK(read(to, buffer, sizeof buffer) == (ssize_t)length && memcmp(buffer, text, length) == 0);
}

int main(void) {
  int master = open_master(), lonely = open_master();
  int slave = open(ptsname(master), O_RDWR | O_NOCTTY), again = open(ptsname(master), O_RDWR | O_NOCTTY | O_NONBLOCK);
  int closed = open(ptsname(lonely), O_RDWR | O_NOCTTY);
  CHECK(slave >= 0 && again >= 0 && closed >= 0 && close(closed) == 0);
  struct termios settings, now;
  CHECK(tcgetattr(slave, &settings) == 0);
  cfmakeraw(&settings);
  settings.c_cc[VMIN] = 1, settings.c_cc[VEOF] = 7;
  struct winsize size = {33, 77, 800, 600}, found;
  CHECK(tcsetattr(slave, TCSANOW, &settings) == 0 && ioctl(master, TIOCSWINSZ, &size) == 0);
  passes(master, slave, "before\n");

  guest_checkpoint_here();

  CHECK(tcgetattr(slave, &now) == 0);
  CHECK(now.c_iflag == settings.c_iflag && now.c_oflag == settings.c_oflag && now.c_lflag == settings.c_lflag);
  CHECK(now.c_cflag == settings.c_cflag && memcmp(now.c_cc, settings.c_cc, sizeof now.c_cc) == 0);
  CHECK(ioctl(slave, TIOCGWINSZ, &found) == 0 && memcmp(&found, &size, sizeof size) == 0);
  CHECK(isatty(slave) && isatty(again) && (fcntl(again, F_GETFL) & O_NONBLOCK) != 0 &&
        (fcntl(master, F_GETFD) & FD_CLOEXEC) != 0);
  passes(master, slave, "to the program");
  passes(slave, master, "from the program\n");
  char byte;
  CHECK(read(again, &byte, 1) == -1 && errno == EAGAIN);
  CHECK(read(lonely, &byte, 1) == -1 && errno == EIO);  // its terminal has been closed
  size.ws_row = 44;
  CHECK(ioctl(master, TIOCSWINSZ, &size) == 0 && ioctl(slave, TIOCGWINSZ, &found) == 0 && found.ws_row == 44);
  CHECK(close(slave) == 0 && close(again) == 0 && read(master, &byte, 1) == -1 && errno == EIO);
  return guest_pass();
}
