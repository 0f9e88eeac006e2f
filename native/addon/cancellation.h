// What stops an operation: a flag for work that looks at it now and then, and a descriptor for waits. Shared between
// the JavaScript thread and the operation's own.
#pragma once

#include <napi.h>

#include <memory>

#include "base/cancel.h"
#include "os/unique_fd.h"

namespace stasis::addon {

class Cancellation {
 public:
  Cancellation();
  void cancel();
  bool cancelled() const { return token_.cancelled(); }
  const CancelToken& token() const { return token_; }
  // Readable once cancelled; -1 if the kernel had no eventfd left, then only the flag works.
  int fd() const { return event_.get(); }

 private:
  CancelToken token_;
  UniqueFd event_;
};

// The one behind a CancelToken of JavaScript, or a new one if the argument is undefined. Null, with a TypeError thrown,
// for anything else.
std::shared_ptr<Cancellation> cancellation_of(Napi::Env env, const Napi::Value& token);

void define_cancellation(Napi::Env env, Napi::Object exports);

}  // namespace stasis::addon
