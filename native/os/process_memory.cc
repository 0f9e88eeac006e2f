#include "os/process_memory.h"

#include <fcntl.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "os/file.h"
#include "os/procfs.h"

namespace stasis {

namespace {

constexpr std::size_t kVectorMax = 512;  // at most UIO_MAXIOV, 1024

}  // namespace

Result<ProcessMemory> ProcessMemory::open(pid_t pid) {
  pid = procfs::stand_in_of(pid);
  const std::string path = "/proc/" + std::to_string(pid) + "/mem";
  auto mem = open_file_at(AT_FDCWD, path, O_RDWR, 0, "opening the process's memory");
  if (!mem.ok()) return std::move(mem).error().with_pid(pid);
  return ProcessMemory(pid, std::move(mem).value());
}

Status ProcessMemory::read(std::uint64_t address, std::span<std::uint8_t> into) const {
  const Transfer transfer{address, into.data(), into.size()};
  return read({&transfer, 1});
}

Status ProcessMemory::read(std::span<const Transfer> transfers) const {
  iovec local[kVectorMax], remote[kVectorMax];
  while (!transfers.empty()) {
    const auto batch = transfers.first(std::min(transfers.size(), kVectorMax));
    std::size_t wanted = 0, count = 0;
    for (const Transfer& transfer : batch) {
      local[count] = {transfer.to, transfer.bytes};
      remote[count++] = {reinterpret_cast<void*>(transfer.address), transfer.bytes};
      wanted += transfer.bytes;
    }
    if (::process_vm_readv(pid_, local, count, remote, count, 0) != static_cast<ssize_t>(wanted)) {
      // One unreadable page ends the whole transfer: go range by range.
      for (const Transfer& transfer : batch) STASIS_TRY(read_one(transfer));
    }
    transfers = transfers.subspan(batch.size());
  }
  return {};
}

// Through /proc/PID/mem, which ignores protections (FOLL_FORCE, mm/memory.c __access_remote_vm).
Status ProcessMemory::read_one(const Transfer& transfer) const {
  std::size_t done = 0;
  while (done < transfer.bytes) {
    const ssize_t count =
        ::pread(mem_.get(), transfer.to + done, transfer.bytes - done, static_cast<off_t>(transfer.address + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      if (count == 0) errno = EFAULT;  // the address space has no users left
      return Error::of_errno("pread", "reading the process's memory")
          .with_pid(pid_)
          .with_range(transfer.address + done, transfer.bytes - done);
    }
    done += static_cast<std::size_t>(count);
  }
  return {};
}

Status ProcessMemory::write(std::uint64_t address, std::span<const std::uint8_t> from) const {
  const iovec local{const_cast<std::uint8_t*>(from.data()), from.size()};
  const iovec remote{reinterpret_cast<void*>(address), from.size()};
  const ssize_t count = ::process_vm_writev(pid_, &local, 1, &remote, 1, 0);
  if (count == static_cast<ssize_t>(from.size())) return {};
  if (count >= 0) errno = EFAULT;
  return Error::of_errno("process_vm_writev", "writing into the runtime's window")
      .with_pid(pid_)
      .with_range(address, from.size());
}

}  // namespace stasis
