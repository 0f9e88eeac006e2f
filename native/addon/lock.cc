#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <memory>

#include "addon/arguments.h"
#include "addon/errors.h"
#include "addon/functions.h"
#include "os/file.h"

namespace stasis::addon {

// The lock belongs to the open file description, so it goes with the descriptor: by release(), by the garbage
// collector, by the end of the process, whichever comes first.
Napi::Value lock(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  std::string path = arguments.text(0, "path");
  if (arguments.failed()) return info.Env().Undefined();
  auto file = open_file_at(AT_FDCWD, path, O_RDWR | O_CREAT, 0600, "opening a lock file");
  if (!file.ok()) return throw_error(info.Env(), file.error());
  if (flock(file.value().get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return throw_error(info.Env(), Error::of_errno("flock", "taking a lock").with_path(path));
    return throw_error(info.Env(), Error::plain(ErrorKind::Busy, "another operation is at work").with_path(path));
  }
  auto held = std::make_shared<UniqueFd>(std::move(file).value());
  Napi::Object handle = Napi::Object::New(info.Env());
  handle.Set("release",
             Napi::Function::New(info.Env(), [held](const Napi::CallbackInfo&) { held->reset(); }, "release"));
  return handle;
}

}  // namespace stasis::addon
