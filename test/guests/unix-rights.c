// Descriptors in flight (SCM_RIGHTS): a file that is open elsewhere, the end of a pipe that is nowhere else, both over stream and datagram sockets.
// mode: checkpoint
// build: static
#include "sockets.h"

int main(void) {
  char path[512], got[32];
  int stream[2], datagram[2], pipes[2], fd;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, stream) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, datagram) == 0);
  CHECK(pipe(pipes) == 0 && write(pipes[1], "in the pipe", 11) == 11);
  int file = open(guest_path(&path, "data"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(file >= 0 && write(file, "0123456789", 10) == 10 && lseek(file, 2, SEEK_SET) == 2);
  int other = open(path, O_RDONLY);
  CHECK(other >= 0 && lseek(other, 5, SEEK_SET) == 5);
  CHECK(send(stream[0], "before", 6, 0) == 6);
  guest_send_fd(stream[0], "F", 1, file);
  CHECK(send(stream[0], "after", 5, 0) == 5);
  guest_send_fd(datagram[0], "pipe", 4, pipes[0]);
  guest_send_fd(datagram[0], "", 0, other);
  CHECK(close(pipes[0]) == 0 && close(other) == 0);

  guest_checkpoint_here();

  CHECK(guest_receive_fd(stream[1], got, 6, &fd) == 6 && memcmp(got, "before", 6) == 0 && fd == -1);
  CHECK(guest_receive_fd(stream[1], got, sizeof got, &fd) == 1 && got[0] == 'F' && fd >= 0);
  CHECK(lseek(fd, 0, SEEK_CUR) == 2 && lseek(file, 7, SEEK_SET) == 7 && lseek(fd, 0, SEEK_CUR) == 7);
  CHECK(guest_receive_fd(stream[1], got, sizeof got, &fd) == 5 && memcmp(got, "after", 5) == 0 && fd == -1);
  CHECK(guest_receive_fd(datagram[1], got, sizeof got, &fd) == 4 && fd >= 0);
  char text[32];
  CHECK(read(fd, text, sizeof text) == 11 && memcmp(text, "in the pipe", 11) == 0);
  CHECK(write(pipes[1], "more", 4) == 4 && read(fd, text, sizeof text) == 4);
  CHECK(close(pipes[1]) == 0 && read(fd, text, 1) == 0);
  CHECK(guest_receive_fd(datagram[1], got, sizeof got, &fd) == 0 && fd >= 0);
  CHECK(lseek(fd, 0, SEEK_CUR) == 5 && read(fd, text, sizeof text) == 5 && memcmp(text, "56789", 5) == 0);
  CHECK(guest_receive_fd(datagram[1], got, sizeof got, &fd) == -1 && errno == EAGAIN);
  return guest_pass();
}
