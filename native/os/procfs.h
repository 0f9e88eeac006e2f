// /proc/PID, parsed. Text is read whole, in as few reads as the kernel allows; parsing never trusts a line it does not
// know.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace stasis::procfs {

// /proc/PID shows what its main thread has. One that has ended while others go on has given everything back, memory and descriptors: then
// /proc/TID of another thread shows the process's. find_stand_in() finds whether that is so, and all functions here, ProcessMemory and
// pidfd.h go by what it found last; stat and task are the main thread's all the same.
void find_stand_in(pid_t pid);
// `pid`, unless another thread stands in for the main one.
pid_t stand_in_of(pid_t pid);

// One mapping, as a line of /proc/PID/maps gives it.
struct MapLine {
  std::uint64_t start = 0, end = 0, offset = 0;
  std::uint32_t protection = 0;  // PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4
  bool shared = false;
  std::uint64_t device = 0;  // as st_dev
  std::uint64_t inode = 0;
  std::string name;                  // path, [name] or empty; escapes of newlines undone
  std::string vm_flags;              // " rd wr mr ", from smaps only
  std::uint64_t resident_bytes = 0;  // from smaps only

  bool operator==(const MapLine& other) const {
    return start == other.start && end == other.end && offset == other.offset && protection == other.protection &&
           shared == other.shared && device == other.device && inode == other.inode && name == other.name;
  }
  // Two-letter flag of VmFlags (proc(5)).
  bool has_flag(const char* flag) const;
};

Result<std::vector<MapLine>> read_maps(pid_t pid);
// As read_maps, with vm_flags. Walks all page tables: milliseconds for large processes.
Result<std::vector<MapLine>> read_smaps(pid_t pid);
std::vector<MapLine> parse_maps(std::string_view text);

// `name: value` lines of status and fdinfo.
class Fields {
 public:
  explicit Fields(std::string text) : text_(std::move(text)) {}

  bool has(std::string_view name) const { return !find(name).empty(); }
  // Value of the first line of that name without blanks around it; empty if there is none.
  std::string_view find(std::string_view name) const;
  std::uint64_t number(std::string_view name, int base = 10) const;
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

Result<Fields> read_status(pid_t pid);

// Fields of /proc/PID/stat by their number in proc(5); [0] to [3] are empty but for the state letter in [3].
struct Stat {
  char state = 0;
  std::array<std::uint64_t, 64> field{};
};
Result<Stat> read_stat(pid_t pid);
// With the fields that tell of memory.
Result<Stat> read_stat_with_memory(pid_t pid);
Result<Stat> parse_stat(const std::string& text);

// Ascending.
Result<std::vector<pid_t>> list_threads(pid_t pid);
Result<std::vector<int>> list_fds(pid_t pid);
// Of every thread, zombies included.
Result<std::vector<pid_t>> list_children(pid_t pid);
// Every process that can be seen.
Result<std::vector<pid_t>> list_processes();

// `name` is relative to /proc/PID, such as "cwd" or "fd/3".
Result<std::string> read_text(pid_t pid, const std::string& name);
Result<std::string> read_link(pid_t pid, const std::string& name);

// Any text file whose size stat(2) does not know.
Result<std::string> read_whole(const std::string& path);

}  // namespace stasis::procfs
