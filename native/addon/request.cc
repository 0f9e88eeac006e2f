#include "addon/arguments.h"
#include "addon/functions.h"
#include "addon/operation.h"
#include "launch/control_client.h"

namespace stasis::addon {

Napi::Value request(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  std::string socket = arguments.text(0, "socket");
  std::string line = arguments.text(1, "line");
  std::int64_t timeout_ms = arguments.optional_time(2, "timeoutMs");
  if (!arguments.failed() && (timeout_ms < 0 || line.find('\n') != line.npos)) {
    Napi::TypeError::New(info.Env(), "a time-out and a single line must be given").ThrowAsJavaScriptException();
  }
  if (arguments.failed()) return info.Env().Undefined();
  auto cancellation = cancellation_of(info.Env(), info[3]);
  if (cancellation == nullptr) return info.Env().Undefined();
  // On a thread: `wait` is answered when the application ends.
  return run_on_thread(info.Env(), "stasis.request", cancellation, [=]() -> Result<MakeValue> {
    const Deadline deadline = Deadline::in(std::chrono::milliseconds(timeout_ms));
    auto client = STASIS_TRY(launch::ControlClient::connect(socket, deadline));
    std::string answer = STASIS_TRY(client.request(line, deadline, cancellation->fd()));
    return MakeValue([answer](Napi::Env env) { return Napi::String::New(env, answer); });
  });
}

}  // namespace stasis::addon
