#include "os/procfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>

#include "os/file.h"
#include "os/unique_fd.h"

namespace stasis::procfs {

namespace {

std::mutex stand_ins_mutex;
std::map<pid_t, pid_t>& stand_ins() {
  static std::map<pid_t, pid_t> found;
  return found;
}

std::string path_of(pid_t pid, const std::string& name) {
  const bool of_main = name == "stat" || name.starts_with("task");
  return "/proc/" + std::to_string(of_main ? pid : stand_in_of(pid)) + "/" + name;
}

// A process that is gone shows as ENOENT (its directory) or ESRCH (a file of it that was open).
Error with_gone(Error error, pid_t pid) {
  if (error.error == ESRCH || error.error == ENOENT) error.kind = ErrorKind::NotFound;
  return std::move(error).with_pid(pid);
}

// The entries of a directory whose names are numbers, ascending.
Result<std::vector<int>> list_numbers(const std::string& path) {
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), &::closedir);
  if (directory == nullptr) return Error::of_errno("opendir", "listing").with_path(path);
  std::vector<int> numbers;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    int number = 0;
    const char* end = entry->d_name + std::char_traits<char>::length(entry->d_name);
    if (std::from_chars(entry->d_name, end, number).ptr == end) numbers.push_back(number);
  }
  if (errno != 0) return Error::of_errno("readdir", "listing").with_path(path);
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

}  // namespace

Result<std::string> read_whole(const std::string& path) {
  UniqueFd fd = STASIS_TRY(open_file_at(AT_FDCWD, path, O_RDONLY, 0, "reading"));
  std::string text;
  std::size_t used = 0;
  text.resize(16 * 1024);
  while (true) {
    const ssize_t count = ::read(fd.get(), text.data() + used, text.size() - used);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Error::of_errno("read", "reading").with_path(path);
    if (count == 0) break;
    used += static_cast<std::size_t>(count);
    if (text.size() - used < 4096) text.resize(text.size() * 2);
  }
  text.resize(used);
  return text;
}

Result<std::string> read_text(pid_t pid, const std::string& name) {
  auto text = read_whole(path_of(pid, name));
  if (!text.ok()) return with_gone(std::move(text).error(), pid);
  return text;
}

Result<std::string> read_link(pid_t pid, const std::string& name) {
  std::string target(4096, '\0');
  const ssize_t count = ::readlink(path_of(pid, name).c_str(), target.data(), target.size());
  if (count < 0) return with_gone(Error::of_errno("readlink", "reading").with_path(path_of(pid, name)), pid);
  target.resize(static_cast<std::size_t>(count));
  return target;
}

std::string_view Fields::find(std::string_view name) const {
  std::size_t at = 0;
  while (at < text_.size()) {
    std::size_t end = text_.find('\n', at);
    if (end == std::string::npos) end = text_.size();
    const std::string_view line(text_.data() + at, end - at);
    if (line.size() > name.size() && line[name.size()] == ':' && line.starts_with(name))
      return trim(line.substr(name.size() + 1));
    at = end + 1;
  }
  return {};
}

std::uint64_t Fields::number(std::string_view name, int base) const {
  std::string_view value = find(name);
  if (base == 16 && value.starts_with("0x")) value.remove_prefix(2);
  std::uint64_t number = 0;
  std::from_chars(value.data(), value.data() + value.size(), number, base);
  return number;
}

Result<Fields> read_status(pid_t pid) { return Fields(STASIS_TRY(read_text(pid, "status"))); }

Result<Stat> parse_stat(const std::string& text) {
  // Field 2, the name, may hold blanks and parentheses: the last ')' ends it.
  const auto close = text.rfind(')');
  if (close == std::string::npos || close + 2 >= text.size()) {
    return Error::plain(ErrorKind::Failed, "understanding /proc/PID/stat");
  }
  Stat stat;
  stat.state = text[close + 2];
  const char* at = text.c_str() + close + 3;
  for (std::size_t field = 4; field < stat.field.size(); ++field) {
    char* end = nullptr;
    stat.field[field] = std::strtoull(at, &end, 10);  // negative values (tpgid, nice) wrap, which nobody here reads
    if (end == at) break;
    at = end;
  }
  return stat;
}

Result<Stat> read_stat(pid_t pid) { return parse_stat(STASIS_TRY(read_text(pid, "stat"))); }

Result<Stat> read_stat_with_memory(pid_t pid) {
  return parse_stat(STASIS_TRY(read_text(pid, "task/" + std::to_string(stand_in_of(pid)) + "/stat")));
}

pid_t stand_in_of(pid_t pid) {
  const std::lock_guard lock(stand_ins_mutex);
  const auto found = stand_ins().find(pid);
  return found == stand_ins().end() ? pid : found->second;
}

void find_stand_in(pid_t pid) {
  pid_t other = pid;
  const auto stat = read_stat(pid);
  if (stat.ok() && stat.value().state == 'Z') {
    const auto threads = list_threads(pid);
    for (const pid_t tid : threads.ok() ? threads.value() : std::vector<pid_t>{}) {
      const auto text = read_text(pid, "task/" + std::to_string(tid) + "/stat");
      const auto of_thread = text.ok() ? parse_stat(text.value()) : text.error();
      if (of_thread.ok() && of_thread.value().state != 'Z' && of_thread.value().state != 'X') other = tid;
    }
  }
  const std::lock_guard lock(stand_ins_mutex);
  if (other == pid) {
    stand_ins().erase(pid);
  } else {
    stand_ins()[pid] = other;
  }
}

Result<std::vector<pid_t>> list_threads(pid_t pid) {
  auto threads = list_numbers(path_of(pid, "task"));
  if (!threads.ok()) return with_gone(std::move(threads).error(), pid);
  return threads;
}

Result<std::vector<int>> list_fds(pid_t pid) {
  auto fds = list_numbers(path_of(pid, "fd"));
  if (!fds.ok()) return with_gone(std::move(fds).error(), pid);
  return fds;
}

Result<std::vector<pid_t>> list_processes() { return list_numbers("/proc"); }

Result<std::vector<pid_t>> list_children(pid_t pid) {
  std::vector<pid_t> children;
  for (const pid_t tid : STASIS_TRY(list_threads(pid))) {
    // The file lists the children of that one thread (CONFIG_PROC_CHILDREN).
    auto text = read_text(pid, "task/" + std::to_string(tid) + "/children");
    if (!text.ok() && text.error().kind == ErrorKind::NotFound) continue;
    const std::string list = STASIS_TRY(std::move(text));
    const char* at = list.c_str();
    while (true) {
      char* end = nullptr;
      const long child = std::strtol(at, &end, 10);
      if (end == at) break;
      children.push_back(static_cast<pid_t>(child));
      at = end;
    }
  }
  return children;
}

bool MapLine::has_flag(const char* flag) const {
  const auto at = vm_flags.find(flag);
  return at != std::string::npos && (at == 0 || vm_flags[at - 1] == ' ');
}

namespace {

// The kernel writes a newline in a path as \012 (seq_path) and nothing else in escapes.
std::string unescape(std::string_view name) {
  std::string result(name);
  for (std::size_t at = 0; (at = result.find("\\012", at)) != std::string::npos; ++at) result.replace(at, 4, "\n");
  return result;
}

bool parse_map_line(std::string_view line, MapLine& map) {
  const char* at = line.data();
  const char* const end = line.data() + line.size();
  auto number = [&](std::uint64_t& value, int base, char terminator) {
    const auto result = std::from_chars(at, end, value, base);
    if (result.ec != std::errc() || result.ptr == end || *result.ptr != terminator) return false;
    at = result.ptr + 1;
    return true;
  };
  std::uint64_t major = 0, minor = 0;
  if (!number(map.start, 16, '-') || !number(map.end, 16, ' ') || end - at < 5) return false;
  map.protection = (at[0] == 'r' ? 1u : 0) | (at[1] == 'w' ? 2u : 0) | (at[2] == 'x' ? 4u : 0);
  map.shared = at[3] == 's';
  at += 5;
  if (!number(map.offset, 16, ' ') || !number(major, 16, ':') || !number(minor, 16, ' ')) return false;
  map.device = makedev(static_cast<unsigned>(major), static_cast<unsigned>(minor));
  const auto result = std::from_chars(at, end, map.inode, 10);
  if (result.ec != std::errc()) return false;
  at = result.ptr;
  while (at < end && *at == ' ') ++at;
  map.name = unescape(std::string_view(at, static_cast<std::size_t>(end - at)));
  return true;
}

std::uint64_t kilobytes_in(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

std::vector<MapLine> parse_maps(std::string_view text) {
  std::vector<MapLine> maps;
  while (!text.empty()) {
    const auto newline = text.find('\n');
    const std::string_view line = text.substr(0, newline);
    text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
    // Lines of smaps' details begin with a capital letter, addresses with a digit or a small one.
    if (line.empty()) continue;
    if (line[0] >= 'A' && line[0] <= 'Z') {
      if (maps.empty()) continue;
      if (line.starts_with("VmFlags:")) maps.back().vm_flags = line.substr(8);
      if (line.starts_with("Rss:")) maps.back().resident_bytes = kilobytes_in(line.substr(4)) * 1024;
      continue;
    }
    MapLine map;
    if (parse_map_line(line, map)) maps.push_back(std::move(map));
  }
  return maps;
}

Result<std::vector<MapLine>> read_maps(pid_t pid) { return parse_maps(STASIS_TRY(read_text(pid, "maps"))); }

Result<std::vector<MapLine>> read_smaps(pid_t pid) { return parse_maps(STASIS_TRY(read_text(pid, "smaps"))); }

}  // namespace stasis::procfs
