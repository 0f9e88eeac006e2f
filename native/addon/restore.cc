#include "addon/functions.h"
#include "addon/launched.h"
#include "addon/operation.h"

namespace stasis::addon {

namespace {

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
  Napi::Object object = launched_value(env, launched);
  object.Set("timings", timings);
  object.Set("mapCalls", static_cast<double>(launched.map_calls));
  return object;
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
  return result;
}

Napi::Value restore(const Napi::CallbackInfo& info) {
  Options options(info, 0);
  auto given = start_options(options);
  auto streams = options.streams("stdio");
  if (options.failed()) return info.Env().Undefined();
  return run_on_pool(info.Env(), "stasis.restore", [given, streams]() -> Result<MakeValue> {
    auto started = STASIS_TRY(restore::start(given, streams));
    return MakeValue([started](Napi::Env env) { return restored_value(env, started); });
  });
}

}  // namespace stasis::addon
