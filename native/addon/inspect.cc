#include <fcntl.h>

#include "addon/arguments.h"
#include "addon/errors.h"
#include "addon/functions.h"
#include "addon/operation.h"
#include "image/files.h"
#include "os/build_id.h"

namespace stasis::addon {

namespace {

// Without stamps: everything is read.
Result<image::OpenedImage> open_verified(const std::string& directory) {
  image::OpenOptions options;
  options.verification = image::Verification::Full;
  return image::open_image(directory, options);
}

Result<std::string> describe(const std::string& directory, const std::string& format, bool verify) {
  if (verify) STASIS_TRY(open_verified(directory));
  if (format == "header") return image::to_json(STASIS_TRY(image::read_header(directory)));
  image::Image image = STASIS_TRY(image::read_records(directory));
  return format == "json" ? image::to_json(image) : image::to_text(image);
}

}  // namespace

Napi::Value inspect(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  std::string directory = arguments.text(0, "directory");
  Options options(info, 1);
  std::string format = options.text("format");
  if (format != "json" && format != "text" && format != "header")
    options.complain("format", "'json', 'text' or 'header'");
  bool verify = options.flag("verify", false);
  if (options.failed()) return info.Env().Undefined();
  return run_on_pool(info.Env(), "stasis.inspect", [=]() -> Result<MakeValue> {
    std::string text = STASIS_TRY(describe(directory, format, verify));
    return MakeValue([text](Napi::Env env) { return Napi::String::New(env, text); });
  });
}

Napi::Value verify(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  std::string directory = arguments.text(0, "directory");
  if (arguments.failed()) return info.Env().Undefined();
  return run_on_pool(info.Env(), "stasis.verify", [=]() -> Result<MakeValue> {
    STASIS_TRY(open_verified(directory));
    return MakeValue([](Napi::Env env) { return env.Undefined(); });
  });
}

Napi::Value build_id(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  std::string path = arguments.text(0, "file");
  if (arguments.failed()) return info.Env().Undefined();
  auto file = open_file_at(AT_FDCWD, path, O_RDONLY, 0, "reading a build id");
  if (!file.ok()) return throw_error(info.Env(), file.error());
  std::string id = build_id_of(file.value().get());
  if (id.empty())
    return throw_error(info.Env(), Error::plain(ErrorKind::Failed, "the file has no build id").with_path(path));
  return Napi::String::New(info.Env(), id);
}

}  // namespace stasis::addon
