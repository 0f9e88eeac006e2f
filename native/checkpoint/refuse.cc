#include "checkpoint/refuse.h"

#include <elf.h>
#include <linux/kcmp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <span>

#include "checkpoint/settings.h"
#include "checkpoint/sites.h"
#include "image/present.h"
#include "wire/layout.h"
#include "wire/plan.h"

namespace stasis::checkpoint {

namespace {

constexpr std::size_t kStartTime = 22;

struct Table {
  int type;
  const char* what;
};
constexpr Table kTables[] = {
    {KCMP_FILES, "a table of descriptors"},
    {KCMP_FS, "a working directory"},
    {KCMP_VM, "an address space"},
    {KCMP_SIGHAND, "signal handlers"},
};

constexpr const char* kNamespaces[] = {"mnt", "pid", "net", "ipc", "uts", "user"};

// Whether the thread has a table of its own. One that is ending has given its tables back a moment before it is gone
// (kernel/exit.c, do_exit), and looks the same for that moment. An error means that the thread is gone or kcmp(2) is not
// to be had, which later calls will tell.
bool has_own(pid_t pid, pid_t tid, int type) {
  constexpr int kLooks = 50;
  constexpr timespec kPause{0, 1'000'000};
  for (int look = 0; look < kLooks; ++look) {
    if (look > 0) ::nanosleep(&kPause, nullptr);
    if (::syscall(SYS_kcmp, procfs::stand_in_of(pid), tid, type, 0, 0) <= 0) return false;
  }
  return true;
}

Status refuse_threads(const Subject& subject, Findings& findings) {
  const std::vector<pid_t> threads = STASIS_TRY(procfs::list_threads(subject.pid));
  for (const pid_t tid : threads) {
    if (tid == subject.pid) continue;
    for (const Table& table : kTables) {
      if (has_own(subject.pid, tid, table.type)) {
        findings.add(subject.where() + ", thread " + std::to_string(tid),
                     std::string(table.what) + " of its own (unshare)", "let the threads share it");
      }
    }
  }
  return {};
}

Status refuse_places(const Subject& subject, Findings& findings) {
  const std::string cwd = STASIS_TRY(procfs::read_link(subject.pid, "cwd"));
  struct stat by_path, by_link;
  const std::string link = "/proc/" + std::to_string(procfs::stand_in_of(subject.pid)) + "/cwd";
  // One that was removed is made anew, without a name (runtime/restore_files.cc).
  if (::stat(link.c_str(), &by_link) == 0 && by_link.st_nlink != 0 &&
      (::stat(cwd.c_str(), &by_path) != 0 || by_path.st_ino != by_link.st_ino || by_path.st_dev != by_link.st_dev)) {
    findings.add(subject.where(), "the working directory was moved, " + cwd,
                 "let the program change to another directory");
  }
  if (STASIS_TRY(procfs::read_link(subject.pid, "root")) != STASIS_TRY(procfs::read_link(::getpid(), "root"))) {
    findings.add(subject.where(), "another root directory (chroot)", "run the program without chroot");
  }
  for (const char* name : kNamespaces) {
    const auto theirs = procfs::read_link(subject.pid, std::string("ns/") + name);
    const auto ours = procfs::read_link(::getpid(), std::string("ns/") + name);
    if (theirs.ok() && ours.ok() && theirs.value() != ours.value()) {
      findings.add(subject.where(), std::string("another ") + name + " namespace than that of the checkpoint",
                   "run the program without unshare, or make the checkpoint in its namespace");
    }
  }
  return {};
}

// The ranges and the plan they refer to stay in the window of a restored process for its life.
Status read_backed_ranges(const ProcessMemory& memory, const wire::RuntimeState& state, Subject& subject) {
  constexpr std::uint64_t kMostRanges = wire::kImageTableMaxBytes / sizeof(wire::ImageRange);
  subject.backed_ranges.clear();
  if (state.image_range_count == 0) return {};
  std::vector<wire::ImageRange> ranges(std::min(state.image_range_count, kMostRanges));
  STASIS_TRY(memory.read(wire::kImageTableBase,
                         {reinterpret_cast<std::uint8_t*>(ranges.data()), ranges.size() * sizeof ranges[0]}));
  const auto plan = STASIS_TRY(memory.read_value<wire::Plan>(wire::kPlanBase));
  for (const wire::ImageRange& range : ranges) {
    if (range.backing == wire::kNoFile) continue;
    const auto file = STASIS_TRY(memory.read_value<wire::FileEntry>(wire::kPlanBase + plan.files.offset +
                                                                    range.backing * sizeof(wire::FileEntry)));
    std::vector<char> path(std::min<std::uint64_t>(wire::kMaxExePath, plan.bytes - std::min(plan.bytes, file.path)) +
                           1);
    STASIS_TRY(
        memory.read(wire::kPlanBase + file.path, {reinterpret_cast<std::uint8_t*>(path.data()), path.size() - 1}));
    subject.backed_ranges.push_back(
        {range.address, range.address + range.length, path.data(), file.inode, range.backing_offset});
  }
  return {};
}

// Empty if there is none: runtimes write it themselves at their start where the note does not stand behind the descriptor.
std::string build_id_in(const wire::DescriptorPage& page) {
  const bool noted = page.note.type == NT_GNU_BUILD_ID && std::memcmp(page.note.name, "GNU", 4) == 0 &&
                     page.note.id_bytes == sizeof page.note.build_id;
  const std::span<const u8> id = noted ? page.note.build_id : page.descriptor.no_build_id;
  if (std::all_of(id.begin(), id.end(), [](u8 byte) { return byte == 0; })) return {};
  return image::hex_bytes(id);
}

}  // namespace

Status read_runtime(const ProcessMemory& memory, Subject& subject) {
  const auto page = memory.read_value<wire::DescriptorPage>(wire::kDescriptorAddress);
  if (!page.ok() || page.value().descriptor.magic != wire::kDescriptorMagic) {
    return Error::plain(ErrorKind::Unsupported, "the process does not run under Stasis", "start it with `stasis run`")
        .with_pid(subject.pid);
  }
  const wire::Descriptor& descriptor = page.value().descriptor;
  if (descriptor.version != wire::kDescriptorVersion || descriptor.bytes != sizeof(wire::Descriptor)) {
    return Error::plain(ErrorKind::Unsupported,
                        "the process runs under a runtime of version " + std::to_string(descriptor.version) +
                            ", and this is " + std::to_string(wire::kDescriptorVersion),
                        "use the version of Stasis that started it")
        .with_pid(subject.pid);
  }
  subject.runtime = descriptor;
  subject.runtime_build_id = build_id_in(page.value());
  const auto state = STASIS_TRY(memory.read_value<wire::RuntimeState>(subject.runtime.state));
  const std::uint32_t count = std::min(state.page_file_count, wire::kMaxPageFiles);
  subject.page_files.assign(state.page_files, state.page_files + count);
  subject.stacked_filters = state.stacked_filters;
  note_sites(state, subject);
  subject.ids = STASIS_TRY(IdTable::open(subject.pid));
  return read_backed_ranges(memory, state, subject);
}

Status check_identity(const Subject& subject, const procfs::Fields& status) {
  const procfs::Stat stat = STASIS_TRY(procfs::read_stat(subject.pid));
  const bool first = subject.pid == subject.options.pid;
  if (first && subject.options.start_time != 0 && stat.field[kStartTime] != subject.options.start_time) {
    return Error::plain(ErrorKind::NotFound, "the application is gone and its process id belongs to another process")
        .with_pid(subject.pid);
  }
  if (stat.state == 'Z' && status.number("Threads") <= 1) {
    return Error::plain(ErrorKind::NotFound, "the application has ended").with_pid(subject.pid);
  }
  const std::uint64_t tracer = status.number("TracerPid");
  if (tracer != 0) {
    return Error::plain(ErrorKind::Busy, "the process is traced by process " + std::to_string(tracer),
                        "end that debugger or tracer first")
        .with_pid(subject.pid);
  }
  return {};
}

Status refuse_process(const Subject& subject, const procfs::Fields& status, Findings& findings) {
  STASIS_TRY(refuse_threads(subject, findings));
  STASIS_TRY(refuse_places(subject, findings));
  refuse_credentials(subject, status, findings);
  if (status.find("x86_Thread_features").find("shstk") != std::string_view::npos) {
    findings.add(subject.where(), "shadow stacks", "run the program with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off");
  }
  return {};
}

}  // namespace stasis::checkpoint
