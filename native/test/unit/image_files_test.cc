// Images as files: opening, verification and stamps, page files, commit. Each test works in a directory of its own
// under $TMPDIR.
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/scope_exit.h"
#include "image/files.h"
#include "test/check.h"
#include "test/image_samples.h"
#include "wire/layout.h"

namespace stasis::test {

namespace {

using namespace image;
namespace fs = std::filesystem;

class Scratch {
 public:
  Scratch() {
    std::string pattern = fs::temp_directory_path() / "stasis-unit-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~Scratch() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// A sample image on disk. Its own scratch directory, stamps included.
struct Fixture {
  Scratch scratch;
  std::string path = scratch / "image";
  std::string stamps = scratch / "verified";
  explicit Fixture(const char* name = "every-record") {
    const Status written = write_sample(sample(name), path);
    check(written.ok(), __FILE__, __LINE__, written.ok() ? "" : written.error().message());
  }
  Result<OpenedImage> open(Verification verification = Verification::Stamped) {
    return open_image(path, {stamps, verification});
  }
};

void flip_byte(const std::string& path, std::size_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  const char byte = static_cast<char>(file.get() ^ 1);
  file.seekp(at);
  file.put(byte);
}

// Waits until the clock of file systems is past the last change of the page file: a jiffy, 10 ms.
void next_tick(const std::string& image) {
  struct stat status{};
  CHECK(::stat((image + "/pages-0.raw").c_str(), &status) == 0);
  const std::int64_t changed = status.st_ctim.tv_sec * 1'000'000'000LL + status.st_ctim.tv_nsec;
  // The system's clock may also be set back a little while we are at it.
  for (int i = 0; i < 3000 && file_clock_ns() <= changed; ++i) {
    const timespec millisecond{0, 1'000'000};
    ::nanosleep(&millisecond, nullptr);
  }
}

bool expect_damaged(const Result<OpenedImage>& opened, const std::string& part, std::int64_t offset) {
  if (!CHECK(!opened.ok())) return false;
  const std::string message = opened.error().message();
  check(message.find(part) != std::string::npos, __FILE__, __LINE__, message + "\n    expected " + part);
  CHECK(opened.error().kind == ErrorKind::Damaged);
  return CHECK_EQUAL(opened.error().offset, offset);
}

TEST(files_image_is_opened_and_verified) {
  Fixture fixture;
  const auto opened = fixture.open();
  if (!CHECK(opened.ok())) return;
  CHECK_EQUAL(opened.value().page_files.size(), 1u);
  CHECK(opened.value().page_files[0].hashed);
  CHECK_EQUAL(opened.value().page_files[0].status.bytes, 3 * wire::kPageBytes);
  const int flags = ::fcntl(opened.value().page_files[0].fd.get(), F_GETFD);
  CHECK((flags & FD_CLOEXEC) != 0);
  CHECK(read_header(fixture.path).ok());
  CHECK(read_records(fixture.path).ok());
}

TEST(files_damage_is_found_with_its_place) {
  {
    Fixture f;
    flip_byte(f.path + "/pages-0.raw", 5000);
    expect_damaged(f.open(), "pages-0.raw", 0);
  }
  {
    Fixture f;
    flip_byte(f.path + "/image.stasis", 1000);
    expect_damaged(f.open(), "image.stasis", kHeaderBytes);
  }
  {
    Fixture f;
    fs::resize_file(f.path + "/pages-0.raw", 4096);
    expect_damaged(f.open(), "4096 bytes in place of 12288", 4096);
  }
  {
    Fixture f;
    fs::resize_file(f.path + "/image.stasis", 777);
    expect_damaged(f.open(), "truncated", 777);
  }
  {
    Fixture f;
    flip_byte(f.path + "/runtime", 3);
    expect_damaged(f.open(), "the checksum of the runtime", 0);
  }
}

TEST(files_missing_or_of_a_wrong_type_are_damaged) {
  for (const char* name : {"image.stasis", "pages-0.raw", "runtime"}) {
    Fixture f;
    const std::string path = f.path + "/" + name;
    fs::rename(path, path + ".away");
    expect_damaged(f.open(), "a file is missing", -1);
    fs::create_symlink(path + ".away", path);
    expect_damaged(f.open(), "not a regular file", -1);
    fs::remove(path);
    CHECK(::mkfifo(path.c_str(), 0600) == 0);
    expect_damaged(f.open(), "not a regular file", 0);
  }
  Scratch scratch;
  const auto absent = open_image(scratch / "absent", {});
  if (CHECK(!absent.ok())) CHECK(absent.error().kind == ErrorKind::NotFound);
  std::ofstream(scratch / "file") << "x";
  const auto file = open_image(scratch / "file", {});
  if (CHECK(!file.ok())) CHECK(file.error().kind == ErrorKind::Damaged);
}

TEST(files_stamp_spares_the_second_verification) {
  Fixture f;
  next_tick(f.path);
  CHECK(f.open().value().page_files[0].hashed);
  CHECK(!f.open().value().page_files[0].hashed);
  CHECK(f.open(Verification::Full).value().page_files[0].hashed);
  // Without a directory for stamps everything is read each time.
  CHECK(open_image(f.path, {}).value().page_files[0].hashed);
  // A write, even one that is undone and whose modification time is put back, shows in the change time.
  const auto modified = fs::last_write_time(f.path + "/pages-0.raw");
  next_tick(f.path);
  flip_byte(f.path + "/pages-0.raw", 9000);
  fs::last_write_time(f.path + "/pages-0.raw", modified);
  expect_damaged(f.open(), "the checksum of 12288 bytes of pages does not match", 0);
  expect_damaged(f.open(), "the checksum of 12288 bytes of pages does not match", 0);
}

TEST(files_stamp_belongs_to_the_records) {
  Fixture f;
  next_tick(f.path);
  const auto opened = f.open();
  if (!CHECK(opened.ok())) return;
  const std::uint64_t records = opened.value().image.header.records_checksum;
  CHECK(has_stamp(f.stamps, opened.value().page_files[0].status, records));
  CHECK(!has_stamp(f.stamps, opened.value().page_files[0].status, records + 1));
}

TEST(files_no_stamp_in_the_tick_of_the_last_change) {
  Scratch scratch;
  FileStatus status;
  status.changed_ns = file_clock_ns() + 1'000'000'000;
  leave_stamp(scratch / "verified", status, 1);
  CHECK(!has_stamp(scratch / "verified", status, 1));
}

TEST(files_opening_changes_nothing_in_the_image) {
  Fixture f;
  const auto names = [&] {
    std::string all;
    for (const auto& entry : fs::directory_iterator(f.path)) all += entry.path().filename().string() + " ";
    return all;
  };
  const std::string before = names();
  const auto written = fs::last_write_time(f.path);
  CHECK(f.open().ok());
  CHECK_EQUAL(names(), before);
  CHECK(fs::last_write_time(f.path) == written);
}

TEST(files_page_file_checksums_cover_every_chunk) {
  Scratch scratch;
  auto directory = open_directory(scratch / "", "opening a directory").value();
  auto writer = PageFileWriter::create(directory.get(), 7).value();
  std::vector<std::uint8_t> all;
  // Pieces that end inside, at and beyond the ends of chunks.
  for (const std::size_t pages : {1, 255, 256, 300, 700, 2}) {
    std::vector<std::uint8_t> piece(pages * wire::kPageBytes);
    for (std::size_t i = 0; i < piece.size(); ++i) piece[i] = static_cast<std::uint8_t>((i * 31 + all.size()) >> 3);
    writer.append_hole((pages - 1) * wire::kPageBytes);
    all.resize(all.size() + (pages - 1) * wire::kPageBytes);
    CHECK_EQUAL(writer.append(piece).value(), all.size());
    all.insert(all.end(), piece.begin(), piece.end());
  }
  std::vector<std::uint8_t> read(all.size());
  const UniqueFd file(::open((scratch / "pages-7.raw").c_str(), O_RDONLY | O_CLOEXEC));
  CHECK_EQUAL(read_at(file.get(), read, 0, "pages-7.raw").value(), all.size());
  CHECK(read == all);
  const PageFile record = writer.finish().value();
  CHECK_EQUAL(record.file_name, "pages-7.raw");
  CHECK_EQUAL(record.file_bytes, all.size());
  if (!CHECK_EQUAL(record.chunk_checksums.size(), (all.size() + kChunkBytes - 1) / kChunkBytes)) return;
  for (std::size_t i = 0; i < record.chunk_checksums.size(); ++i) {
    const auto rest = std::span(all).subspan(i * kChunkBytes);
    CHECK_EQUAL(record.chunk_checksums[i], checksum(rest.first(std::min<std::size_t>(rest.size(), kChunkBytes))));
  }
  CHECK(!PageFileWriter::create(directory.get(), 7).ok());
}

TEST(files_empty_page_file_has_no_chunks) {
  Scratch scratch;
  auto directory = open_directory(scratch / "", "opening a directory").value();
  const PageFile record = PageFileWriter::create(directory.get(), 0).value().finish().value();
  CHECK_EQUAL(record.file_bytes, 0u);
  CHECK(record.chunk_checksums.empty());
}

TEST(files_failed_write_says_what_to_do) {
  Scratch scratch;
  auto directory = open_directory(scratch / "", "opening a directory").value();
  auto writer = PageFileWriter::create(directory.get(), 0).value();
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{wire::kPageBytes, old.rlim_max};
  auto* handler = std::signal(SIGXFSZ, SIG_IGN);
  ScopeExit restore([&] {
    ::setrlimit(RLIMIT_FSIZE, &old);
    std::signal(SIGXFSZ, handler);
  });
  ::setrlimit(RLIMIT_FSIZE, &small);
  const auto written = writer.append(std::vector<std::uint8_t>(2 * wire::kPageBytes));
  if (!CHECK(!written.ok())) return;
  CHECK_EQUAL(written.error().error, EFBIG);
  CHECK_EQUAL(written.error().offset, static_cast<std::int64_t>(wire::kPageBytes));
  CHECK(!written.error().remedy.empty());
}

// /dev/full takes nothing: every write gives ENOSPC.
TEST(files_full_disk_says_what_to_do) {
  auto full = open_file_at(AT_FDCWD, "/dev/full", O_WRONLY, 0, "opening a device").value();
  const auto written = write_at(full.get(), std::vector<std::uint8_t>(10), 0, "/dev/full");
  if (!CHECK(!written.ok())) return;
  CHECK_EQUAL(written.error().error, ENOSPC);
  CHECK(written.error().message().find("free some space") != std::string::npos);
}

TEST(files_commit_never_replaces) {
  Fixture f;
  const Status second = write_sample(sample("smallest"), f.path);
  if (!CHECK(!second.ok())) return;
  CHECK(second.error().kind == ErrorKind::Busy);
  CHECK_EQUAL(f.open().value().image.header.image_bytes, fs::file_size(f.path + "/image.stasis"));
  CHECK(fs::exists(f.path + ".partial"));
}

TEST(files_commit_refuses_what_a_restore_would_refuse) {
  Scratch scratch;
  Sample broken = sample("smallest");
  broken.image.processes.front().threads.clear();
  const Status written = write_sample(broken, scratch / "image");
  if (!CHECK(!written.ok())) return;
  CHECK(written.error().kind == ErrorKind::Failed);
  CHECK(!fs::exists(scratch / "image"));
}

TEST(files_runtime_is_copied_with_its_checksum) {
  Scratch scratch;
  const std::string content(600'000, 'r');
  std::ofstream(scratch / "source", std::ios::binary) << content;
  fs::create_directory(scratch / "partial");
  auto directory = open_directory(scratch / "partial", "opening a directory").value();
  Runtime runtime;
  CHECK(add_runtime(directory.get(), scratch / "source", runtime).ok());
  CHECK_EQUAL(runtime.file_bytes, content.size());
  CHECK_EQUAL(runtime.file_checksum, checksum({reinterpret_cast<const std::uint8_t*>(content.data()), content.size()}));
  CHECK_EQUAL(fs::file_size(scratch / "partial/runtime"), content.size());
  CHECK(!add_runtime(directory.get(), scratch / "absent", runtime).ok());
}

TEST(files_zero_pages_are_recognised) {
  std::vector<std::uint8_t> page(wire::kPageBytes + 1);
  CHECK(is_zero_page(page.data()));
  CHECK(is_zero_page(page.data() + 1));
  for (std::size_t at : {std::size_t{0}, std::size_t{7}, std::size_t{8}, std::size_t{2000}, wire::kPageBytes - 1}) {
    page[at] = 1;
    CHECK(!is_zero_page(page.data()));
    page[at] = 0;
  }
}

}  // namespace

}  // namespace stasis::test
