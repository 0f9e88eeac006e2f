#include "launch/id_table.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "wire/ids.h"

namespace stasis::launch {

namespace {

constexpr char kMaking[] = "making the table of ids";

// Until kernel 6.3 the flag is not known; since then a memfd without it is executable, which vm.memfd_noexec may forbid
// (memfd_create(2)).
constexpr unsigned kNoexecSeal = 8;  // MFD_NOEXEC_SEAL

Result<UniqueFd> make_memfd() {
  int fd = memfd_create("stasis-ids", MFD_CLOEXEC | MFD_ALLOW_SEALING | kNoexecSeal);
  if (fd < 0 && errno == EINVAL) fd = memfd_create("stasis-ids", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return Error::of_errno("memfd_create", kMaking);
  return UniqueFd(fd);
}

}  // namespace

Result<UniqueFd> make_id_table(const IdTableOptions& options) {
  UniqueFd fd = STASIS_TRY(make_memfd());
  // Sparse: a page costs memory once it is written. No process may shorten it under the others.
  if (ftruncate(fd.get(), static_cast<off_t>(wire::kIdTableBytes)) != 0) return Error::of_errno("ftruncate", kMaking);
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return Error::of_errno("fcntl", kMaking);
  }
  struct stat status;
  if (fstat(fd.get(), &status) != 0) return Error::of_errno("fstat", kMaking);
  wire::IdTableHeader header{};
  header.magic = wire::kIdTableMagic;
  header.version = wire::kIdTableVersion;
  header.header_bytes = sizeof header;
  header.table_bytes = wire::kIdTableBytes;
  header.shift = options.shift;
  header.parts = options.parts;
  header.environment = options.environment;
  header.own_address = options.own_address;
  if (options.application.size() >= sizeof header.application) {
    return Error::plain(ErrorKind::Usage, "the application's id is too long");
  }
  std::memcpy(header.application, options.application.data(), options.application.size());
  header.checksum = wire::id_header_checksum(header);
  header.device = status.st_dev;
  header.inode = status.st_ino;
  header.next_virtual = wire::kFirstAllocatedPid;
  if (pwrite(fd.get(), &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) {
    return Error::of_errno("pwrite", kMaking);
  }
  return fd;
}

void name_keeper(int table, std::uint32_t pid, std::uint32_t fd) {
  static_assert(offsetof(wire::IdTableHeader, keeper_fd) == offsetof(wire::IdTableHeader, keeper_pid) + 4);
  const std::uint32_t words[] = {pid, fd};
  (void)!pwrite(table, words, sizeof words, offsetof(wire::IdTableHeader, keeper_pid));
}

}  // namespace stasis::launch
