#include "addon/cancellation.h"

#include <sys/eventfd.h>
#include <unistd.h>

namespace stasis::addon {

namespace {

// Marks our externals, so that another addon's cannot be taken for one.
constexpr napi_type_tag kTag = {0x9d0c3f6a5b1e4c27, 0x8e2f41d7a6b3905c};

using Holder = std::shared_ptr<Cancellation>;

Napi::Value make_token(const Napi::CallbackInfo& info) {
  auto external = Napi::External<Holder>::New(info.Env(), new Holder(std::make_shared<Cancellation>()),
                                              [](Napi::Env, Holder* holder) { delete holder; });
  external.TypeTag(&kTag);
  return external;
}

Napi::Value cancel(const Napi::CallbackInfo& info) {
  if (info[0].IsUndefined()) {
    Napi::TypeError::New(info.Env(), "token must be given").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  if (Holder found = cancellation_of(info.Env(), info[0])) found->cancel();
  return info.Env().Undefined();
}

}  // namespace

Cancellation::Cancellation() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void Cancellation::cancel() {
  token_.cancel();
  std::uint64_t one = 1;
  // A full counter is as readable as any.
  ssize_t ignored = event_ ? write(event_.get(), &one, sizeof one) : 0;
  (void)ignored;
}

std::shared_ptr<Cancellation> cancellation_of(Napi::Env env, const Napi::Value& token) {
  if (token.IsUndefined()) return std::make_shared<Cancellation>();
  if (token.IsExternal() && token.As<Napi::External<Holder>>().CheckTypeTag(&kTag))
    return *token.As<Napi::External<Holder>>().Data();
  Napi::TypeError::New(env, "token must be one that cancelToken() gave").ThrowAsJavaScriptException();
  return nullptr;
}

void define_cancellation(Napi::Env env, Napi::Object exports) {
  exports.Set("cancelToken", Napi::Function::New(env, make_token, "cancelToken"));
  exports.Set("cancel", Napi::Function::New(env, cancel, "cancel"));
}

}  // namespace stasis::addon
