#include "addon/errors.h"
#include "addon/functions.h"
#include "addon/launched.h"
#include "addon/operation.h"
#include "wire/ids.h"

namespace stasis::addon {

std::uint32_t shift_of(const Options& options) {
  if (!options.has("shiftIds")) return 0;
  const std::int64_t shift = options.integer("shiftIds");
  if (shift < 0 || shift >= wire::kPidLimit) options.complain("shiftIds", "a number below 4194304");
  return static_cast<std::uint32_t>(shift);
}

launch::LaunchOptions launch_options(const Options& options) {
  launch::LaunchOptions result;
  result.keeper = options.text("keeper");
  result.runtime = options.text("runtime");
  result.directory = options.text("directory");
  result.timeout = options.time("timeoutMs", launch::kDefaultTimeout);
  result.command = options.texts("command");
  if (result.command.empty()) options.complain("command", "an array with at least one string");
  result.environment = options.texts("env");
  result.cwd = options.text("cwd");
  if (options.has("place")) result.place = options.text("place");
  if (options.has("publish")) result.publish = options.texts("publish");
  result.shift_ids = shift_of(options);
  result.fast_path = !options.has("withoutFastPath");
  return result;
}

Napi::Object launched_value(Napi::Env env, const launch::Launched& launched) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("pid", launched.pid);
  object.Set("startTime", static_cast<double>(launched.start_time));
  object.Set("keeperPid", launched.keeper_pid);
  return object;
}

Napi::Value launch(const Napi::CallbackInfo& info) {
  Options options(info, 0);
  auto given = launch_options(options);
  auto streams = options.streams("stdio");
  if (options.failed()) return info.Env().Undefined();
  return run_on_pool(info.Env(), "stasis.launch", [given, streams]() -> Result<MakeValue> {
    auto launched = STASIS_TRY(launch::launch(given, streams));
    return MakeValue([launched](Napi::Env env) { return launched_value(env, launched); });
  });
}

Napi::Value become_keeper(const Napi::CallbackInfo& info) {
  Options options(info, 0);
  if (options.has("image")) {
    auto given = start_options(options);
    if (options.failed()) return info.Env().Undefined();
    return throw_error(info.Env(), restore::become_keeper(given));
  }
  auto given = launch_options(options);
  if (options.failed()) return info.Env().Undefined();
  return throw_error(info.Env(), launch::become_keeper(given));
}

}  // namespace stasis::addon
