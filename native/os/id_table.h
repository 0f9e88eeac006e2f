// The translation table of an application (wire/ids.h), read from outside: the memfd that each of its processes holds at
// a number of its own, found by the header that is mapped there. Reading needs what ptrace access needs, and no stop:
// whatever changes meanwhile is seen as it was before or after.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "os/unique_fd.h"
#include "wire/ids.h"

namespace stasis {

struct IdRow {
  wire::IdKind kind = wire::IdKind::Process;
  std::uint32_t virtual_id = 0;
  std::uint64_t system_id = 0;  // 0: none
  std::uint32_t owner = 0;      // virtual pid of the process it belongs to; 0: the application's, or not known
  wire::IdState state = wire::IdState::Live;
  std::uint32_t flags = 0;  // wire::kIdThread ...; of ports 1: UDP
  std::uint32_t seen = 0;   // of processes: stamp of the last sight (wire/ids.h)
};

class IdTable {
 public:
  // Nothing if the process's ids are the system's. Incompatible for a table of another version, Damaged for one that
  // is not whole.
  static Result<std::optional<IdTable>> open(pid_t pid);

  const wire::IdTableHeader& header() const { return header_; }

  // Reverse-translate; 0: the application does not know that system id.
  Result<std::uint32_t> virtual_process(std::uint32_t system_id) const;
  Result<std::uint32_t> virtual_group(std::uint32_t system_id) const;
  Result<std::uint32_t> virtual_session(std::uint32_t system_id) const;

  // Every entry in use, by kind and virtual id. Costs by the pages that the sparse file has.
  Result<std::vector<IdRow>> rows() const;

 private:
  IdTable(UniqueFd file, const wire::IdTableHeader& header) : file_(std::move(file)), header_(header) {}

  Result<std::uint32_t> overridden(wire::IdKind kind, std::uint32_t system_id) const;
  Status add_processes(std::vector<IdRow>& rows) const;
  Status add_overrides(std::vector<IdRow>& rows) const;
  Status add_objects(std::vector<IdRow>& rows) const;
  Status add_ports(std::vector<IdRow>& rows) const;

  UniqueFd file_;
  wire::IdTableHeader header_;
};

}  // namespace stasis
