// The working set: what is believed of its file, and what of it gets into the plan.
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "restore/working_set.h"
#include "test/check.h"
#include "wire/layout.h"
#include "wire/working_set.h"

namespace stasis::test {

namespace {

namespace fs = std::filesystem;
using wire::WorkingSetRange;

constexpr std::uint64_t kPage = wire::kPageBytes;
constexpr std::uint64_t kBase = 0x10000000;
constexpr std::uint64_t kChecksum = 7;

struct Fixture {
  std::string directory;
  FileStatus page_file{.device = 1, .inode = 2, .bytes = 3 * kPage, .mode = S_IFREG, .modified_ns = 5, .changed_ns = 6};

  Fixture() {
    std::string pattern = fs::temp_directory_path() / "stasis-unit-XXXXXX";
    directory = ::mkdtemp(pattern.data());
  }
  ~Fixture() { fs::remove_all(directory); }

  std::string path() const { return restore::working_set_path(directory, page_file); }

  wire::WorkingSetHeader header(std::uint64_t count) const {
    wire::WorkingSetHeader header{.magic = wire::kWorkingSetMagic, .count = count, .stamp = {}};
    std::strncpy(header.stamp, image::stamp_text(page_file, kChecksum).c_str(), sizeof header.stamp - 1);
    return header;
  }

  void write(const wire::WorkingSetHeader& header, const std::vector<WorkingSetRange>& ranges) const {
    std::ofstream file(path(), std::ios::binary);
    file.write(reinterpret_cast<const char*>(&header), sizeof header);
    file.write(reinterpret_cast<const char*>(ranges.data()),
               static_cast<std::streamsize>(ranges.size() * sizeof(WorkingSetRange)));
  }
  void write(const std::vector<WorkingSetRange>& ranges) const { write(header(ranges.size()), ranges); }

  std::vector<WorkingSetRange> read() const { return restore::read_working_set(directory, page_file, kChecksum); }

  // Not believed, and removed.
  bool is_rejected() const { return CHECK(read().empty()) && CHECK(!fs::exists(path())); }
};

std::string describe(const std::vector<WorkingSetRange>& ranges) {
  std::string text;
  for (const WorkingSetRange& range : ranges)
    text += std::to_string((range.address - kBase) / kPage) + "+" + std::to_string(range.pages) + " ";
  return text;
}

void add_map(restore::PlanBuilder& plan, std::uint64_t page, std::uint64_t pages, wire::MapKind kind,
             std::uint32_t protection) {
  wire::MapEntry entry{};
  entry.address = kBase + page * kPage;
  entry.length = pages * kPage;
  entry.protection = protection;
  entry.kind = kind;
  plan.maps.push_back(entry);
}

}  // namespace

TEST(working_set_is_read) {
  Fixture f;
  CHECK(f.read().empty());
  f.write({{kBase, 1}, {kBase + kPage, 2}, {kBase + 9 * kPage, 1}});
  CHECK_EQUAL(describe(f.read()), "0+1 1+2 9+1 ");
  CHECK(fs::exists(f.path()));
}

TEST(working_set_belongs_to_one_state_of_the_page_file) {
  Fixture f;
  f.write({{kBase, 1}});
  f.page_file.changed_ns++;
  f.is_rejected();
  f.write({{kBase, 1}});
  CHECK(restore::read_working_set(f.directory, f.page_file, kChecksum + 1).empty());
  CHECK(!fs::exists(f.path()));
}

TEST(working_set_of_another_make_is_rejected) {
  Fixture f;
  auto header = f.header(1);
  header.magic++;
  f.write(header, {{kBase, 1}});
  f.is_rejected();
  for (std::uint64_t count : {0ul, 2ul, wire::kWorkingSetMaxRanges + 1, ~0ul}) {
    f.write(f.header(count), {{kBase, 1}});
    f.is_rejected();
  }
  std::memset(header.stamp, 'x', sizeof header.stamp);
  header.magic--;
  f.write(header, {{kBase, 1}});
  f.is_rejected();
  std::ofstream(f.path()) << "short";
  f.is_rejected();
}

TEST(working_set_of_impossible_pages_is_rejected) {
  Fixture f;
  const std::vector<std::vector<WorkingSetRange>> cases = {
      {{kBase + 1, 1}},                                               // not a page
      {{kBase, 0}},                                                   // nothing
      {{0, 1}},                                                       // page zero
      {{kBase, 2}, {kBase + kPage, 1}},                               // overlap
      {{kBase + kPage, 1}, {kBase, 1}},                               // order
      {{kBase, wire::kWorkingSetMaxPages + 1}},                       // too many
      {{kBase, wire::kWorkingSetMaxPages}, {kBase + 0x10000000, 1}},  // too many in all
      {{kBase, ~0ul / kPage}},                                        // wraps around
      {{wire::kUserTop - kPage, 2}},                                  // past the end
      {{~0ul - kPage + 1, 1}},                                        // not the user's
  };
  for (const auto& ranges : cases) {
    f.write(ranges);
    f.is_rejected();
  }
}

TEST(working_set_is_cut_to_writable_pages_of_the_image) {
  using wire::MapKind;
  restore::PlanBuilder plan;
  constexpr std::uint32_t kWritable = PROT_READ | PROT_WRITE;
  add_map(plan, 0, 4, MapKind::Image, kWritable);
  add_map(plan, 4, 2, MapKind::Anonymous, kWritable);
  add_map(plan, 6, 2, MapKind::Image, PROT_READ);
  add_map(plan, 8, 2, MapKind::File, kWritable);
  add_map(plan, 10, 4, MapKind::Image, kWritable);
  add_map(plan, 14, 4, MapKind::Image, kWritable);
  add_map(plan, 0, 18, MapKind::Advise, kWritable);
  restore::plan_working_set({{kBase + kPage, 1},
                             {kBase + 2 * kPage, 10},
                             {kBase + 13 * kPage, 2},
                             {kBase + 17 * kPage, 9},
                             {kBase + 50 * kPage, 1}},
                            plan);
  CHECK_EQUAL(describe(plan.working_set), "1+1 2+2 10+2 13+1 14+1 17+1 ");
}

}  // namespace stasis::test
