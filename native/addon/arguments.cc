#include "addon/arguments.h"

#include <algorithm>
#include <cmath>

namespace stasis::addon {

namespace {

constexpr double kMaxSafeInteger = 9007199254740991.0;

void complain_of(Napi::Env env, const std::string& name, const char* expected) {
  if (!env.IsExceptionPending()) Napi::TypeError::New(env, name + " must be " + expected).ThrowAsJavaScriptException();
}

// Paths and arguments end at a NUL for the kernel: one inside would silently mean something else.
bool read_text(const Napi::Value& value, std::string& text) {
  if (value.IsEmpty() || !value.IsString()) return false;
  text = value.As<Napi::String>().Utf8Value();
  return text.find('\0') == text.npos;
}

bool read_integer(const Napi::Value& value, std::int64_t& number) {
  if (value.IsEmpty() || !value.IsNumber()) return false;
  double given = value.As<Napi::Number>().DoubleValue();
  if (std::trunc(given) != given || std::fabs(given) > kMaxSafeInteger) return false;
  number = static_cast<std::int64_t>(given);
  return true;
}

}  // namespace

std::string Arguments::text(std::size_t index, const char* name) {
  std::string result;
  if (!failed() && !read_text(info_[index], result)) complain_of(info_.Env(), name, "a string without NUL");
  return result;
}

std::int64_t Arguments::integer(std::size_t index, const char* name) {
  std::int64_t result = 0;
  if (!failed() && !read_integer(info_[index], result)) complain_of(info_.Env(), name, "an integer");
  return result;
}

std::int64_t Arguments::optional_time(std::size_t index, const char* name) {
  if (info_[index].IsUndefined()) return -1;
  std::int64_t result = integer(index, name);
  if (result < 0) complain_of(info_.Env(), name, "a time in milliseconds");
  return result;
}

Options::Options(const Napi::CallbackInfo& info, std::size_t index) : env_(info.Env()) {
  if (info[index].IsObject()) {
    object_ = info[index].As<Napi::Object>();
  } else {
    complain_of(env_, "options", "an object");
  }
}

void Options::complain(const char* name, const char* expected) const {
  complain_of(env_, std::string("options.") + name, expected);
}

Napi::Value Options::value(const char* name) const {
  if (failed()) return {};
  auto value = object_.Get(name);
  return failed() ? Napi::Value() : static_cast<Napi::Value>(value);
}

bool Options::has(const char* name) const {
  Napi::Value found = value(name);
  return !found.IsEmpty() && !found.IsUndefined();
}

std::string Options::text(const char* name) const {
  std::string result;
  if (!read_text(value(name), result)) complain(name, "a string without NUL");
  return result;
}

std::int64_t Options::integer(const char* name) const {
  std::int64_t result = 0;
  if (!read_integer(value(name), result)) complain(name, "an integer");
  return result;
}

bool Options::flag(const char* name, bool otherwise) const {
  Napi::Value found = value(name);
  if (found.IsEmpty() || found.IsUndefined()) return otherwise;
  if (found.IsBoolean()) return found.As<Napi::Boolean>().Value();
  complain(name, "a boolean");
  return otherwise;
}

std::vector<std::string> Options::texts(const char* name) const {
  std::vector<std::string> result;
  Napi::Value found = value(name);
  if (found.IsEmpty() || !found.IsArray()) {
    complain(name, "an array of strings");
    return result;
  }
  auto array = found.As<Napi::Array>();
  for (std::uint32_t at = 0; at < array.Length(); ++at) {
    std::string text;
    if (!read_text(array.Get(at), text)) {
      complain(name, "an array of strings without NUL");
      return {};
    }
    result.push_back(std::move(text));
  }
  return result;
}

std::array<int, 3> Options::streams(const char* name) const {
  std::array<int, 3> result{-1, -1, -1};
  Napi::Value found = value(name);
  bool good = !found.IsEmpty() && found.IsArray() && found.As<Napi::Array>().Length() == 3;
  for (std::uint32_t at = 0; good && at < 3; ++at) {
    std::int64_t fd = -1;
    good = read_integer(found.As<Napi::Array>().Get(at), fd) && fd >= 0 && fd <= INT32_MAX;
    result[at] = static_cast<int>(fd);
  }
  if (!good) complain(name, "an array of three file descriptors");
  return result;
}

std::chrono::milliseconds Options::time(const char* name, std::chrono::milliseconds otherwise) const {
  if (!has(name)) return otherwise;
  std::int64_t given = integer(name);
  if (given < 1) complain(name, "a time in milliseconds");
  // The keeper takes an int: 24 days.
  return std::chrono::milliseconds(std::min<std::int64_t>(given, INT32_MAX));
}

Napi::Array texts_value(Napi::Env env, const std::vector<std::string>& texts) {
  Napi::Array array = Napi::Array::New(env, texts.size());
  for (std::uint32_t at = 0; at < texts.size(); ++at) array.Set(at, Napi::String::New(env, texts[at]));
  return array;
}

}  // namespace stasis::addon
