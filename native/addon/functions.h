// The addon's functions; src/native.ts documents each. One file per operation.
#pragma once

#include <napi.h>

namespace stasis::addon {

// launch.cc
Napi::Value launch(const Napi::CallbackInfo& info);
Napi::Value become_keeper(const Napi::CallbackInfo& info);
// restore.cc
Napi::Value restore(const Napi::CallbackInfo& info);
// checkpoint.cc
Napi::Value checkpoint(const Napi::CallbackInfo& info);
// inspect.cc
Napi::Value inspect(const Napi::CallbackInfo& info);
Napi::Value verify(const Napi::CallbackInfo& info);
Napi::Value build_id(const Napi::CallbackInfo& info);
// ids.cc
Napi::Value ids(const Napi::CallbackInfo& info);
// probe.cc
Napi::Value probe(const Napi::CallbackInfo& info);
// process.cc
Napi::Value process(const Napi::CallbackInfo& info);
Napi::Value signal(const Napi::CallbackInfo& info);
Napi::Value wait_end(const Napi::CallbackInfo& info);
// request.cc
Napi::Value request(const Napi::CallbackInfo& info);
// lock.cc
Napi::Value lock(const Napi::CallbackInfo& info);

}  // namespace stasis::addon
