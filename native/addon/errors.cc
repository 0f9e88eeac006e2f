#include "addon/errors.h"

#include <cstdio>
#include <cstring>

namespace stasis::addon {

namespace {

// Addresses and lengths may exceed 2^53.
std::string hexadecimal(std::uint64_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

Napi::Error to_js(Napi::Env env, const Error& error) {
  Napi::Error result = Napi::Error::New(env, error.message());
  Napi::Object object = result.Value();
  object.Set("kind", name_of(error.kind));
  if (error.error != 0) {
    object.Set("errno", error.error);
    // glibc 2.32
    if (const char* name = strerrorname_np(error.error); name != nullptr) object.Set("code", name);
  }
  if (error.syscall[0] != '\0') object.Set("syscall", error.syscall);
  if (error.pid != 0) object.Set("pid", error.pid);
  if (error.tid != 0) object.Set("tid", error.tid);
  if (error.fd >= 0) object.Set("fd", error.fd);
  if (error.address != 0) object.Set("address", hexadecimal(error.address));
  if (error.length != 0) object.Set("length", hexadecimal(error.length));
  if (!error.path.empty()) object.Set("path", error.path);
  if (error.offset >= 0) object.Set("offset", static_cast<double>(error.offset));
  if (!error.remedy.empty()) object.Set("remedy", error.remedy);
  Napi::Array details = Napi::Array::New(env, error.details.size());
  for (std::uint32_t at = 0; at < error.details.size(); ++at) details.Set(at, error.details[at]);
  object.Set("details", details);
  return result;
}

Napi::Value throw_error(Napi::Env env, const Error& error) {
  to_js(env, error).ThrowAsJavaScriptException();
  return env.Undefined();
}

}  // namespace stasis::addon
