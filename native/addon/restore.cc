// restore(): starts the keeper on the caller's thread, which spares it a wait for another thread, goes on on libuv's
// pool, and stops at a gate before the application comes into being, so that JavaScript can write down the application
// while the image is read and the keeper starts.
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "addon/functions.h"
#include "addon/launched.h"
#include "addon/operation.h"

namespace stasis::addon {

namespace {

// Opened or shut once, by JavaScript; whichever comes first counts.
class Gate {
 public:
  void open() { settle(State::Open); }
  void shut() { settle(State::Shut); }

  Status wait(std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    if (!settled_.wait_for(lock, timeout, [this] { return state_ != State::Undecided; })) {
      return Error::plain(ErrorKind::Timeout, "the caller neither went on with the restore nor gave it up");
    }
    if (state_ == State::Shut) return Error::plain(ErrorKind::Cancelled, "the restore was given up");
    return {};
  }

 private:
  enum class State { Undecided, Open, Shut };

  void settle(State state) {
    {
      std::lock_guard lock(mutex_);
      if (state_ == State::Undecided) state_ = state;
    }
    settled_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable settled_;
  State state_ = State::Undecided;
};

// The gate of one operation and the means to shut it when the environment ends (a worker thread's may at any moment).
struct Permission {
  using Hook = Napi::Env::CleanupHook<std::function<void()>>;

  Gate gate;
  std::optional<Hook> hook;  // until JavaScript has decided

  void decide(Napi::Env env, void (Gate::*decision)()) {
    (gate.*decision)();
    if (hook) hook->Remove(env);
    hook.reset();
  }
};

Napi::Value decision(Napi::Env env, const char* name, std::shared_ptr<Permission> permission, void (Gate::*what)()) {
  auto call = [permission, what](const Napi::CallbackInfo& info) { permission->decide(info.Env(), what); };
  return Napi::Function::New(env, call, name);
}

Napi::Value restored_value(Napi::Env env, const restore::Started& started) {
  const launch::Launched& launched = started.launched;
  Napi::Object timings = Napi::Object::New(env);
  auto set = [&](const char* name, std::uint64_t us) { timings.Set(name, static_cast<double>(us)); };
  set("prepared", started.prepared_us);
  set("started", launched.started_us);
  set("mapped", launched.mapped_us);
  set("fds", launched.fds_us);
  set("threads", launched.threads_us);
  set("resumed", launched.resumed_us);
  set("finished", started.finished_us);
  timings.Set("populatedPages", static_cast<double>(launched.populated_pages));
  Napi::Object object = launched_value(env, launched);
  object.Set("timings", timings);
  object.Set("warnings", texts_value(env, started.warnings));
  object.Set("mapCalls", static_cast<double>(launched.map_calls));
  return object;
}

restore::ChangedFiles changed_files_of(const Options& options) {
  if (!options.has("files")) return restore::ChangedFiles::Fail;
  const std::string policy = options.text("files");
  if (policy == "keep") return restore::ChangedFiles::Keep;
  if (policy == "restore-content") return restore::ChangedFiles::RestoreContent;
  if (policy != "fail") options.complain("files", "'fail', 'keep' or 'restore-content'");
  return restore::ChangedFiles::Fail;
}

}  // namespace

restore::StartOptions start_options(const Options& options) {
  restore::StartOptions result;
  result.keeper = options.text("keeper");
  result.runtime_directory = options.text("runtimes");
  result.directory = options.text("directory");
  result.image = options.text("image");
  result.stamp_directory = options.text("stamps");
  result.timeout = options.time("timeoutMs", launch::kDefaultTimeout);
  result.shift_ids = shift_of(options);
  result.fast_path = !options.has("withoutFastPath");
  result.tcp_close = options.flag("tcpClose", false);
  result.changed_files = changed_files_of(options);
  return result;
}

Napi::Value restore(const Napi::CallbackInfo& info) {
  Options options(info, 0);
  auto given = start_options(options);
  auto streams = options.streams("stdio");
  if (options.failed()) return info.Env().Undefined();
  Napi::Env env = info.Env();
  auto permission = std::make_shared<Permission>();
  auto starting = std::make_shared<Result<restore::Starting>>(restore::Starting::begin(given, streams));
  // The other thread is on its way while the object is made.
  Napi::Value done = run_on_pool(env, "stasis.restore", [=, timeout = given.timeout]() -> Result<MakeValue> {
    // Gone, with its processes if it failed, before the promise is settled.
    auto owned = std::move(*starting);
    if (!owned.ok()) return std::move(owned).error();
    auto started = STASIS_TRY(owned.value().finish([&] { return permission->gate.wait(timeout); }));
    return MakeValue([started](Napi::Env env) { return restored_value(env, started); });
  });
  permission->hook = env.AddCleanupHook(std::function<void()>([permission] { permission->gate.shut(); }));
  Napi::Object begun = Napi::Object::New(env);
  begun.Set("done", done);
  begun.Set("proceed", decision(env, "proceed", permission, &Gate::open));
  begun.Set("abandon", decision(env, "abandon", permission, &Gate::shut));
  return begun;
}

}  // namespace stasis::addon
