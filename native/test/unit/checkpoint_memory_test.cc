// Mappings of a child process: what they are taken for, and which pages are stored.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "checkpoint/memory.h"
#include "checkpoint/pages.h"
#include "checkpoint/shared_memory.h"
#include "os/file.h"
#include "os/pidfd.h"
#include "test/check.h"
#include "wire/layout.h"

namespace stasis::checkpoint {
namespace {

using wire::kPageBytes;
constexpr std::uint64_t kBase = 0x1234'0000'0000;  // free in every process

// A process with the given memory; what is not at kBase and above is left out of sight.
class MemoryChild {
 public:
  explicit MemoryChild(void (*body)()) {
    int ready[2];
    if (::pipe2(ready, O_CLOEXEC) != 0) ::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      body();
      ::close(ready[1]);
      while (true) ::pause();
    }
    ::close(ready[1]);
    char byte;
    (void)!::read(ready[0], &byte, 1);
    ::close(ready[0]);
  }
  MemoryChild(const MemoryChild&) = delete;
  ~MemoryChild() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

void* map(std::uint64_t page, std::uint64_t pages, int protection, int flags, int fd = -1) {
  return ::mmap(reinterpret_cast<void*>(kBase + page * kPageBytes), pages * kPageBytes, protection,
                flags | MAP_FIXED_NOREPLACE | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
}
void touch(std::uint64_t page, char value = 1) { *reinterpret_cast<volatile char*>(kBase + page * kPageBytes) = value; }

struct Planned {
  std::vector<PlannedMapping> mappings;
  std::vector<std::string> findings;
  std::vector<std::uint8_t> pages;
  std::vector<image::SharedMemory> shared;
};

Planned plan(const MemoryChild& child, std::vector<wire::PageFileIdentity> page_files = {}) {
  static const Options options;
  static const CancelToken none;
  Planned result;
  auto process = open_process(child.pid());
  auto memory = ProcessMemory::open(child.pid());
  auto lines = procfs::read_smaps(child.pid());
  if (!CHECK(process.ok() && memory.ok() && lines.ok())) return result;
  std::erase_if(lines.value(),
                [](const procfs::MapLine& line) { return line.start < kBase || line.start > kBase + (1 << 28); });
  Subject subject{options, none, child.pid(), std::move(process).value(), Phase::Stopped};
  subject.page_files = std::move(page_files);
  MappedFileFacts files;
  std::uint32_t objects = 0;
  SharedMemories shared([&] { return ++objects; });
  Findings findings;
  auto mappings = plan_mappings(subject, lines.value(), files, shared, findings);
  if (!CHECK(mappings.ok())) return result;
  result.mappings = std::move(mappings).value();
  if (!findings.empty()) result.findings = std::move(findings).error(child.pid()).details;
  char name[] = "/tmp/stasis-pages-XXXXXX";
  if (!CHECK(::mkdtemp(name) != nullptr)) return result;
  {
    auto directory = open_directory(name, "test");
    auto writer = image::PageFileWriter::create(directory.value().get(), 0);
    image::Image image;
    if (CHECK(writer.ok()) &&
        CHECK(store_pages(subject, child.pid(), MemoryPages(memory.value()), memory.value(), result.mappings,
                          writer.value())
                  .ok()) &&
        CHECK(shared.store(writer.value(), image).ok())) {
      result.shared = std::move(image.shared_memory);
      result.pages.resize(writer.value().bytes());
      const UniqueFd file(::open((std::string(name) + "/pages-0.raw").c_str(), O_RDONLY));
      CHECK_EQUAL(read_at(file.get(), result.pages, 0, name).value(), result.pages.size());
    }
  }
  (void)!::system((std::string("rm -r ") + name).c_str());
  return result;
}

TEST(anonymous_pages_and_gaps) {
  const MemoryChild child([] {
    map(0, 200, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
    ::madvise(reinterpret_cast<void*>(kBase), 200 * kPageBytes, MADV_DONTFORK);
    for (const std::uint64_t page : {2, 3, 7, 90, 199}) touch(page, 'a' + page % 26);
    (void)*reinterpret_cast<volatile char*>(kBase + 130 * kPageBytes);  // the zero page is not stored
  });
  const Planned planned = plan(child);
  if (!CHECK_EQUAL(planned.mappings.size(), 1u)) return;
  const image::Mapping& mapping = planned.mappings[0].record;
  CHECK_EQUAL(mapping.advice, image::kAdviceDontFork);
  CHECK_EQUAL(mapping.traits, image::kMappingNoReserve);
  if (!CHECK_EQUAL(mapping.runs.size(), 3u)) return;
  CHECK_EQUAL(mapping.runs[0].address, kBase + 2 * kPageBytes);
  CHECK_EQUAL(mapping.runs[0].length, 6 * kPageBytes);  // 2, 3, a gap of 4 to 6, 7
  CHECK_EQUAL(mapping.runs[1].length, kPageBytes);
  if (!CHECK_EQUAL(planned.pages.size(), 8 * kPageBytes)) return;
  CHECK_EQUAL(planned.pages[0], 'a' + 2);
  CHECK(image::is_zero_page(&planned.pages[2 * kPageBytes]));
  CHECK_EQUAL(planned.pages[5 * kPageBytes], 'a' + 7);
  CHECK_EQUAL(planned.pages[mapping.runs[2].file_offset], 'a' + 199 % 26);
}

TEST(large_gaps_are_holes) {
  const MemoryChild child([] {
    map(0, 200, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    for (const std::uint64_t page : {1, 66, 132}) touch(page, 'a' + page % 26);
  });
  const Planned planned = plan(child);
  if (!CHECK_EQUAL(planned.mappings.size(), 1u)) return;
  const image::Mapping& mapping = planned.mappings[0].record;
  if (!CHECK_EQUAL(mapping.runs.size(), 2u)) return;  // 64 pages between the first two, 65 behind them
  CHECK_EQUAL(mapping.runs[0].length, 66 * kPageBytes);
  CHECK_EQUAL(mapping.runs[1].file_offset, 66 * kPageBytes);
  if (!CHECK_EQUAL(planned.pages.size(), 67 * kPageBytes)) return;
  CHECK_EQUAL(planned.pages[0], 'a' + 1);
  for (std::uint64_t page = 1; page < 65; ++page) CHECK(image::is_zero_page(&planned.pages[page * kPageBytes]));
  CHECK_EQUAL(planned.pages[65 * kPageBytes], 'a' + 66 % 26);
  CHECK_EQUAL(planned.pages[66 * kPageBytes], 'a' + 132 % 26);
}

// One page in 65: the holes would be many times the rest.
TEST(thinly_strewn_pages_are_runs_in_the_end) {
  constexpr std::uint64_t kCount = 120;
  const MemoryChild child([] {
    map(0, 65 * kCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
    ::madvise(reinterpret_cast<void*>(kBase), 65 * kCount * kPageBytes, MADV_NOHUGEPAGE);
    for (std::uint64_t i = 0; i < kCount; ++i) touch(65 * i);
  });
  const Planned planned = plan(child);
  if (!CHECK_EQUAL(planned.mappings.size(), 1u)) return;
  CHECK(planned.mappings[0].record.runs.size() > kCount / 4);
  CHECK(planned.pages.size() < 2 * kMaxHoleBytes);
}

TEST(pages_that_may_not_be_read) {
  const MemoryChild child([] {
    map(0, 3, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    touch(1, 'z');
    ::mprotect(reinterpret_cast<void*>(kBase), 3 * kPageBytes, PROT_NONE);
  });
  const Planned planned = plan(child);
  if (!CHECK(planned.mappings.size() == 1 && planned.pages.size() == kPageBytes)) return;
  CHECK_EQUAL(planned.mappings[0].record.protection, 0u);
  CHECK_EQUAL(planned.pages[0], 'z');
}

TEST(file_pages_that_changed) {
  const MemoryChild child([] {
    const int fd = ::open("/proc/self/exe", O_RDONLY);
    map(0, 8, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
    (void)*reinterpret_cast<volatile char*>(kBase + kPageBytes);
    touch(4, 'q');
  });
  const Planned planned = plan(child);
  if (!CHECK_EQUAL(planned.mappings.size(), 1u)) return;
  const image::Mapping& mapping = planned.mappings[0].record;
  CHECK(mapping.source == image::MappingSource::File);
  CHECK(!mapping.path.empty() && mapping.file_bytes > 0 && mapping.file_modified_ns > 0);
  if (!CHECK(mapping.runs.size() == 1 && planned.pages.size() == kPageBytes)) return;
  CHECK_EQUAL(mapping.runs[0].address, kBase + 4 * kPageBytes);
  CHECK_EQUAL(planned.pages[0], 'q');
}

TEST(shared_memory_of_one_process) {
  const MemoryChild child([] {
    map(0, 20, PROT_READ | PROT_WRITE, MAP_SHARED);
    touch(5, 's');
    ::madvise(reinterpret_cast<void*>(kBase), 20 * kPageBytes,
              MADV_DONTNEED);  // out of the page tables, not out of the object
  });
  const Planned planned = plan(child);
  if (!CHECK(planned.mappings.size() == 1 && planned.pages.size() == kPageBytes)) return;
  CHECK(planned.mappings[0].record.shared);
  CHECK(planned.mappings[0].record.source == image::MappingSource::Object);
  CHECK_EQUAL(planned.pages[0], 's');
  if (!CHECK(planned.shared.size() == 1 && planned.shared[0].runs.size() == 1)) return;
  CHECK_EQUAL(planned.mappings[0].record.object, planned.shared[0].object);
  CHECK_EQUAL(planned.shared[0].bytes, 20 * kPageBytes);
  CHECK_EQUAL(planned.shared[0].runs[0].address, 5 * kPageBytes);
}

TEST(shared_memory_that_is_mapped_twice) {
  const MemoryChild child([] {
    char* first = static_cast<char*>(map(0, 20, PROT_READ | PROT_WRITE, MAP_SHARED));
    touch(5, 's');
    touch(12, 't');
    ::mremap(first + 10 * kPageBytes, 0, 10 * kPageBytes, MREMAP_MAYMOVE | MREMAP_FIXED,
             reinterpret_cast<void*>(kBase + 50 * kPageBytes));
    ::munmap(first + 8 * kPageBytes, 4 * kPageBytes);
  });
  const Planned planned = plan(child);
  if (!CHECK(planned.mappings.size() == 3 && planned.shared.size() == 1)) return;
  const image::SharedMemory& memory = planned.shared[0];
  for (const PlannedMapping& mapping : planned.mappings) CHECK_EQUAL(mapping.record.object, memory.object);
  CHECK_EQUAL(planned.mappings[2].record.object_offset, 10 * kPageBytes);
  if (!CHECK(memory.runs.size() == 2 && planned.pages.size() == 2 * kPageBytes)) return;
  CHECK_EQUAL(memory.runs[0].address, 5 * kPageBytes);
  CHECK_EQUAL(memory.runs[1].address, 12 * kPageBytes);
  CHECK_EQUAL(planned.pages[memory.runs[1].file_offset], 't');
}

TEST(pages_of_an_image_are_anonymous_memory) {
  char name[] = "/tmp/pages-XXXXXX";
  static int fd;
  fd = ::mkstemp(name);
  std::vector<std::uint8_t> bytes(6 * kPageBytes);
  bytes[kPageBytes] = 'i';
  CHECK(write_at(fd, bytes, 0, name).ok());
  const auto status = status_of(fd, name);
  ::unlink(name);
  {
    const MemoryChild child([] {
      map(0, 2, PROT_READ | PROT_WRITE, MAP_PRIVATE);
      touch(0, 'a');
      map(2, 6, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
      touch(4, 'c');
    });
    const Planned planned = plan(child, {{status.value().device, status.value().inode}});
    CHECK(planned.findings.empty());
    if (!CHECK_EQUAL(planned.mappings.size(), 1u)) return;
    CHECK(planned.mappings[0].record.source == image::MappingSource::Anonymous);
    CHECK_EQUAL(planned.mappings[0].record.length, 8 * kPageBytes);
    if (!CHECK_EQUAL(planned.pages.size(), 5 * kPageBytes)) return;
    CHECK_EQUAL(planned.pages[0], 'a');
    CHECK_EQUAL(planned.pages[3 * kPageBytes], 'i');
    CHECK_EQUAL(planned.pages[4 * kPageBytes], 'c');
    // To those who do not know it, it is a file without a name, saved by its content.
    const Planned unknown = plan(child);
    CHECK(unknown.findings.empty() && unknown.pages == planned.pages);
  }
  ::close(fd);
}

TEST(memory_files) {
  const MemoryChild child([] {
    const int fd = ::memfd_create("m", 0);
    (void)!::ftruncate(fd, 4 * kPageBytes);
    map(0, 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    touch(2, 'm');
    map(8, 4, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
    touch(9, 'p');
  });
  const Planned planned = plan(child);
  CHECK(planned.findings.empty());
  if (!CHECK(planned.mappings.size() == 2 && planned.shared.size() == 1)) return;
  const image::SharedMemory& memory = planned.shared[0];
  CHECK(memory.kind == image::SharedMemoryKind::Memfd);
  CHECK_EQUAL(memory.name, std::string("m"));
  if (!CHECK(memory.runs.size() == 1 && planned.mappings[1].record.runs.size() == 1)) return;
  CHECK_EQUAL(memory.runs[0].address, 2 * kPageBytes);
  CHECK_EQUAL(planned.pages[memory.runs[0].file_offset], 'm');
  CHECK_EQUAL(planned.mappings[1].record.object, memory.object);
  CHECK_EQUAL(planned.pages[planned.mappings[1].record.runs[0].file_offset], 'p');
}

}  // namespace
}  // namespace stasis::checkpoint
