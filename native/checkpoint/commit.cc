#include "checkpoint/commit.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "os/file.h"
#include "os/pidfd.h"

namespace stasis::checkpoint {

namespace {

constexpr auto kKeeperTime = std::chrono::seconds(1);
constexpr auto kEndTime = std::chrono::seconds(30);  // the kernel must free the memory, and write it to nowhere

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// A socket path is limited to 107 bytes and a state directory is not: the directory's descriptor stands for it.
Result<UniqueFd> connect_to(const std::string& path) {
  const UniqueFd directory =
      STASIS_TRY(open_file_at(AT_FDCWD, directory_of(path), O_PATH | O_DIRECTORY, 0, "opening the keeper's directory"));
  const std::string name = "/proc/self/fd/" + std::to_string(directory.get()) + "/" + path.substr(path.rfind('/') + 1);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.size() >= sizeof address.sun_path)
    return Error::of_errno(ENAMETOOLONG, "connect", "reaching the keeper").with_path(path);
  std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Error::of_errno("socket", "reaching the keeper");
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return Error::of_errno("connect", "reaching the keeper").with_path(path);
  }
  return fd;
}

// True once the keeper has said `ok`.
bool wait_for_ok(int fd, Deadline deadline) {
  std::string answer;
  char bytes[256];
  while (answer.find('\n') == std::string::npos && answer.size() < 4096) {
    pollfd query{fd, POLLIN, 0};
    const int ready = ::poll(&query, 1, deadline.milliseconds_left());
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    const ssize_t count = ::recv(fd, bytes, sizeof bytes, 0);
    if (count <= 0) return false;
    answer.append(bytes, static_cast<std::size_t>(count));
  }
  return answer.rfind("ok", 0) == 0;
}

// The connection stays open until the process has ended. A keeper that is not there or does not answer records a death
// by SIGKILL, which is no reason to keep the application alive.
UniqueFd tell_keeper(const Subject& subject) {
  if (subject.options.control_socket.empty()) return {};
  auto connection = connect_to(subject.options.control_socket);
  if (!connection.ok()) return {};
  const std::string line = "checkpointed " + subject.options.output_directory + "\n";
  if (::send(connection.value().get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
    return {};
  (void)wait_for_ok(connection.value().get(), Deadline::in(kKeeperTime));
  return std::move(connection).value();
}

void remove_contents(int directory) {
  const int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return;
  std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(copy), &::closedir);
  if (entries == nullptr) {
    ::close(copy);
    return;
  }
  while (const dirent* entry = ::readdir(entries.get())) {
    if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0)
      ::unlinkat(directory, entry->d_name, 0);
  }
}

}  // namespace

Result<PartialDirectory> PartialDirectory::create(const std::string& path, const std::string& final_path) {
  struct stat status;
  if (::lstat(final_path.c_str(), &status) == 0) {
    return Error::plain(ErrorKind::Busy, "the snapshot's directory exists already", "choose another name")
        .with_path(final_path);
  }
  if (::mkdir(path.c_str(), 0700) != 0) {
    return Error::of_errno("mkdir", "making the directory for an unfinished checkpoint")
        .with_kind(errno == EEXIST                     ? ErrorKind::Busy
                   : errno == EACCES || errno == EPERM ? ErrorKind::Permission
                                                       : ErrorKind::Failed)
        .with_path(path);
  }
  auto fd = open_directory(path, "opening the directory for an unfinished checkpoint");
  if (!fd.ok()) {
    ::rmdir(path.c_str());
    return std::move(fd).error();
  }
  return PartialDirectory(path, std::move(fd).value());
}

PartialDirectory::~PartialDirectory() {
  if (path_.empty()) return;
  remove_contents(fd_.get());
  ::rmdir(path_.c_str());
}

// Nobody is told of the end of a child before all are as good as dead.
Status end_application(Tree& tree) {
  const UniqueFd connection = tell_keeper(tree.first().subject);
  for (const auto& member : tree.members) {
    Status killed = signal_process(member->subject.process, SIGKILL);
    if (!killed.ok() && killed.error().error != ESRCH) {
      return std::move(killed).error().with_pid(member->pid()).with_path(tree.options.output_directory);
    }
  }
  const Deadline deadline = Deadline::in(kEndTime);
  tracer::Pause pause;
  // Being the tracer, we are told of the end of every thread before its parent is; a main thread's comes last.
  while (true) {
    const tracer::Tracee* left = nullptr;
    for (const auto& member : tree.members) {
      tracer::Session& session = *member->session;
      for (auto& tracee : session.threads()) {
        if (tracee->at != tracer::Tracee::At::Gone) tracee->at = tracer::Tracee::At::Running;
        STASIS_TRY(session.poll(*tracee));
      }
      session.drop_gone();
      if (!session.threads().empty()) left = session.threads().front().get();
    }
    if (left == nullptr) return {};
    if (deadline.passed()) return tracer::timed_out(tree.options.pid, left->tid, "ending the application");
    pause.wait();
  }
}

}  // namespace stasis::checkpoint
