#include "checkpoint/probe.h"

#include "addon/functions.h"
#include "addon/operation.h"

namespace stasis::addon {

namespace {

Napi::Value features_value(Napi::Env env, const std::vector<checkpoint::Feature>& features) {
  Napi::Array array = Napi::Array::New(env, features.size());
  for (std::uint32_t at = 0; at < features.size(); ++at) {
    const checkpoint::Feature& feature = features[at];
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", feature.name);
    object.Set("available", feature.available);
    object.Set("required", feature.required);
    object.Set("usedFor", feature.needed_for);
    object.Set("detail", feature.detail);
    object.Set("remedy", feature.remedy);
    array.Set(at, object);
  }
  return array;
}

}  // namespace

Napi::Value probe(const Napi::CallbackInfo& info) {
  return run_on_pool(info.Env(), "stasis.probe", []() -> Result<MakeValue> {
    auto features = checkpoint::probe_features();
    return MakeValue([features](Napi::Env env) { return features_value(env, features); });
  });
}

}  // namespace stasis::addon
