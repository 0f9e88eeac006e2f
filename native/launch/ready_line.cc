#include "launch/ready_line.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>

#include "restore/report.h"
#include "wire/report.h"

namespace stasis::launch {

namespace {

// The value of ` key=value`, up to the next blank; empty if there is none.
std::string_view value_of(std::string_view line, std::string_view key) {
  std::string search = " " + std::string(key) + "=";
  std::size_t at = line.find(search);
  if (at == line.npos) return {};
  std::string_view rest = line.substr(at + search.size());
  return rest.substr(0, rest.find(' '));
}

template <class T>
bool parse_into(std::string_view text, T& number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

ErrorKind kind_named(std::string_view name) {
  for (int kind = 0; kind <= static_cast<int>(ErrorKind::Cancelled); ++kind) {
    if (name == name_of(static_cast<ErrorKind>(kind))) return static_cast<ErrorKind>(kind);
  }
  return ErrorKind::Failed;
}

Error error_told(std::string_view line) {
  wire::Report report{};
  parse_into(value_of(line, "errno"), report.error);
  parse_into(value_of(line, "step"), report.step);
  parse_into(value_of(line, "subject"), report.subject);
  parse_into(value_of(line, "extent"), report.extent);
  // The text comes last and may hold blanks.
  std::size_t at = line.find(" text=");
  std::string text(at == line.npos ? std::string_view() : line.substr(at + 6));
  if (report.step != 0) {
    std::strncpy(report.text, text.c_str(), sizeof report.text - 1);
    return restore::error_of_report(report);
  }
  ErrorKind kind = kind_named(value_of(line, "kind"));
  return report.error != 0 ? Error::of_errno(report.error, "", text).with_kind(kind) : Error::plain(kind, text);
}

void parse_times(std::string_view times, Launched& launched) {
  for (std::uint64_t* time :
       {&launched.started_us, &launched.mapped_us, &launched.fds_us, &launched.threads_us, &launched.resumed_us}) {
    std::size_t comma = times.find(',');
    parse_into(times.substr(0, comma), *time);
    if (comma == times.npos) return;
    times.remove_prefix(comma + 1);
  }
}

}  // namespace

Result<Launched> parse_ready_line(std::string_view line) {
  if (line.starts_with("error ")) return error_told(line);
  Launched launched;
  if (!line.starts_with("ok ") || !parse_into(value_of(line, "keeper"), launched.keeper_pid) ||
      !parse_into(value_of(line, "pid"), launched.pid) || !parse_into(value_of(line, "start"), launched.start_time)) {
    return Error::plain(ErrorKind::Failed, "the keeper said something unexpected: " + std::string(line));
  }
  parse_times(value_of(line, "us"), launched);
  parse_into(value_of(line, "calls"), launched.map_calls);
  parse_into(value_of(line, "populated"), launched.populated_pages);
  return launched;
}

Result<Launched> await_ready(int fd, Deadline deadline) {
  std::string line;
  for (;;) {
    pollfd entry{fd, POLLIN, 0};
    int ready = poll(&entry, 1, deadline.milliseconds_left());
    if (ready == 0)
      return Error::plain(ErrorKind::Timeout, "the keeper did not say in time whether the application runs");
    if (ready < 0) {
      if (errno == EINTR) continue;
      return Error::of_errno("poll", "waiting for the keeper");
    }
    char buffer[4096];
    ssize_t got = read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::of_errno("read", "waiting for the keeper");
    line.append(buffer, static_cast<std::size_t>(got));
    if (std::size_t end = line.find('\n'); end != line.npos)
      return parse_ready_line(std::string_view(line).substr(0, end));
    if (got == 0) return Error::plain(ErrorKind::Failed, "the keeper ended before the application ran");
  }
}

}  // namespace stasis::launch
