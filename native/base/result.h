// Result<T>: a value or an Error. STASIS_TRY unwraps the value or returns the error to the caller; STASIS_CHECK guards our own
// invariants and stays in release builds (never used on input or on the kernel's answers).
#pragma once

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>
#include <variant>

#include "base/error.h"

namespace stasis {

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  Error& error() & { return std::get<1>(state_); }
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  void value() const {}
  Error& error() & { return *error_; }
  const Error& error() const& { return *error_; }
  Error&& error() && { return std::move(*error_); }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

// A statement expression, so that a value can be taken where it is needed: `auto fd = STASIS_TRY(open_file(path));`
#define STASIS_TRY(expression)                                          \
  ({                                                                    \
    auto stasis_result_ = (expression);                                 \
    if (!stasis_result_.ok()) return std::move(stasis_result_).error(); \
    std::move(stasis_result_).value();                                  \
  })

#define STASIS_CHECK(condition)                                                                        \
  do {                                                                                                 \
    if (!(condition)) {                                                                                \
      std::fprintf(stderr, "stasis: broken invariant at %s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                                    \
    }                                                                                                  \
  } while (0)

}  // namespace stasis
