#include "checkpoint/checkpoint.h"

#include <algorithm>
#include <charconv>

#include "addon/arguments.h"
#include "addon/functions.h"
#include "addon/operation.h"
#include "addon/version.h"
#include "os/procfs.h"

namespace stasis::addon {

namespace {

// Device and inode are decimal text, since they may exceed 2^53.
std::uint64_t decimal(const Napi::Object& object, const char* name, const Options& options) {
  Napi::Value given = object.Get(name);
  std::uint64_t number = 0;
  if (!given.IsEmpty() && given.IsString()) {
    std::string text = given.As<Napi::String>();
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return number;
  }
  options.complain("stdio", "an array of three {dev, ino, type}");
  return 0;
}

std::array<checkpoint::StdioIdentity, 3> identities(const Options& options) {
  std::array<checkpoint::StdioIdentity, 3> result;
  Napi::Value given = options.value("stdio");
  if (given.IsEmpty() || !given.IsArray() || given.As<Napi::Array>().Length() != 3) {
    options.complain("stdio", "an array of three {dev, ino, type}");
    return result;
  }
  for (std::uint32_t at = 0; at < 3 && !options.failed(); ++at) {
    Napi::Value entry = given.As<Napi::Array>().Get(at);
    if (entry.IsEmpty() || !entry.IsObject()) {
      options.complain("stdio", "an array of three {dev, ino, type}");
      return result;
    }
    auto object = entry.As<Napi::Object>();
    result[at].device = decimal(object, "dev", options);
    result[at].inode = decimal(object, "ino", options);
    Napi::Value type = object.Get("type");
    if (!type.IsEmpty() && type.IsNumber()) result[at].type = type.As<Napi::Number>().Uint32Value();
  }
  return result;
}

checkpoint::Options checkpoint_options(const Options& options) {
  checkpoint::Options result;
  result.pid = static_cast<pid_t>(options.integer("pid"));
  result.start_time = static_cast<std::uint64_t>(options.integer("startTime"));
  result.partial_directory = options.text("partial");
  result.output_directory = options.text("destination");
  result.verified_directory = options.text("stamps");
  result.control_socket = options.text("controlSocket");
  result.leave_running = options.flag("leaveRunning", false);
  result.stop_deadline = std::min(result.stop_deadline, options.time("timeoutMs", result.stop_deadline));
  if (options.has("maxCopy")) result.max_copy_bytes = static_cast<std::uint64_t>(options.integer("maxCopy"));
  if (options.has("saveFiles")) result.save_files_bytes = static_cast<std::uint64_t>(options.integer("saveFiles"));
  result.tcp_close = options.flag("tcpClose", false);
  result.tcp_established = options.flag("tcpEstablished", false);
  result.keeper = options.text("keeper");
  result.stdio = identities(options);
  // The process executes its runtime, so this link leads to the file, also when its name is gone.
  procfs::find_stand_in(result.pid);
  result.runtime_path = "/proc/" + std::to_string(procfs::stand_in_of(result.pid)) + "/exe";
  result.creator_version = kVersion;
  return result;
}

Napi::Value outcome_value(Napi::Env env, const checkpoint::Outcome& outcome) {
  Napi::Object object = Napi::Object::New(env);
  auto set = [&](const char* name, std::uint64_t value) { object.Set(name, static_cast<double>(value)); };
  set("pauseUs", outcome.pause_ns / 1000);
  set("totalUs", outcome.total_ns / 1000);
  set("processes", outcome.processes);
  set("threads", outcome.threads);
  set("mappings", outcome.mappings);
  set("pageBytes", outcome.page_bytes);
  set("imageBytes", outcome.image_bytes);
  object.Set("copied", outcome.copied);
  object.Set("warnings", texts_value(env, outcome.warnings));
  object.Set("leftRunning", !outcome.ended);
  return object;
}

}  // namespace

Napi::Value checkpoint(const Napi::CallbackInfo& info) {
  Options options(info, 0);
  auto given = checkpoint_options(options);
  if (options.failed()) return info.Env().Undefined();
  auto cancellation = cancellation_of(info.Env(), info[1]);
  if (cancellation == nullptr) return info.Env().Undefined();
  // ptrace belongs to a thread, and its end lets every tracee go: the operation has one of its own.
  return run_on_thread(info.Env(), "stasis.checkpoint", cancellation, [given, cancellation]() -> Result<MakeValue> {
    auto outcome = STASIS_TRY(checkpoint::checkpoint(given, cancellation->token()));
    return MakeValue([outcome](Napi::Env env) { return outcome_value(env, outcome); });
  });
}

}  // namespace stasis::addon
