#include <poll.h>

#include <cerrno>
#include <csignal>

#include "addon/arguments.h"
#include "addon/errors.h"
#include "addon/functions.h"
#include "addon/operation.h"
#include "base/deadline.h"
#include "os/pidfd.h"
#include "os/procfs.h"

namespace stasis::addon {

namespace {

// Fields of /proc/PID/stat.
constexpr int kThreadsField = 20;
constexpr int kStartTimeField = 22;

struct Identity {
  pid_t pid;
  std::uint64_t start_time;
};

Identity identity(Arguments& arguments) {
  return {static_cast<pid_t>(arguments.integer(0, "pid")),
          static_cast<std::uint64_t>(arguments.integer(1, "startTime"))};
}

Error not_running(pid_t pid) { return Error::of_errno(ESRCH, "", "the process is not running").with_pid(pid); }

// A main thread that has ended is a zombie as long as other threads go on, or have not finished dying: the process
// still holds its memory, ports and locks.
bool is_alive(const Identity& identity) {
  auto stat = procfs::read_stat(identity.pid);
  if (!stat.ok() || stat.value().field[kStartTimeField] != identity.start_time) return false;
  bool main_thread_ended = stat.value().state == 'Z' || stat.value().state == 'X';
  return !main_thread_ended || stat.value().field[kThreadsField] > 1;
}

// The handle first, the comparison second: if the start time is right while the handle is held, the handle is of that
// process.
Result<UniqueFd> open_identified(const Identity& identity) {
  UniqueFd process = STASIS_TRY(open_process(identity.pid));
  if (!is_alive(identity)) return not_running(identity.pid);
  return process;
}

// True when the process has ended.
Result<bool> await_end(const Identity& identity, std::int64_t timeout_ms, const Cancellation& cancellation) {
  auto process = open_identified(identity);
  if (!process.ok() && process.error().error == ESRCH) return true;
  if (!process.ok()) return std::move(process).error();
  const Deadline deadline = Deadline::in(std::chrono::milliseconds(timeout_ms < 0 ? 0 : timeout_ms));
  for (;;) {
    pollfd entries[2] = {{process.value().get(), POLLIN, 0}, {cancellation.fd(), POLLIN, 0}};
    int ready = poll(entries, 2, timeout_ms < 0 ? -1 : deadline.milliseconds_left());
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return Error::of_errno("poll", "waiting for the end of a process").with_pid(identity.pid);
    if (entries[0].revents != 0) return true;
    if (ready == 0) return false;
    return Error::plain(ErrorKind::Cancelled, "cancelled while waiting for the end of a process")
        .with_pid(identity.pid);
  }
}

}  // namespace

Napi::Value process(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  Identity given = identity(arguments);
  if (arguments.failed()) return info.Env().Undefined();
  return Napi::Boolean::New(info.Env(), given.pid > 0 && is_alive(given));
}

Napi::Value signal(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  Identity given = identity(arguments);
  std::int64_t number = arguments.integer(2, "signal");
  if (arguments.failed()) return info.Env().Undefined();
  auto process = open_identified(given);
  if (!process.ok()) return throw_error(info.Env(), process.error());
  Status sent = signal_process(process.value(), static_cast<int>(number));
  if (!sent.ok()) return throw_error(info.Env(), std::move(sent).error().with_pid(given.pid));
  return info.Env().Undefined();
}

Napi::Value wait_end(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  Identity given = identity(arguments);
  std::int64_t timeout_ms = arguments.optional_time(2, "timeoutMs");
  if (arguments.failed()) return info.Env().Undefined();
  auto cancellation = cancellation_of(info.Env(), info[3]);
  if (cancellation == nullptr) return info.Env().Undefined();
  return run_on_thread(info.Env(), "stasis.waitEnd", cancellation, [=]() -> Result<MakeValue> {
    bool ended = STASIS_TRY(await_end(given, timeout_ms, *cancellation));
    return MakeValue([ended](Napi::Env env) { return Napi::Boolean::New(env, ended); });
  });
}

}  // namespace stasis::addon
