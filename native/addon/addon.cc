// stasis.node: the native part of the library for JavaScript. Arguments in, promises out; no logic here.
//
// State belongs to the environment (AddonState), so the addon can be loaded in worker threads too. src/native.ts
// describes the functions.
#include <napi.h>

#include "addon/cancellation.h"
#include "addon/functions.h"
#include "addon/operation.h"
#include "addon/version.h"

namespace stasis::addon {

namespace {

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  auto* state = new AddonState();
  env.SetInstanceData(state);  // deletes it with the environment
  env.AddCleanupHook([state] { state->stop(); });

  auto define = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  exports.Set("version", kVersion);
  define("launch", launch);
  define("becomeKeeper", become_keeper);
  define("restore", restore);
  define("checkpoint", checkpoint);
  define("ids", ids);
  define("inspect", inspect);
  define("verify", verify);
  define("buildId", build_id);
  define("probe", probe);
  define("process", process);
  define("signal", signal);
  define("waitEnd", wait_end);
  define("request", request);
  define("lock", lock);
  define_cancellation(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(stasis, initialize)

}  // namespace stasis::addon
