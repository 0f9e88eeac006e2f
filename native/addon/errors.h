// stasis::Error as a JavaScript Error with the properties that src/native.ts describes (NativeError).
#pragma once

#include <napi.h>

#include "base/error.h"

namespace stasis::addon {

Napi::Error to_js(Napi::Env env, const Error& error);

// Throws it; returns undefined, for use in a return statement.
Napi::Value throw_error(Napi::Env env, const Error& error);

}  // namespace stasis::addon
