// Descriptors of a child process: each kind becomes its record or its finding.
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "checkpoint/fds.h"
#include "os/pidfd.h"
#include "test/check.h"

namespace stasis::checkpoint {
namespace {

// A child that runs `body` in an empty directory with no descriptors but /dev/null at 0 to 2, and then waits to be
// looked at.
class Child {
 public:
  explicit Child(void (*body)()) {
    char name[] = "/tmp/stasis-fds-XXXXXX";
    directory_ = ::mkdtemp(name);
    int ready[2];
    if (::pipe2(ready, O_CLOEXEC) != 0) ::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::dup2(ready[1], 1000) < 0 || ::chdir(directory_.c_str()) != 0) ::_exit(1);
      ::close_range(0, 999, 0);
      for (int i = 0; i < 3; ++i) ::open("/dev/null", O_RDWR);
      body();
      ::close(1000);
      while (true) ::pause();
    }
    ::close(ready[1]);
    char byte;
    (void)!::read(ready[0], &byte, 1);
    ::close(ready[0]);
  }
  Child(const Child&) = delete;
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    (void)!::system(("rm -r " + directory_).c_str());
  }

  pid_t pid() const { return pid_; }
  const std::string& directory() const { return directory_; }

 private:
  pid_t pid_;
  std::string directory_;
};

struct Look {
  image::Image image;
  std::vector<std::string> findings;

  // What the numbers stand for: those of one end of an object.
  std::vector<image::Descriptor> numbers_of(std::uint32_t object, std::uint32_t end = 0) const {
    std::vector<image::Descriptor> found;
    for (const image::Descriptor& number : image.first().descriptors.numbers) {
      if (number.object == object && number.end == end) found.push_back(number);
    }
    return found;
  }
  // The lowest of them, -1: none.
  int fd_of(std::uint32_t object, std::uint32_t end = 0) const {
    const auto found = numbers_of(object, end);
    return found.empty() ? -1 : found.front().fd;
  }
};

Look look(const Child& child, Options options = {}) {
  options.pid = child.pid();
  static const CancelToken none;
  auto process = open_process(child.pid());
  Look result;
  if (!CHECK(process.ok())) return result;
  Subject subject{options, none, child.pid(), std::move(process).value(), Phase::Stopped};
  const Subject* const member = &subject;
  SharedLinks links;
  Findings findings;
  result.image.processes.emplace_back();
  auto objects = Objects::read({&member, 1}, links);
  if (!CHECK(objects.ok())) return result;
  const auto saved = save_fds(objects.value(), result.image, findings);
  if (!saved.ok()) CHECK_EQUAL(saved.error().message(), "");
  if (!findings.empty()) result.findings = std::move(findings).error(child.pid()).details;
  return result;
}

bool mentions(const Look& look, const std::string& fd, const std::string& what) {
  for (const std::string& line : look.findings) {
    if (line.find("fd " + fd + ":") != std::string::npos && line.find(what) != std::string::npos) return true;
  }
  return false;
}

TEST(files_and_duplicates) {
  const Child child([] {
    ::open("data", O_RDWR | O_CREAT | O_APPEND, 0600);  // 3
    ::dup(3);                                           // 4: the same description
    ::open("data", O_RDONLY | O_CLOEXEC);               // 5: another one
    (void)!::write(3, "12345", 5);
    ::open(".", O_RDONLY | O_DIRECTORY);  // 6
  });
  const Look seen = look(child);
  CHECK(seen.findings.empty());
  if (!CHECK_EQUAL(seen.image.open_files.size(), 6u)) return;  // three times /dev/null
  const image::OpenFile* append = nullptr;
  for (const auto& file : seen.image.open_files) {
    const int fd = seen.fd_of(file.object);
    if (fd == 3) append = &file;
    if (fd == 5) CHECK(seen.numbers_of(file.object).front().close_on_exec);
    if (fd == 6) CHECK_EQUAL(file.file_type, static_cast<unsigned>(S_IFDIR));
  }
  if (!CHECK(append != nullptr)) return;
  CHECK_EQUAL(seen.numbers_of(append->object).size(), 2u);
  CHECK_EQUAL(append->path, child.directory() + "/data");
  CHECK_EQUAL(append->position, 5);
  CHECK_EQUAL(append->file_bytes, 5u);
  CHECK_EQUAL(append->flags, static_cast<unsigned>(O_RDWR | O_APPEND));
}

TEST(pipes_keep_their_bytes) {
  const Child child([] {
    int ends[2];
    (void)!::pipe2(ends, O_NONBLOCK);  // 3, 4
    ::fcntl(3, F_SETPIPE_SZ, 65536 * 4);
    static char bytes[100000];
    std::memset(bytes, 'x', sizeof bytes);
    (void)!::write(4, bytes, sizeof bytes);
    (void)!::write(4, "end", 3);
    (void)!::pipe(ends);  // 5, 6: the writer closes
    (void)!::write(6, "rest", 4);
    ::close(6);
  });
  const Look seen = look(child);
  CHECK(seen.findings.empty());
  if (!CHECK_EQUAL(seen.image.pipes.size(), 2u)) return;
  for (const auto& pipe : seen.image.pipes) {
    if (seen.fd_of(pipe.object) == 3) {
      CHECK_EQUAL(pipe.data.size(), 100003u);
      CHECK_EQUAL(pipe.data.back(), 'd');
      CHECK_EQUAL(pipe.capacity, 65536u * 4);
      CHECK_EQUAL(seen.numbers_of(pipe.object, 1).size(), 1u);
      CHECK_EQUAL(pipe.read_flags, static_cast<unsigned>(O_NONBLOCK));
    } else {
      CHECK_EQUAL(seen.fd_of(pipe.object, 1), -1);
      CHECK_EQUAL(std::string(pipe.data.begin(), pipe.data.end()), "rest");
    }
  }
}

TEST(socket_pairs) {
  const Child child([] {
    int pair[2];
    (void)!::socketpair(AF_UNIX, SOCK_STREAM, 0, pair);  // 3, 4
    (void)!::write(3, "to four", 7);
    (void)!::write(3, ", again", 7);
    (void)!::write(4, "to three", 8);
    (void)!::socketpair(AF_UNIX, SOCK_STREAM, 0, pair);  // 5, 6
    (void)!::write(6, "last", 4);
    ::close(6);
    (void)!::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);  // 6, 7
  });
  const Look seen = look(child);
  CHECK(seen.findings.empty());
  if (!CHECK_EQUAL(seen.image.socket_pairs.size(), 3u)) return;
  for (const auto& pair : seen.image.socket_pairs) {
    const std::string first(pair.to_first.begin(), pair.to_first.end()),
        second(pair.to_second.begin(), pair.to_second.end());
    const int fd = seen.fd_of(pair.object);
    if (fd == 3 || fd == 4) {
      CHECK_EQUAL(fd == 3 ? first : second, "to three");
      CHECK_EQUAL(fd == 3 ? second : first, "to four, again");
    } else if (fd == 5) {
      CHECK_EQUAL(seen.fd_of(pair.object, 1), -1);
      CHECK_EQUAL(first, "last");
    } else {
      CHECK_EQUAL(pair.socket_type, static_cast<unsigned>(SOCK_SEQPACKET));
    }
  }
}

TEST(socket_pairs_with_messages) {
  const Child child([] {
    int pair[2];
    (void)!::socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);  // 3, 4
    (void)!::write(3, "x", 1);
    (void)!::socketpair(AF_UNIX, SOCK_STREAM, 0, pair);  // 5, 6
    ::shutdown(5, SHUT_WR);
    (void)!::socketpair(AF_UNIX, SOCK_STREAM, 0, pair);  // 7, 8
    char control[CMSG_SPACE(sizeof(int))] = {};
    iovec vector{control, 1};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = 0;
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    ::sendmsg(7, &message, 0);
  });
  const Look seen = look(child);
  CHECK(seen.findings.empty());
  if (!CHECK_EQUAL(seen.image.socket_pairs.size(), 3u)) return;
  for (const image::SocketPair& pair : seen.image.socket_pairs) {
    const int fd = seen.fd_of(pair.object);
    if (fd == 3 || fd == 4) {
      const auto& messages = fd == 3 ? pair.messages_to_second : pair.messages_to_first;
      if (!CHECK_EQUAL(messages.size(), 1u)) continue;
      CHECK_EQUAL(messages[0].data.size(), 1u);
    } else if (fd == 5 || fd == 6) {
      CHECK_EQUAL(fd == 5 ? pair.first_shutdown : pair.second_shutdown, 2u);
      CHECK_EQUAL(fd == 5 ? pair.second_shutdown : pair.first_shutdown, 1u);
    } else {
      const auto& messages = fd == 7 ? pair.messages_to_second : pair.messages_to_first;
      if (!CHECK_EQUAL(messages.size(), 1u) || !CHECK_EQUAL(messages[0].rights.size(), 1u)) continue;
      CHECK_EQUAL(seen.fd_of(messages[0].rights[0].object), 0);  // where /dev/null is
    }
  }
}

TEST(listening_sockets) {
  const Child child([] {
    ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);  // 3
    const int one = 1;
    ::setsockopt(3, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(3, reinterpret_cast<sockaddr*>(&in), sizeof in);
    ::listen(3, 123);
    ::socket(AF_UNIX, SOCK_STREAM, 0);  // 4
    sockaddr_un un{};
    un.sun_family = AF_UNIX;
    std::strcpy(un.sun_path, "sock");
    ::bind(4, reinterpret_cast<sockaddr*>(&un), sizeof un);
    ::listen(4, 17);
  });
  const Look seen = look(child);
  CHECK(seen.findings.empty());
  if (!CHECK_EQUAL(seen.image.listening_sockets.size(), 2u)) return;
  for (const auto& socket : seen.image.listening_sockets) {
    if (seen.fd_of(socket.object) == 3) {
      CHECK_EQUAL(socket.backlog, 123u);
      CHECK_EQUAL(socket.options & 1, 1u);
      CHECK_EQUAL(socket.printable.rfind("127.0.0.1:", 0), 0u);
      CHECK_EQUAL(socket.flags, static_cast<unsigned>(O_RDWR | O_NONBLOCK));
    } else {
      CHECK_EQUAL(socket.backlog, 17u);
      CHECK_EQUAL(socket.printable, "sock");
      CHECK_EQUAL(socket.options & 64, 64u);
    }
  }
}

TEST(events_timers_and_epoll) {
  const Child child([] {
    ::eventfd(41, EFD_SEMAPHORE | EFD_NONBLOCK);  // 3
    ::timerfd_create(CLOCK_BOOTTIME, 0);          // 4
    const itimerspec time{{5, 1}, {1000, 0}};
    ::timerfd_settime(4, 0, &time, nullptr);
    ::epoll_create1(EPOLL_CLOEXEC);  // 5
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.u64 = 0x123456789abcdef0;
    ::epoll_ctl(5, EPOLL_CTL_ADD, 3, &event);
  });
  const Look seen = look(child);
  CHECK(seen.findings.empty());
  if (!CHECK(seen.image.eventfds.size() == 1 && seen.image.timerfds.size() == 1 && seen.image.epolls.size() == 1))
    return;
  CHECK_EQUAL(seen.image.eventfds[0].count, 41u);
  const image::Timerfd& timer = seen.image.timerfds[0];
  CHECK_EQUAL(timer.clock_id, static_cast<unsigned>(CLOCK_BOOTTIME));
  CHECK_EQUAL(timer.interval_ns, 5'000'000'001);
  CHECK(timer.remaining_ns > 900'000'000'000 && timer.remaining_ns <= 1'000'000'000'000);
  const image::Epoll& epoll = seen.image.epolls[0];
  if (!CHECK_EQUAL(epoll.targets.size(), 1u)) return;
  CHECK_EQUAL(epoll.targets[0].fd, 3);
  CHECK_EQUAL(epoll.targets[0].events,
              static_cast<unsigned>(EPOLLIN | EPOLLET | EPOLLERR | EPOLLHUP));  // the kernel adds two
  CHECK_EQUAL(epoll.targets[0].data, 0x123456789abcdef0u);
}

TEST(epoll_of_a_closed_number) {
  const Child child([] {
    ::epoll_create1(0);  // 3
    ::eventfd(7, 0);     // 4
    epoll_event event{};
    ::epoll_ctl(3, EPOLL_CTL_ADD, 4, &event);
    ::dup(4);  // 5 keeps the description
    ::close(4);
    ::eventfd(0, 0);  // 4 again, another one
  });
  const Look seen = look(child);
  CHECK(seen.findings.empty());
  if (!CHECK_EQUAL(seen.image.epolls.size(), 1u) || !CHECK_EQUAL(seen.image.epolls[0].targets.size(), 1u)) return;
  CHECK_EQUAL(seen.image.epolls[0].targets[0].fd, 4);
  CHECK_EQUAL(seen.fd_of(seen.image.epolls[0].targets[0].object), 5);
}

TEST(what_cannot_be_saved_is_named) {
  const Child child([] {
    ::open("/proc/self/status", O_RDONLY);  // 3
    sigset_t set;
    sigemptyset(&set);
    ::signalfd(-1, &set, 0);         // 4
    ::memfd_create("m", 0);          // 5
    ::socket(AF_INET, SOCK_RAW, 1);  // 6, which takes a privilege
    if (::fcntl(6, F_GETFD) < 0) ::socket(AF_NETLINK, SOCK_DGRAM, 0);
    ::socket(AF_NETLINK, SOCK_RAW, 0);       // 7
    ::open("gone", O_CREAT | O_RDWR, 0600);  // 8
    ::unlink("gone");
    ::dup(7);                                  // 9
    ::open("locked", O_CREAT | O_RDWR, 0600);  // 10
    ::flock(10, LOCK_EX);
    ::open("moved", O_CREAT | O_RDWR, 0600);  // 11
    ::rename("moved", "moved-2");
    ::open("moved", O_CREAT | O_RDWR, 0600);  // 12
    ::open("/proc/self/stat", O_RDONLY);      // 13
  });
  const Look seen = look(child);
  CHECK(mentions(seen, "3", "process itself"));
  CHECK(!mentions(seen, "4", "signalfd"));
  CHECK(mentions(seen, "5", "memfd"));
  CHECK(mentions(seen, "6", "raw IP") || mentions(seen, "6", "netlink"));
  CHECK(mentions(seen, "7", "netlink"));
  CHECK(mentions(seen, "8", "deleted"));
  for (const image::OpenFile& file : seen.image.open_files) {
    if (seen.fd_of(file.object) == 10) CHECK_EQUAL(file.flock, 2u);
  }
  CHECK(mentions(seen, "13", "process itself"));
  CHECK_EQUAL(seen.findings.size(), 6u);
}

TEST(ends_in_another_process) {
  static int outer[2], pair[2];
  if (!CHECK(::pipe2(outer, O_CLOEXEC) == 0 && ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0)) return;
  ::fcntl(outer[1], F_DUPFD, 2001);
  ::fcntl(pair[1], F_DUPFD, 2003);
  {
    const Child child([] {
      ::dup2(2001, 3);
      ::dup2(2003, 4);
      ::dup2(2001, 1);
      ::close_range(2000, ~0u, 0);
    });
    const Look seen = look(child);
    // Number 1, and so its duplicate, is taken for the application's own output.
    CHECK_EQUAL(seen.image.stdio.size(), 1u);
    CHECK(mentions(seen, "4", "another process"));
    struct stat status;
    CHECK(::fstat(outer[0], &status) == 0);
    Options options;
    options.stdio[0] = {status.st_dev, status.st_ino + 1, S_IFIFO};
    CHECK(mentions(look(child, options), "1", "another process"));
    options.stdio[1] = {status.st_dev, status.st_ino, S_IFIFO};
    const Look known = look(child, options);
    if (!CHECK_EQUAL(known.image.stdio.size(), 1u)) return;
    CHECK_EQUAL(known.image.stdio[0].stream, 1u);
    CHECK_EQUAL(known.numbers_of(known.image.stdio[0].object).size(), 2u);
  }
  for (const int fd : {outer[0], outer[1], pair[0], pair[1], 2001, 2003}) ::close(fd);
}

}  // namespace
}  // namespace stasis::checkpoint
