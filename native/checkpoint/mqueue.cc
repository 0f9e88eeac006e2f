// POSIX message queues. A message can be read only by taking it, so all are taken and sent again at once, while every process of the
// application is stopped, by a child that outlives the death of this process: none is lost. Order is kept: a queue gives the oldest of the
// highest priority first, and takes them back in that order.
#include <mqueue.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>

#include "checkpoint/fds.h"
#include "os/file.h"
#include "os/file_users.h"

namespace stasis::checkpoint {

namespace {

struct Taken {  // in memory shared with the child; the texts follow
  long count, error;
};
struct TakenMessage {
  std::uint32_t priority;
  std::uint32_t bytes;
};

// Runs in the child: system calls only, since other threads of this process may have held locks.
void take_and_put_back(int queue, std::uint8_t* memory, long count, long size) {
  auto* taken = reinterpret_cast<Taken*>(memory);
  auto* messages = reinterpret_cast<TakenMessage*>(memory + sizeof(Taken));
  std::uint8_t* texts = reinterpret_cast<std::uint8_t*>(messages + count);
  const timespec none{0, 0};
  for (; taken->count < count; ++taken->count) {
    const long bytes = ::syscall(SYS_mq_timedreceive, queue, texts + taken->count * size, size,
                                 &messages[taken->count].priority, &none);
    if (bytes < 0) break;
    messages[taken->count].bytes = static_cast<std::uint32_t>(bytes);
  }
  for (long i = 0; i < taken->count; ++i) {
    if (::syscall(SYS_mq_timedsend, queue, texts + i * size, messages[i].bytes, messages[i].priority, &none) != 0) {
      taken->error = errno;
    }
  }
}

Status read_messages(const Fd& fd, const UniqueFd& queue, const mq_attr& attributes, image::PosixQueue& record) {
  const long count = attributes.mq_curmsgs, size = attributes.mq_msgsize;
  const auto bytes = static_cast<std::size_t>(sizeof(Taken) + count * (sizeof(TakenMessage) + size));
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return Error::of_errno("mmap", "making room for queued messages");
  auto* base = static_cast<std::uint8_t*>(memory);
  Status status;
  {
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, &before);
    const auto child =
        static_cast<pid_t>(::syscall(SYS_clone, 0, nullptr, nullptr, nullptr, nullptr));  // without an exit signal
    if (child == 0) {
      take_and_put_back(queue.get(), base, count, size);
      ::syscall(SYS_exit_group, 0);
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (child < 0) {
      status = Error::of_errno("clone", "reading queued messages");
    } else {
      int unused;
      while (::waitpid(child, &unused, __WALL) < 0 && errno == EINTR) {
      }
    }
  }
  const auto* taken = reinterpret_cast<const Taken*>(base);
  const auto* messages = reinterpret_cast<const TakenMessage*>(base + sizeof(Taken));
  const auto* texts = reinterpret_cast<const std::uint8_t*>(messages + count);
  for (long i = 0; status.ok() && i < taken->count; ++i) {
    record.messages.push_back(
        {.type = messages[i].priority, .text = {texts + i * size, texts + i * size + messages[i].bytes}});
  }
  if (status.ok() && taken->error != 0) {
    status = Error::of_errno(static_cast<int>(taken->error), "mq_timedsend", "putting a message back into its queue")
                 .with_pid(fd.owner->pid)
                 .with_fd(fd.number);
  }
  ::munmap(memory, bytes);
  return status;
}

// Who is to be told of the next message; a file of a queue reads like this since 2.6.6 (mq_overview(7)).
bool has_notification(const UniqueFd& queue) {
  char text[128] = {};
  if (::pread(queue.get(), text, sizeof text - 1, 0) <= 0) return false;
  const char* process = std::strstr(text, "NOTIFY_PID:");
  return process != nullptr && std::atoi(process + std::strlen("NOTIFY_PID:")) != 0;
}

void refuse_queue(const Objects& objects, const Fd& fd, const UniqueFd& queue, Findings& findings) {
  if (has_notification(queue)) {
    findings.add(fd.where(), "a message queue that is to tell of its next message (mq_notify), " + fd.link,
                 "take that back (mq_notify with NULL) before the checkpoint");
  }
  if (objects.phase() != Phase::Before) return;
  std::set<pid_t> members;
  for (const Subject* member : objects.members()) members.insert(member->pid);
  if (const FileUser user = find_file_user({{fd.device, fd.inode}}, members); user.pid != 0) {
    findings.add_passing(fd.where(),
                         "a message queue, " + fd.link + ", that process " + std::to_string(user.pid) +
                             ", which is not of the application, uses too",
                         "start all that use it with the application");
  }
}

}  // namespace

Status save_posix_queues(Objects& objects, image::Image& image, Findings& findings) {
  for (Description& description : objects.descriptions) {
    const Fd& fd = description.first();
    if (description.saved || fd.type() != S_IFREG || fd.link.empty() || fd.link[0] != '/' ||
        fd.link.find('/', 1) != std::string::npos)
      continue;
    const auto duplicate = fd.duplicate();
    mq_attr attributes{};
    if (!duplicate.ok() || ::syscall(SYS_mq_getsetattr, duplicate.value().get(), nullptr, &attributes) != 0) continue;
    description.saved = true;
    // A description of its own: the program's may be for reading or writing only.
    const auto queue = open_file_at(AT_FDCWD, "/proc/self/fd/" + std::to_string(duplicate.value().get()),
                                    O_RDWR | O_NONBLOCK, 0, "opening a message queue");
    if (!queue.ok()) {
      findings.add(fd.where(), "a message queue that cannot be read and written, " + fd.link,
                   "run the checkpoint as its owner, and let the owner read and write it");
      continue;
    }
    refuse_queue(objects, fd, queue.value(), findings);
    image::PosixQueue record;
    record.object = objects.next();
    description.becomes(record.object);
    record.name = fd.link;
    record.unlinked = fd.links == 0;
    if (record.unlinked && record.name.ends_with(kDeleted))
      record.name.resize(record.name.size() - std::strlen(kDeleted));
    record.flags = fd.flags;
    record.mode = fd.mode & 0777;
    record.most_messages = static_cast<std::uint64_t>(attributes.mq_maxmsg);
    record.message_bytes = static_cast<std::uint64_t>(attributes.mq_msgsize);
    if (objects.phase() == Phase::Stopped && attributes.mq_curmsgs > 0) {
      STASIS_TRY(read_messages(fd, queue.value(), attributes, record));
    }
    image.posix_queues.push_back(std::move(record));
  }
  return {};
}

std::vector<std::string> remove_posix_queues(const image::Image& image) {
  std::vector<std::string> stay;
  for (const image::PosixQueue& queue : image.posix_queues) {
    if (queue.unlinked) continue;
    struct stat status;
    const UniqueFd fd(::mq_open(queue.name.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    if (fd.get() >= 0 && ::fstat(fd.get(), &status) == 0) {
      if (const FileUser user = find_file_user({{status.st_dev, status.st_ino}}, {}); user.pid != 0) {
        stay.push_back("the message queue " + queue.name + " stays, since process " + std::to_string(user.pid) +
                       " has begun to use it");
        continue;
      }
    }
    ::mq_unlink(queue.name.c_str());
  }
  return stay;
}

}  // namespace stasis::checkpoint
