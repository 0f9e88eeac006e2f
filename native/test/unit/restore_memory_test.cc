// The memory plan: order, no overlaps, final protections, what is copied, where given-up pages come from, advice in
// rows.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "os/build_id.h"
#include "os/file.h"
#include "restore/builders.h"
#include "test/check.h"
#include "wire/layout.h"

namespace stasis::test {

namespace {

using namespace image;
using restore::PlanBuilder;
using wire::MapEntry;
using wire::MapKind;

constexpr std::uint64_t kPage = wire::kPageBytes;
constexpr std::uint64_t kBase = 0x10000000;

Mapping anonymous(std::uint64_t first_page, std::uint64_t pages, std::uint32_t protection) {
  Mapping mapping;
  mapping.address = kBase + first_page * kPage;
  mapping.length = pages * kPage;
  mapping.protection = protection;
  return mapping;
}

void add_run(Mapping& mapping, std::uint64_t page, std::uint64_t pages, std::uint64_t file_page) {
  mapping.runs.push_back({.address = mapping.address + page * kPage,
                          .length = pages * kPage,
                          .page_file = 0,
                          .file_offset = file_page * kPage});
}

struct Planned {
  PlanBuilder plan;
  Status status;
};

Image image_with(std::vector<Mapping> mappings) {
  Image image;
  image.processes.emplace_back();
  image.page_files.push_back(
      {.file_name = "pages-0.raw", .file_bytes = 1 << 20, .chunk_bytes = kChunkBytes, .chunk_checksums = {}});
  image.processes[0].mappings = std::move(mappings);
  return image;
}

Planned plan_for(std::vector<Mapping> mappings) {
  Planned planned;
  restore::PreparedRestore prepared;
  restore::RestoreInputs inputs;
  inputs.page_files.push_back({.path = "/", .device = 1, .inode = 2});
  const Image image = image_with(std::move(mappings));
  restore::MappedFiles mapped_files(inputs.settled_files, inputs.missing_files);
  planned.status =
      plan_memory(image, image.first(), inputs, restore::GroupBuilder(), mapped_files, planned.plan, prepared);
  return planned;
}

std::string describe(const std::vector<MapEntry>& maps) {
  std::string text;
  for (const MapEntry& entry : maps) {
    static constexpr const char* kNames[] = {"?", "anonymous", "file", "image", "copy", "protect", "advise", "lock"};
    text += std::string(kNames[static_cast<int>(entry.kind)]) + " " + std::to_string((entry.address - kBase) / kPage) +
            "+" + std::to_string(entry.length / kPage) + " " + std::to_string(entry.protection) + "\n";
  }
  return text;
}

// A file of the given pages that goes away with the test.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::uint64_t pages) {
    const int fd = ::mkstemp(path_);
    CHECK(fd >= 0);
    CHECK(::ftruncate(fd, static_cast<off_t>(pages * kPage)) == 0);
    auto status = status_of(fd, path_);
    if (CHECK(status.ok())) status_ = status.value();
    ::close(fd);
  }
  ~TemporaryFile() { ::unlink(path_); }
  const char* path() const { return path_; }
  Mapping mapping(std::uint64_t first_page, std::uint64_t pages, std::uint32_t protection) const {
    Mapping mapping = anonymous(first_page, pages, protection);
    mapping.source = MappingSource::File;
    mapping.path = path_;
    mapping.file_bytes = status_.bytes;
    mapping.file_modified_ns = status_.modified_ns;
    return mapping;
  }

 private:
  char path_[32] = "/tmp/stasis-unit-XXXXXX";
  FileStatus status_;
};

}  // namespace

TEST(memory_plan_maps_stored_pages_between_anonymous_pieces) {
  Mapping mapping = anonymous(0, 10, PROT_READ | PROT_WRITE);
  add_run(mapping, 2, 3, 7);
  add_run(mapping, 8, 2, 0);
  Planned planned = plan_for({mapping});
  CHECK(planned.status.ok());
  CHECK_EQUAL(describe(planned.plan.maps), "anonymous 0+2 3\nimage 2+3 3\nanonymous 5+3 3\nimage 8+2 3\n");
  CHECK_EQUAL(planned.plan.maps[1].file_offset, 7 * kPage);
  CHECK_EQUAL(planned.plan.image_ranges.size(), 2u);
  CHECK_EQUAL(planned.plan.image_ranges[1].first_bit, 3u);
  CHECK_EQUAL(planned.plan.image_ranges[1].backing, wire::kNoFile);
  CHECK_EQUAL(planned.plan.plan.image_pages, 5u);
}

TEST(memory_plan_joins_neighbours_that_are_alike) {
  Mapping first = anonymous(0, 4, PROT_READ), second = anonymous(4, 4, PROT_READ),
          third = anonymous(8, 4, PROT_READ | PROT_EXEC);
  add_run(first, 0, 4, 0);
  add_run(second, 0, 4, 4);
  add_run(third, 0, 4, 8);
  Planned planned = plan_for({first, second, third});
  CHECK_EQUAL(describe(planned.plan.maps), "image 0+8 1\nimage 8+4 5\n");
  CHECK_EQUAL(planned.plan.image_ranges.size(), 1u);
}

TEST(memory_plan_does_not_join_runs_that_are_apart_in_the_file) {
  Mapping mapping = anonymous(0, 4, PROT_READ | PROT_WRITE);
  add_run(mapping, 0, 2, 0);
  add_run(mapping, 2, 2, 5);
  Planned planned = plan_for({mapping});
  CHECK_EQUAL(describe(planned.plan.maps), "image 0+2 3\nimage 2+2 3\n");
  CHECK_EQUAL(planned.plan.image_ranges.size(), 1u);
}

TEST(memory_plan_keeps_a_reserved_range_in_one_piece) {
  Mapping mapping = anonymous(0, std::uint64_t{1} << 30, PROT_NONE);
  mapping.traits = kMappingNoReserve;
  Planned planned = plan_for({mapping});
  CHECK_EQUAL(planned.plan.maps.size(), 1u);
  CHECK_EQUAL(planned.plan.maps[0].flags, static_cast<std::uint32_t>(MAP_PRIVATE | MAP_NORESERVE));
}

TEST(memory_plan_copies_what_cannot_be_a_file_mapping) {
  Mapping stack = anonymous(0, 8, PROT_READ | PROT_WRITE), wiped = anonymous(16, 2, PROT_READ),
          shared = anonymous(32, 2, PROT_READ | PROT_WRITE);
  stack.traits = kMappingGrowsDown;
  wiped.advice = kAdviceWipeOnFork;
  shared.shared = true;
  for (Mapping* mapping : {&stack, &wiped, &shared}) add_run(*mapping, 1, 1, 0);
  Planned planned = plan_for({stack, wiped, shared});
  CHECK_EQUAL(describe(planned.plan.maps),
              "anonymous 0+8 3\ncopy 1+1 0\n"
              "anonymous 16+2 3\ncopy 17+1 0\nprotect 16+2 1\n"
              "anonymous 32+2 3\ncopy 33+1 0\n"
              "advise 16+2 0\n");
  CHECK((planned.plan.maps[0].flags & MAP_GROWSDOWN) != 0);
  CHECK((planned.plan.maps[5].flags & MAP_SHARED) != 0);
  CHECK(planned.plan.image_ranges.empty());
}

TEST(memory_plan_tells_which_file_lies_under_changed_pages) {
  TemporaryFile file(8);
  Mapping mapping = file.mapping(0, 4, PROT_READ | PROT_WRITE);
  mapping.file_offset = 2 * kPage;
  add_run(mapping, 1, 1, 0);
  Planned planned = plan_for({mapping});
  if (!CHECK(planned.status.ok())) return;
  CHECK_EQUAL(describe(planned.plan.maps), "file 0+1 3\nimage 1+1 3\nfile 2+2 3\n");
  CHECK_EQUAL(planned.plan.maps[2].file_offset, 4 * kPage);
  const wire::ImageRange& range = planned.plan.image_ranges[0];
  CHECK_EQUAL(range.backing, planned.plan.maps[0].file);
  CHECK_EQUAL(range.backing_offset, 3 * kPage);
  CHECK_EQUAL(planned.plan.files.size(), 2u);
}

TEST(memory_plan_gives_advice_in_rows) {
  std::vector<Mapping> mappings;
  for (std::uint64_t page : {0, 2, 4, 6}) mappings.push_back(anonymous(page, 1, PROT_READ));
  for (std::size_t i : {0, 1, 3}) mappings[i].advice = kAdviceDontFork;
  mappings.push_back(anonymous(0, 1, PROT_READ));
  mappings.back().address = wire::kWindowEnd;
  mappings.back().advice = kAdviceDontFork;
  Planned planned = plan_for(mappings);
  std::vector<MapEntry> advice;
  for (const MapEntry& entry : planned.plan.maps) {
    if (entry.kind == MapKind::Advise) advice.push_back(entry);
  }
  if (!CHECK_EQUAL(advice.size(), 3u)) return;
  CHECK_EQUAL(advice[0].length, 3 * kPage);  // the first two, and the hole between
  CHECK_EQUAL(advice[1].address, kBase + 6 * kPage);
  CHECK_EQUAL(advice[1].length, kPage);
  CHECK_EQUAL(advice[2].address, wire::kWindowEnd);
}

TEST(memory_plan_refuses_mapped_files_that_changed) {
  TemporaryFile file(4);
  Mapping mapping = file.mapping(0, 4, PROT_READ);
  mapping.file_modified_ns -= 1;
  Planned modified = plan_for({mapping});
  if (CHECK(!modified.status.ok())) {
    CHECK(modified.status.error().kind == ErrorKind::Incompatible);
    CHECK_EQUAL(modified.status.error().path, file.path());
  }
  mapping = file.mapping(0, 4, PROT_READ);
  CHECK(::truncate(file.path(), kPage) == 0);
  CHECK(!plan_for({mapping}).status.ok());
  CHECK(::unlink(file.path()) == 0);
  Planned gone = plan_for({mapping});
  if (CHECK(!gone.status.ok())) CHECK(gone.status.error().kind == ErrorKind::Incompatible);
}

TEST(memory_plan_accepts_the_same_build_at_another_time) {
  Mapping mapping = anonymous(0, 1, PROT_READ);
  mapping.source = MappingSource::File;
  mapping.path = "/proc/self/exe";
  auto exe = open_file_at(AT_FDCWD, mapping.path, O_RDONLY, 0, "opening the test");
  if (!CHECK(exe.ok())) return;
  mapping.file_bytes = status_of(exe.value().get(), mapping.path).value().bytes;
  mapping.file_modified_ns = 1;
  mapping.file_build_id = build_id_of(exe.value().get());
  CHECK(mapping.file_build_id.empty() || plan_for({mapping}).status.ok());
  mapping.file_build_id = "00";
  CHECK(!plan_for({mapping}).status.ok());
}

}  // namespace stasis::test
