// Reading arguments and options. The first value of a wrong type throws a TypeError that names it; afterwards every
// read gives an empty value, and failed() says to return.
#pragma once

#include <napi.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace stasis::addon {

class Arguments {
 public:
  explicit Arguments(const Napi::CallbackInfo& info) : info_(info) {}

  std::string text(std::size_t index, const char* name);
  std::int64_t integer(std::size_t index, const char* name);
  // Milliseconds; -1 if absent.
  std::int64_t optional_time(std::size_t index, const char* name);
  bool failed() const { return info_.Env().IsExceptionPending(); }

 private:
  const Napi::CallbackInfo& info_;
};

class Options {
 public:
  Options(const Napi::CallbackInfo& info, std::size_t index);

  bool has(const char* name) const;
  std::string text(const char* name) const;
  std::int64_t integer(const char* name) const;
  bool flag(const char* name, bool otherwise) const;
  std::vector<std::string> texts(const char* name) const;
  std::array<int, 3> streams(const char* name) const;
  std::chrono::milliseconds time(const char* name, std::chrono::milliseconds otherwise) const;
  Napi::Value value(const char* name) const;
  bool failed() const { return env_.IsExceptionPending(); }
  void complain(const char* name, const char* expected) const;

 private:
  Napi::Env env_;
  Napi::Object object_;
};

// An array of strings.
Napi::Array texts_value(Napi::Env env, const std::vector<std::string>& texts);

}  // namespace stasis::addon
