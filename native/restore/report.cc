#include "restore/report.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>

namespace stasis::restore {

namespace {

using wire::Step;

// What Report::subject and Report::text mean at a step.
enum class Subject { None, Path, Address, Range, Fd, FdAndAddress, Thread, Signal, Timer, Number };

struct StepWords {
  Step step;
  const char* syscall;
  const char* doing;
  Subject subject;
};

constexpr StepWords kSteps[] = {
    {Step::ParseMarker, "", "reading what the runtime was told", Subject::None},
    {Step::InstallFilter, "seccomp", "installing the system call filter", Subject::None},
    {Step::OpenProgram, "open", "opening the program", Subject::Path},
    {Step::LoadProgram, "", "loading the program", Subject::Path},
    {Step::OpenInterpreter, "open", "opening the program's dynamic linker", Subject::Path},
    {Step::LoadInterpreter, "", "loading the program's dynamic linker", Subject::Path},
    {Step::ExecProgram, "execve", "executing the program", Subject::Path},
    {Step::MapPlan, "mmap", "mapping the restore plan", Subject::None},
    {Step::OpenFile, "open", "opening a file to map", Subject::Path},
    {Step::CheckFile, "", "opening a file to map: it was replaced while the restore began", Subject::Path},
    {Step::MoveVdso, "mremap", "moving the vdso", Subject::Address},
    {Step::ClearMemory, "munmap", "clearing memory", Subject::None},
    {Step::MapMemory, "mmap", "mapping memory", Subject::Range},
    {Step::ReadPages, "preadv", "reading pages of the image", Subject::Range},
    {Step::ProtectMemory, "mprotect", "protecting memory", Subject::Range},
    {Step::LockMemory, "mlock", "locking memory", Subject::Range},
    {Step::AdviseMemory, "madvise", "giving advice on memory", Subject::Range},
    {Step::SetMemoryMap, "prctl", "setting the program's memory layout (PR_SET_MM_MAP)", Subject::None},
    {Step::SetAction, "rt_sigaction", "setting the action", Subject::Signal},
    {Step::InstallHandler, "rt_sigaction", "installing the runtime's handler", Subject::None},
    {Step::RaiseFdLimit, "setrlimit", "raising the soft limit of open files", Subject::None},
    {Step::ParkFd, "dup3", "keeping a file descriptor", Subject::Fd},
    {Step::CreatePipe, "pipe2", "making a pipe", Subject::Fd},
    {Step::FillPipe, "write", "putting the bytes in flight back into a pipe", Subject::Fd},
    {Step::CreateSocketPair, "socketpair", "making a pair of sockets", Subject::Fd},
    {Step::FillSocketPair, "write", "putting the queued bytes back into a pair of sockets", Subject::Fd},
    {Step::CreateEventfd, "eventfd2", "making an event counter", Subject::Fd},
    {Step::CreateTimerfd, "timerfd_create", "making a timer", Subject::Fd},
    {Step::SetTimerfd, "timerfd_settime", "setting a timer", Subject::Fd},
    {Step::CreateEpoll, "epoll_create1", "making an epoll", Subject::Fd},
    {Step::AddToEpoll, "epoll_ctl", "filling an epoll", Subject::Fd},
    {Step::CreateSocket, "socket", "making a listening socket", Subject::FdAndAddress},
    {Step::BindSocket, "bind", "binding a listening socket", Subject::FdAndAddress},
    {Step::ListenSocket, "listen", "listening", Subject::FdAndAddress},
    {Step::PlaceFd, "dup3", "putting a file descriptor into its place", Subject::Fd},
    {Step::SetCwd, "chdir", "entering the working directory", Subject::Path},
    {Step::SetItimer, "setitimer", "arming an interval timer", Subject::Timer},
    {Step::CreateThread, "clone", "making a thread", Subject::Thread},
    {Step::RegisterRseq, "rseq", "registering a thread's restartable sequences", Subject::Thread},
    {Step::QueueSignal, "rt_sigqueueinfo", "queueing a signal again", Subject::Signal},
    {Step::OpenDescriptor, "open", "opening a file", Subject::FdAndAddress},
    {Step::MapIds, "mmap", "mapping the translation table", Subject::Fd},
    {Step::PlaceId, "", "giving a process or thread its id back", Subject::Thread},
    {Step::CreateTimer, "timer_create", "making the POSIX timer", Subject::Number},
    {Step::SetCredentials, "", "becoming the user or group", Subject::Number},
    {Step::MakeIpc, "", "making the System V object", Subject::Number},
    {Step::MakeQueue, "mq_open", "making a message queue", Subject::FdAndAddress},
    {Step::CreateSignalfd, "signalfd4", "making a signalfd", Subject::Fd},
    {Step::OpenPidfd, "pidfd_open", "making a pidfd", Subject::Fd},
    {Step::MakeTerminal, "ioctl", "making a pseudoterminal", Subject::Fd},
    {Step::MakeTask, "clone", "making a process", Subject::Thread},
    {Step::SetSession, "setsid", "making a session", Subject::None},
    {Step::SetGroup, "setpgid", "joining a process group", Subject::Thread},
    {Step::MakeSegment, "memfd_create", "making shared memory", Subject::Path},
    {Step::FillSegment, "pwrite", "filling shared memory", Subject::Path},
    {Step::ConnectSocket, "connect", "connecting a socket", Subject::FdAndAddress},
    {Step::AddWatch, "inotify_add_watch", "watching a file", Subject::FdAndAddress},
    {Step::SetLock, "fcntl", "locking a file, which another process may have locked", Subject::FdAndAddress},
    {Step::TakeConnection, "recvmsg", "taking over a TCP connection that was held", Subject::FdAndAddress},
    {Step::Meet, "", "waiting for the application's other processes", Subject::None},
};

const StepWords* words_of(Step step) {
  for (const StepWords& words : kSteps) {
    if (words.step == step) return &words;
  }
  return nullptr;
}

const char* timer_name(std::uint64_t which) {
  return which == 0 ? "ITIMER_REAL" : which == 1 ? "ITIMER_VIRTUAL" : "ITIMER_PROF";
}

// The commonest failure of a restore deserves a sentence of its own: "127.0.0.1:8080 is taken, fd 17: ...".
Error address_taken(const std::string& address, int fd) {
  const bool is_path = address.find('/') != std::string::npos;
  return Error::of_errno(EADDRINUSE, "bind", address + " is taken")
      .with_fd(fd)
      .with_remedy(is_path ? "stop the program that listens there, or remove the file if it is no socket"
                           : "stop the program that listens there");
}

const char* remedy_of(Step step, int error) {
  switch (step) {
    case Step::OpenProgram:
    case Step::ExecProgram:
      if (error == ENOENT) return "check the name and PATH";
      if (error == EACCES) return "make it executable for this user";
      if (error == ENOEXEC) return "only 64-bit x86-64 programs and scripts that name one can run";
      return "";
    case Step::InstallFilter:
      return "this kernel or container forbids seccomp filters: `stasis check` tells more";
    case Step::MapPlan:
      return error == EPROTO
                 ? "the image's runtime is of another version than this Stasis: use the version that made the image"
                 : "";
    case Step::MoveVdso:
      return error == EPERM ? "this kernel seals the vdso (CONFIG_MSEAL_SYSTEM_MAPPINGS)" : "";
    case Step::OpenFile:
    case Step::CheckFile:
      return "leave the application's and the image's files alone during a restore";
    case Step::MapMemory:
      if (error == ENOMEM) return "free memory, or raise vm.max_map_count or the limit of address space (ulimit -v)";
      if (error == EPERM) return "the file's file system is mounted noexec: mount it with exec or move the file";
      return "";
    case Step::LockMemory:
      return "raise the limit of locked memory (ulimit -l)";
    case Step::SetMemoryMap:
      return "the kernel needs CONFIG_CHECKPOINT_RESTORE: `stasis check` tells more";
    case Step::RaiseFdLimit:
      return "raise the hard limit of open files (ulimit -Hn)";
    case Step::OpenDescriptor:
    case Step::SetCwd:
      return "put back what was there, or start the application anew";
    case Step::CreateTimerfd:
      return error == EPERM ? "an alarm clock needs CAP_WAKE_ALARM" : "";
    case Step::CreateTimer:
      if (error == EAGAIN) return "raise the limit of pending signals (ulimit -i)";
      return error == EPERM ? "an alarm clock needs CAP_WAKE_ALARM" : "";
    case Step::SetCredentials:
      return "restore it as that user, or as one with CAP_SETUID and CAP_SETGID";
    case Step::MakeIpc:
      return error == EEXIST ? "its key is taken: end who uses it, or remove it (ipcs, ipcrm)" : "";
    case Step::MakeQueue:
      return error == EEXIST ? "a queue of that name holds other messages: remove it (/dev/mqueue)" : "";
    case Step::BindSocket:
      if (error == EADDRNOTAVAIL) return "give this host the address, or restore where it is";
      if (error == EACCES) return "give this user the right to bind there (CAP_NET_BIND_SERVICE for ports below 1024)";
      if (error == ENOENT) return "make the directory of the socket's path again";
      return "";
    case Step::CreateThread:
    case Step::MakeTask:
      return error == EAGAIN ? "raise the limit of processes (ulimit -u, or the container's pids limit)" : "";
    default:
      return "";
  }
}

void set_subject(Error& error, const wire::Report& report, const StepWords& words, const std::string& text) {
  switch (words.subject) {
    case Subject::None:
      break;
    case Subject::Path:
      error.path = text;
      break;
    case Subject::Address:
    case Subject::Range:
      error.address = report.subject;
      error.length = report.extent;
      error.path = text;
      break;
    case Subject::Fd:
    case Subject::FdAndAddress:
      error.fd = static_cast<int>(report.subject);
      error.path = text;
      break;
    case Subject::Thread:
      error.tid = static_cast<int>(report.subject);
      break;
    case Subject::Signal:
      error.doing += " of signal " + std::to_string(report.subject);
      break;
    case Subject::Number:
      error.doing += " " + std::to_string(report.subject);
      break;
    case Subject::Timer:
      error.doing += std::string(" ") + timer_name(report.subject);
      break;
  }
}

}  // namespace

Error error_of_report(const wire::Report& report) {
  const auto step = static_cast<Step>(report.step);
  const std::string text(report.text, strnlen(report.text, sizeof report.text));
  const StepWords* words = words_of(step);
  if (words == nullptr) {
    return Error::of_errno(report.error, "", "an unknown step of the runtime, number " + std::to_string(report.step));
  }
  if ((step == Step::BindSocket || step == Step::ListenSocket) && report.error == EADDRINUSE) {
    return address_taken(text, static_cast<int>(report.subject));
  }
  Error error = Error::of_errno(report.error, words->syscall, words->doing);
  error.remedy = remedy_of(step, report.error);
  set_subject(error, report, *words, text);
  if (report.process != 0) error.doing += ", in process " + std::to_string(report.process);
  // What is missing or forbidden inside a restore is a failed restore, not a snapshot that was not found. Starting a
  // program is another matter: there the path is the user's.
  if (step >= Step::MapPlan && error.kind == ErrorKind::NotFound) error.kind = ErrorKind::Failed;
  if (step == Step::CheckFile) error.kind = ErrorKind::Incompatible;
  if (step == Step::MapPlan && report.error == EPROTO) error.kind = ErrorKind::Incompatible;
  return error;
}

}  // namespace stasis::restore
