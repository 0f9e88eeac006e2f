#include "launch/marker.h"

#include "wire/launch.h"

namespace stasis::launch {

std::string format_marker(const MarkerOptions& options) {
  std::string marker = wire::kMarkerPrefix;
  const auto add = [&](const char* key, int value) {
    if (value >= 0) marker += key + std::to_string(value) + ";";
  };
  const bool restores = options.plan_fd >= 0 || options.plan_socket >= 0;
  add(restores ? "restore=" : "filter=", 1);
  add("plan=", options.plan_fd);
  add("socket=", options.plan_socket);
  add("report=", options.report_fd);
  add("done=", options.done_fd);
  add("ids=", options.ids_fd);
  if (options.parts != 0) add("parts=", static_cast<int>(options.parts));
  marker += "rt=" + options.runtime;
  return marker.size() < wire::kMarkerMaxBytes ? marker : std::string();
}

}  // namespace stasis::launch
