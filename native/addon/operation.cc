#include "addon/operation.h"

#include <cerrno>
#include <csignal>
#include <optional>

#include "addon/errors.h"

namespace stasis::addon {

namespace {

// The promise's other side. Lives until it is settled, or until the environment is gone.
struct Settlement {
  explicit Settlement(Napi::Env env) : deferred(Napi::Promise::Deferred::New(env)) {}

  void settle(Napi::Env env) {
    Napi::HandleScope scope(env);
    if (result->ok()) {
      deferred.Resolve(result->value()(env));
    } else {
      deferred.Reject(to_js(env, result->error()).Value());
    }
  }

  Napi::Promise::Deferred deferred;
  std::optional<Result<MakeValue>> result;
};

class PoolWorker : public Napi::AsyncWorker {
 public:
  PoolWorker(Napi::Env env, const char* name, Work work)
      : AsyncWorker(env, name), settlement_(env), work_(std::move(work)) {}

  Napi::Value promise() const { return settlement_.deferred.Promise(); }
  void Execute() override { settlement_.result.emplace(work_()); }
  void OnOK() override { settlement_.settle(Env()); }

 private:
  Settlement settlement_;
  Work work_;
};

struct ThreadOperation {
  explicit ThreadOperation(Napi::Env env) : settlement(env) {}

  Settlement settlement;
  Work work;
  napi_threadsafe_function post = nullptr;
  AddonState::Handle thread;
};

// On the JavaScript thread; `env` is null when the environment has ended: then nobody is left to be told.
void settle_thread_operation(napi_env env, napi_value, void*, void* data) {
  std::unique_ptr<ThreadOperation> operation(static_cast<ThreadOperation*>(data));
  if (env == nullptr) return;
  AddonState::of(env).join(operation->thread);
  operation->settlement.settle(env);
}

void* thread_main(void* argument) {
  auto* operation = static_cast<ThreadOperation*>(argument);
  operation->settlement.result.emplace(operation->work());
  napi_threadsafe_function post = operation->post;
  // After napi_closing the function must not be touched again; the operation is ours still.
  if (napi_call_threadsafe_function(post, operation, napi_tsfn_blocking) == napi_ok) {
    napi_release_threadsafe_function(post, napi_tsfn_release);
  } else {
    delete operation;
  }
  return nullptr;
}

// Signals are for the JavaScript thread, whose handlers libuv installed.
int start_thread(pthread_t& id, ThreadOperation* operation) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&id, nullptr, thread_main, operation);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error;
}

}  // namespace

Napi::Value run_on_pool(Napi::Env env, const char* name, Work work) {
  auto* worker = new PoolWorker(env, name, std::move(work));  // deletes itself when it is done
  Napi::Value promise = worker->promise();
  worker->Queue();
  return promise;
}

Napi::Value run_on_thread(Napi::Env env, const char* name, std::shared_ptr<Cancellation> cancellation, Work work) {
  auto operation = std::make_unique<ThreadOperation>(env);
  Napi::Value promise = operation->settlement.deferred.Promise();
  operation->work = std::move(work);
  napi_status status =
      napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, name), 0, 1, nullptr, nullptr,
                                      nullptr, settle_thread_operation, &operation->post);
  if (status != napi_ok) return throw_error(env, Error::plain(ErrorKind::Failed, "preparing a thread"));
  operation->thread = AddonState::of(env).add({pthread_t{}, std::move(cancellation)});
  // The thread is not looked at before it posts to the event loop that runs this function, so the id is in place by
  // then.
  int error = start_thread(operation->thread->id, operation.get());
  if (error != 0) {
    napi_release_threadsafe_function(operation->post, napi_tsfn_abort);
    AddonState::of(env).forget(operation->thread);
    return throw_error(env, Error::of_errno(error, "pthread_create", "starting a thread"));
  }
  operation.release();
  return promise;
}

AddonState& AddonState::of(Napi::Env env) { return *env.GetInstanceData<AddonState>(); }

void AddonState::join(Handle thread) {
  pthread_join(thread->id, nullptr);
  threads_.erase(thread);
}

void AddonState::stop() {
  for (Thread& thread : threads_) thread.cancellation->cancel();
  for (Thread& thread : threads_) pthread_join(thread.id, nullptr);
  threads_.clear();
}

}  // namespace stasis::addon
