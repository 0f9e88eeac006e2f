// Work that a thread of its own does while its maker goes on with something else: reads of /proc and copies of memory, which need neither the
// tracing thread nor each other.
#pragma once

#include <pthread.h>

#include <functional>

#include "base/result.h"

namespace stasis {

// Where no thread is to be had, the work is done in wait(). The work must not touch what its maker changes until then; it is waited for
// in any case.
class Aside {
 public:
  explicit Aside(std::function<Status()> work) : work_(std::move(work)) {
    begun_ = ::pthread_create(&thread_, nullptr, run, this) == 0;
  }
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;
  ~Aside() {
    if (begun_) ::pthread_join(thread_, nullptr);
  }

  Status wait() {
    if (begun_) {
      ::pthread_join(thread_, nullptr);
      begun_ = false;
    } else if (work_) {
      status_ = work_();
    }
    work_ = nullptr;
    return status_;
  }

 private:
  static void* run(void* self) {
    auto& aside = *static_cast<Aside*>(self);
    aside.status_ = aside.work_();
    return nullptr;
  }

  std::function<Status()> work_;
  Status status_;
  pthread_t thread_{};
  bool begun_ = false;
};

}  // namespace stasis
