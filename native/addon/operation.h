// Work off the JavaScript thread, as a promise.
//
// `Work` runs elsewhere and touches no JavaScript. What it returns, an error or a function that makes the value, is
// settled on the JavaScript thread. Short work goes to libuv's pool; work that waits long, or must own its thread as
// ptrace does, gets a thread.
//
// When an environment (the main one or a worker thread's) ends, its threads are cancelled and waited for
// (AddonState::stop).
#pragma once

#include <napi.h>
#include <pthread.h>

#include <functional>
#include <list>
#include <memory>

#include "addon/cancellation.h"
#include "base/result.h"

namespace stasis::addon {

using MakeValue = std::function<Napi::Value(Napi::Env)>;
using Work = std::function<Result<MakeValue>()>;

// On libuv's pool.
Napi::Value run_on_pool(Napi::Env env, const char* name, Work work);

// On a thread of its own. `cancellation` is what the work listens to.
Napi::Value run_on_thread(Napi::Env env, const char* name, std::shared_ptr<Cancellation> cancellation, Work work);

// Threads of one environment that have not been joined. Used on its JavaScript thread only.
class AddonState {
 public:
  static AddonState& of(Napi::Env env);

  struct Thread {
    pthread_t id{};
    std::shared_ptr<Cancellation> cancellation;
  };
  using Handle = std::list<Thread>::iterator;

  Handle add(Thread thread) { return threads_.insert(threads_.end(), std::move(thread)); }
  // A thread that never started.
  void forget(Handle thread) { threads_.erase(thread); }
  // Waits for the thread, which is about to end.
  void join(Handle thread);

  // Cancels all threads and waits for them. Run as a cleanup hook: the functions by which threads post hold a reference
  // to the environment, so its instance data outlives them and is too late a moment.
  void stop();
  ~AddonState() { stop(); }

 private:
  std::list<Thread> threads_;
};

}  // namespace stasis::addon
