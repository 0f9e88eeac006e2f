#include "keeper/options.h"

#include <climits>
#include <cstring>

#include "runtime/net_address.h"

namespace stasis::keeper {

bool parse_number(const char* text, long least, long most, long& number) {
  long value = 0;
  if (*text == '\0') return false;
  for (; *text != '\0'; ++text) {
    if (*text < '0' || *text > '9') return false;
    if (__builtin_mul_overflow(value, 10L, &value) || __builtin_add_overflow(value, *text - '0', &value)) return false;
  }
  number = value;
  return value >= least && value <= most;
}

namespace {

const char* parse_environment(const char* value, Options& options) {
  const char* colon = std::strchr(value, ':');
  char network[8] = "";
  long first = 0, second = 0;
  if (colon == nullptr || colon - value >= static_cast<long>(sizeof network)) return "--environment takes NETWORK:HOST";
  std::memcpy(network, value, static_cast<size_t>(colon - value));
  if (!parse_number(network, runtime::kMinNetwork, runtime::kMaxNetwork, first) ||
      !parse_number(colon + 1, 1, runtime::kMaxHost, second)) {
    return "--environment takes NETWORK:HOST";
  }
  options.network = static_cast<int>(first);
  options.host = static_cast<int>(second);
  return nullptr;
}

const char* parse_option(const char* name, const char* value, Options& options) {
  auto is = [&](const char* option) { return std::strcmp(name, option) == 0; };
  auto number = [&](int least, int& into) {
    long parsed = 0;
    if (!parse_number(value, least, INT_MAX, parsed)) return "a number is expected";
    into = static_cast<int>(parsed);
    return static_cast<const char*>(nullptr);
  };
  if (is("--directory")) {
    options.directory = value;
  } else if (is("--runtime")) {
    options.runtime = value;
  } else if (is("--mode")) {
    if (std::strcmp(value, "detached") == 0) {
      options.mode = Mode::Detached;
    } else if (std::strcmp(value, "foreground") == 0) {
      options.mode = Mode::Foreground;
    } else {
      return "the mode is detached or foreground";
    }
  } else if (is("--ready-fd")) {
    return number(3, options.ready_fd);
  } else if (is("--plan-fd")) {
    return number(3, options.plan_fd);
  } else if (is("--pid")) {
    return number(1, options.pid);
  } else if (is("--report-fd")) {
    return number(3, options.report_fd);
  } else if (is("--done-fd")) {
    return number(3, options.done_fd);
  } else if (is("--ids-fd")) {
    return number(3, options.ids_fd);
  } else if (is("--shift-ids")) {
    return number(1, options.shift_ids);
  } else if (is("--fast-path")) {
    return number(0, options.fast_path);
  } else if (is("--working-set")) {
    options.working_set.file = value;
  } else if (is("--page-file")) {
    options.working_set.page_file = value;
  } else if (is("--page-file-stamp")) {
    options.working_set.stamp = value;
  } else if (is("--environment")) {
    return parse_environment(value, options);
  } else if (is("--publish")) {
    if (options.publications == kMaxPublications) return "too many published ports";
    options.publish[options.publications++] = value;
  } else if (is("--deadline-ms")) {
    return number(1, options.deadline_ms);
  } else {
    return "unknown option";
  }
  return nullptr;
}

}  // namespace

const char* parse_options(int count, char** arguments, Options& options) {
  int at = 1;
  while (at < count && std::strcmp(arguments[at], "--") != 0) {
    if (at + 1 >= count) return "an option lacks its value";
    if (const char* wrong = parse_option(arguments[at], arguments[at + 1], options)) return wrong;
    at += 2;
  }
  if (options.adopts() != (options.report_fd >= 0) || options.adopts() != (options.done_fd >= 0)) {
    return "--pid, --report-fd and --done-fd go together";
  }
  const WorkingSet& set = options.working_set;
  if ((set.file != nullptr) != (set.page_file != nullptr) || (set.file != nullptr) != (set.stamp != nullptr)) {
    return "--working-set, --page-file and --page-file-stamp go together";
  }
  if (options.publications > 0 && options.network == 0) return "--publish goes with --environment";
  int words = at < count ? count - at - 1 : 0;
  if (options.directory == nullptr || options.directory[0] != '/') return "--directory with an absolute path is needed";
  if (options.runtime == nullptr || options.runtime[0] != '/') return "--runtime with an absolute path is needed";
  if (options.is_restore()) {
    if (words != 0) return "a restore takes no program";
    if (options.adopts() && options.plan_fd >= 0) return "a process that is there has its plan";
  } else {
    if (words < 2) return "a program and its argv[0] are needed";
    options.program = arguments + at + 1;
  }
  return nullptr;
}

}  // namespace stasis::keeper
