#include "os/id_table.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "os/file.h"
#include "os/process_memory.h"
#include "os/procfs.h"
#include "runtime/net_address.h"

namespace stasis {

namespace {

using wire::IdKind;
using wire::IdState;

constexpr char kName[] = "the translation table";

template <class T>
std::span<std::uint8_t> bytes_of(std::vector<T>& values) {
  return {reinterpret_cast<std::uint8_t*>(values.data()), values.size() * sizeof(T)};
}

// `count` values at `offset`; what lies behind the end of the file is zeros.
template <class T>
Result<std::vector<T>> read_array(int file, std::uint64_t offset, std::size_t count) {
  std::vector<T> values(count);
  STASIS_TRY(read_at(file, bytes_of(values), offset, kName));
  return values;
}

template <class T>
Result<T> read_one(int file, std::uint64_t offset) {
  return STASIS_TRY(read_array<T>(file, offset, 1)).front();
}

bool is_zero(const wire::IdTableHeader& header) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&header);
  return std::all_of(bytes, bytes + sizeof header, [](std::uint8_t byte) { return byte == 0; });
}

Status check(const wire::IdTableHeader& header) {
  if (header.magic == wire::kIdTableMagic && header.version != wire::kIdTableVersion) {
    return Error::plain(ErrorKind::Incompatible,
                        "the application's table of ids is of version " + std::to_string(header.version) +
                            ", and this is " + std::to_string(wire::kIdTableVersion),
                        "use the version of Stasis that started it");
  }
  if (header.magic != wire::kIdTableMagic || header.header_bytes != sizeof header ||
      header.table_bytes != wire::kIdTableBytes || header.checksum != wire::id_header_checksum(header) ||
      header.override_count > wire::kIdOverrides) {
    return Error::plain(ErrorKind::Damaged, "the header of the application's table of ids is damaged");
  }
  return {};
}

// Calls function(index, value) for each value that is not zero of an array in a sparse file.
template <class T, class Function>
Status for_each_set(int file, std::uint64_t offset, std::size_t count, Function&& function) {
  const auto end = static_cast<off_t>(offset + count * sizeof(T));
  auto at = static_cast<off_t>(offset);
  while (at < end) {
    at = ::lseek(file, at, SEEK_DATA);
    if (at < 0 && errno == ENXIO) return {};  // only a hole is left
    if (at < 0) return Error::of_errno("lseek", "reading the translation table");
    if (at >= end) return {};
    const off_t hole = std::min(::lseek(file, at, SEEK_HOLE), end);
    const std::size_t first = (static_cast<std::size_t>(at) - offset) / sizeof(T);
    const auto values = STASIS_TRY(
        read_array<T>(file, static_cast<std::uint64_t>(at), static_cast<std::size_t>(hole - at) / sizeof(T)));
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i] != T{}) function(static_cast<std::uint32_t>(first + i), values[i]);
    }
    at = hole;
  }
  return {};
}

}  // namespace

Result<std::optional<IdTable>> IdTable::open(pid_t pid) {
  const auto memory = STASIS_TRY(ProcessMemory::open(pid));
  const auto read = memory.read_value<wire::IdTableHeader>(wire::kIdTableBase);
  // Nothing is there under a runtime from before there were tables.
  if (!read.ok() && read.error().error == EIO) return std::optional<IdTable>();
  const wire::IdTableHeader header = STASIS_TRY(read);
  // Reserved address space without access reads as zeros through /proc.
  if (is_zero(header)) return std::optional<IdTable>();
  if (Status checked = check(header); !checked.ok()) return std::move(checked).error().with_pid(pid);
  const std::string path =
      "/proc/" + std::to_string(procfs::stand_in_of(pid)) + "/fd/" + std::to_string(header.parked_fd);
  UniqueFd file = STASIS_TRY(open_file_at(AT_FDCWD, path, O_RDONLY, 0, "opening the translation table"));
  const FileStatus status = STASIS_TRY(status_of(file.get(), path));
  if (status.device != header.device || status.inode != header.inode) {
    return Error::plain(ErrorKind::Failed, "the process does not hold its table of ids any more").with_pid(pid);
  }
  return std::optional<IdTable>(IdTable(std::move(file), header));
}

Result<std::uint32_t> IdTable::virtual_process(std::uint32_t system_id) const {
  if (system_id == 0 || system_id >= wire::kPidLimit) return 0u;
  const auto number = STASIS_TRY(read_one<u32>(file_.get(), wire::kIdReverseOffset + system_id * sizeof(u32)));
  if (number == 0 || number >= wire::kPidLimit) return 0u;
  const auto word =
      wire::ForwardWord::unpack(STASIS_TRY(read_one<u64>(file_.get(), wire::kIdForwardOffset + number * sizeof(u64))));
  return word.system == system_id && (word.state == IdState::Live || word.state == IdState::Gone) ? number : 0u;
}

Result<std::uint32_t> IdTable::virtual_group(std::uint32_t system_id) const {
  const auto number = STASIS_TRY(overridden(IdKind::Group, system_id));
  return number != 0 ? number : STASIS_TRY(virtual_process(system_id));
}

Result<std::uint32_t> IdTable::virtual_session(std::uint32_t system_id) const {
  const auto number = STASIS_TRY(overridden(IdKind::Session, system_id));
  return number != 0 ? number : STASIS_TRY(virtual_process(system_id));
}

Result<std::uint32_t> IdTable::overridden(IdKind kind, std::uint32_t system_id) const {
  const auto entries =
      STASIS_TRY(read_array<wire::IdOverride>(file_.get(), wire::kIdOverridesOffset, header_.override_count));
  for (const wire::IdOverride& entry : entries) {
    if (entry.state == 1 && entry.kind == static_cast<u32>(kind) && entry.system_id == system_id) {
      return entry.virtual_id;
    }
  }
  return 0u;
}

Result<std::vector<IdRow>> IdTable::rows() const {
  std::vector<IdRow> rows;
  STASIS_TRY(add_processes(rows));
  STASIS_TRY(add_overrides(rows));
  STASIS_TRY(add_objects(rows));
  STASIS_TRY(add_ports(rows));
  return rows;
}

Status IdTable::add_processes(std::vector<IdRow>& rows) const {
  Status problem;
  STASIS_TRY(for_each_set<u64>(file_.get(), wire::kIdForwardOffset, wire::kPidLimit, [&](u32 number, u64 packed) {
    const auto word = wire::ForwardWord::unpack(packed);
    if (word.state == IdState::Free || !problem.ok()) return;
    if (word.state != IdState::Known) {
      // What a process left half done when it was killed counts for nothing.
      const auto reverse = read_one<u32>(file_.get(), wire::kIdReverseOffset + word.system * sizeof(u32));
      if (!reverse.ok()) problem = reverse.error();
      if (!reverse.ok() || reverse.value() != number) return;
    }
    rows.push_back({.kind = IdKind::Process,
                    .virtual_id = number,
                    .system_id = word.state == IdState::Known ? 0 : word.system,
                    .state = word.state,
                    .flags = word.flags,
                    .seen = word.seen});
  }));
  return problem;
}

Status IdTable::add_overrides(std::vector<IdRow>& rows) const {
  const auto entries =
      STASIS_TRY(read_array<wire::IdOverride>(file_.get(), wire::kIdOverridesOffset, header_.override_count));
  for (const wire::IdOverride& entry : entries) {
    if (entry.state != 1) continue;
    rows.push_back(
        {.kind = static_cast<IdKind>(entry.kind), .virtual_id = entry.virtual_id, .system_id = entry.system_id});
  }
  return {};
}

Status IdTable::add_objects(std::vector<IdRow>& rows) const {
  constexpr u32 kWords = sizeof(wire::IdObject) / sizeof(u64);  // key first, value second
  const std::size_t first = rows.size();
  Status problem;
  STASIS_TRY(for_each_set<u64>(file_.get(), wire::kIdObjectsOffset, wire::kIdObjects * kWords, [&](u32 index, u64 key) {
    if (index % kWords != 0 || static_cast<wire::ObjectState>(key & 3) != wire::ObjectState::Live) return;
    const auto value = read_one<u64>(file_.get(), wire::kIdObjectsOffset + (index + 1) * sizeof(u64));
    if (!value.ok()) {
      problem = value.error();
      return;
    }
    rows.push_back({.kind = static_cast<IdKind>(key >> 2 & 63),
                    .virtual_id = static_cast<u32>(key >> 32),
                    .system_id = value.value(),
                    .owner = static_cast<u32>(key >> 8 & 0xff'ffff)});
  }));
  STASIS_TRY(std::move(problem));
  std::sort(rows.begin() + static_cast<std::ptrdiff_t>(first), rows.end(), [](const IdRow& a, const IdRow& b) {
    return std::pair(a.kind, a.virtual_id) < std::pair(b.kind, b.virtual_id);
  });
  return {};
}

// What programs have bound, as far as is known: that it is open still, only its socket could tell.
Status IdTable::add_ports(std::vector<IdRow>& rows) const {
  constexpr std::uint32_t kPorts = 65536;
  return for_each_set<u32>(file_.get(), wire::kIdPortsOffset, 2 * kPorts, [&](u32 index, u32 word) {
    if ((word & runtime::kPortBound) == 0) return;
    const u32 port = index % kPorts;
    const u32 offset = port < runtime::kFirstOpenPort ? runtime::kLowPortOffset : 0;
    rows.push_back({.kind = IdKind::Port, .virtual_id = port, .system_id = port + offset, .flags = index / kPorts});
  });
}

}  // namespace stasis
