#include "test/image_samples.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>

#include "image/files.h"
#include "wire/layout.h"

namespace stasis::test {

namespace {

using namespace image;

constexpr std::uint64_t kPage = wire::kPageBytes;
constexpr char kBuildId[] = "00112233445566778899aabbccddeeff01234567";

std::vector<std::uint8_t> pattern(std::size_t bytes, std::uint64_t seed) {
  std::vector<std::uint8_t> out(bytes);
  for (auto& byte : out) {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;  // Knuth's MMIX generator
    byte = static_cast<std::uint8_t>(seed >> 56);
  }
  return out;
}

std::vector<std::uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

// An XSAVE area as the processor leaves it: x87 and SSE at their initial values, and `states` announced.
std::vector<std::uint8_t> xsave_area(std::size_t bytes, std::uint64_t states) {
  std::vector<std::uint8_t> area(bytes);
  const std::uint16_t control_word = 0x37f;
  const std::uint32_t mxcsr = 0x1f80;
  std::memcpy(area.data(), &control_word, sizeof control_word);
  std::memcpy(area.data() + 24, &mxcsr, sizeof mxcsr);
  std::memcpy(area.data() + 512, &states, sizeof states);
  return area;
}

std::vector<std::uint8_t> siginfo(std::uint32_t signal, std::int32_t code) {
  std::vector<std::uint8_t> info(128);
  std::memcpy(info.data(), &signal, sizeof signal);
  std::memcpy(info.data() + 8, &code, sizeof code);
  return info;
}

Thread thread(std::int32_t tid, const std::string& name, std::size_t xsave_bytes, std::uint64_t states) {
  Thread t;
  t.tid = tid;
  t.name = name;
  t.registers.rip = 0x401000;
  t.registers.rsp = 0x7ffd00001ff0;
  t.registers.eflags = 0x246;
  t.xsave = xsave_area(xsave_bytes, states);
  t.altstack_flags = 2;
  return t;
}

Image smallest_image() {
  Image i;
  i.header.created_ns = 1'700'000'000'123'456'789;
  i.header.runtime_build_id = kBuildId;
  i.header.kernel_release = "6.1.0-13-amd64";
  i.header.creator = "0.1.0";
  i.header.cpu = {.leaf1_ecx = 0x7efa3203,
                  .leaf1_edx = 0x078bfbff,
                  .leaf7_ebx = 0x219c91a9,
                  .leaf7_ecx = 0x40069c,
                  .leaf7_edx = 0xac004410,
                  .extended_ecx = 0x75c237ff,
                  .xcr0 = 7};
  i.runtime.build_id = kBuildId;
  i.runtime.descriptor_version = 1;
  i.runtime.vdso_address = wire::kOwnVdsoAddress;
  i.process.pid = i.process.group_id = i.process.session_id = 4711;
  i.process.parent_pid = 4710;
  i.process.exe_path = "/usr/bin/sleep";
  i.process.cwd = "/";
  i.process.umask = 022;
  i.threads.push_back(thread(4711, "sleep", 576, 3));
  return i;
}

void add_memory(Image& i) {
  i.process.arguments = {"server", "--port=8080", "", "caf\xc3\xa9", "stray \xff byte"};
  i.memory = {.start_code = 0x400000,
              .end_code = 0x4f0000,
              .start_data = 0x6f0000,
              .end_data = 0x700000,
              .start_brk = 0x1000000,
              .brk = 0x1021000,
              .start_stack = 0x7ffd00001ff0,
              .arg_start = 0x7ffd00001f00,
              .arg_end = 0x7ffd00001f20,
              .env_start = 0x7ffd00001f20,
              .env_end = 0x7ffd00001fe0,
              .auxv = pattern(32, 1)};
  Mapping text;
  text.address = 0x400000;
  text.length = 0xf0000;
  text.protection = 5;
  text.source = MappingSource::File;
  text.path = "/usr/bin/server";
  text.file_bytes = 1'234'567;
  text.file_modified_ns = 1'600'000'000'000'000'001;
  text.file_build_id = "cafe0123456789abcdef";
  Mapping heap;
  heap.address = 0x1000000;
  heap.length = 0x21000;
  heap.protection = 3;
  heap.advice = kAdviceDontFork | kAdviceRandom;
  heap.runs = {{0x1000000, kPage, 0, kPage}, {0x1010000, kPage, 0, 0}};
  Mapping shared = text;
  shared.address = 0x7f0000000000;
  shared.length = 2 * kPage;
  shared.shared = true;
  shared.protection = 3;
  shared.path = "/var/lib/server/data";
  shared.file_offset = 16 * kPage;
  shared.file_build_id.clear();
  Mapping stack;
  stack.address = 0x7ffd00000000;
  stack.length = 2 * kPage;
  stack.protection = 3;
  stack.traits = kMappingGrowsDown | kMappingLocked;
  stack.runs = {{0x7ffd00001000, kPage, 0, 2 * kPage}};
  i.mappings = {text, heap, shared, stack};
}

void add_threads(Image& i) {
  i.threads[0] = thread(4711, "server", 832, 7);
  Thread& main = i.threads[0];
  main.registers = {.r15 = 1,
                    .r14 = 2,
                    .r13 = 3,
                    .r12 = 4,
                    .rbp = 5,
                    .rbx = 6,
                    .r11 = 7,
                    .r10 = 8,
                    .r9 = 9,
                    .r8 = ~0ull,
                    .rax = 232,
                    .rcx = 12,
                    .rdx = 13,
                    .rsi = 14,
                    .rdi = 15,
                    .rip = 0x401234,
                    .eflags = 0x246,
                    .rsp = 0x7ffd00001f00,
                    .fs_base = 0x7f0000100000,
                    .gs_base = 0};
  main.clear_child_tid = 0x7f00001002d0;
  main.tid_word = 0x7f00001002d0;
  main.robust_list = 0x7f00001002e0;
  main.robust_list_bytes = 24;
  main.rseq_address = 0x7f00001009a0;
  main.rseq_bytes = 32;
  main.rseq_signature = 0x53053053;
  Thread worker = thread(4712, "worker-1", 832, 7);
  worker.signal_mask = 0xffff'ffff'7fff'feff;
  worker.altstack_address = 0x7f0000200000;
  worker.altstack_bytes = 16 * kPage;
  worker.altstack_flags = 0x80000000;
  i.threads.push_back(worker);
  i.actions = {{1, 1, 0, 0, 0}, {15, 0x401500, 0x14000004, 0x401600, 0x4000}};
  i.queued_signals = {{0, 10, siginfo(10, 0)}, {4712, 34, siginfo(34, -1)}};
  i.itimers.values = {1, 500'000, 0, 250'000, 0, 0, 0, 0, 0, 0, 3600, 999'999};
  i.clock = {86'400'000'000'000, 172'800'000'000'000, 1'700'000'000'123'456'789};
}

void add_fds(Image& i) {
  i.stdio = {{{{0, false}}, 0}, {{{1, false}, {2, false}}, 1}};
  i.open_files = {{{{3, true}}, "/var/log/server.log", 02001, 4096, 0100000, 4096, 1'650'000'000'000'000'000},
                  {{{4, false}, {5, true}}, "/dev/null", 2, -1, 0020000, 0, 0}};
  i.pipes = {{{{6, true}}, {{7, true}}, 04000, 04001, 65536, bytes_of("in flight")},
             {{{8, false}}, {}, 0, 0, 4096, {}}};
  i.socket_pairs = {{{{9, false}}, {{10, true}}, 1, 2, 04002, bytes_of("to first"), bytes_of("to second")}};
  i.eventfds = {{{{11, true}}, 0xffff'ffff'ffff'fffe, false, 04002}, {{{12, false}}, 3, true, 2}};
  i.timerfds = {{{{13, true}}, 1, 04000, 1, 2, 1'000'000'000, 250'000'000}};
  i.epolls = {{{{14, true}}, 2, {{6, 1, 6}, {11, 0x80000001, 0xfeedfacecafebeef}}}};
  std::vector<std::uint8_t> inet = {2, 0, 0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0};
  std::vector<std::uint8_t> local = {1, 0};
  for (const char c : std::string("/run/server.sock")) local.push_back(static_cast<std::uint8_t>(c));
  local.push_back(0);
  i.listening_sockets = {{{{15, true}}, 2, 1, 6, 04002, 511, 1, inet, "127.0.0.1:8080"},
                         {{{1'048'575, false}}, 1, 1, 0, 2, 128, 64, local, "/run/server.sock"}};
}

// Fills in what depends on the content of the other files.
Sample complete(const char* name, Image i, std::vector<std::uint8_t> pages) {
  Sample s{name, std::move(i), std::move(pages), bytes_of("A stand-in for the runtime's file.\n")};
  s.image.runtime.file_bytes = s.runtime.size();
  s.image.runtime.file_checksum = checksum(s.runtime);
  if (!s.pages.empty()) s.image.page_files = {{"pages-0.raw", s.pages.size(), kChunkBytes, {checksum(s.pages)}}};
  return s;
}

}  // namespace

std::vector<Sample> samples() {
  Image full = smallest_image();
  add_memory(full);
  add_threads(full);
  add_fds(full);
  Image unknown = smallest_image();
  unknown.unknown = {{200, 0, "weather", bytes_of("sunny")}, {201, 0, "sixteen-byte-nam", {}}};
  Image known = smallest_image();
  known.known_ids = {{{4000, 4713, 4'194'303}}};
  std::vector<Sample> all;
  all.push_back(complete("smallest", smallest_image(), {}));
  all.push_back(complete("every-record", std::move(full), pattern(3 * kPage, 7)));
  all.push_back(complete("known-ids", std::move(known), {}));
  all.push_back(complete("unknown-record", std::move(unknown), {}));
  return all;
}

const Sample& sample(const std::string& name) {
  static const std::vector<Sample> all = samples();
  for (const Sample& s : all) {
    if (name == s.name) return s;
  }
  STASIS_CHECK(!"a sample of that name");
}

Status write_sample(const Sample& sample, const std::string& path) {
  const std::string partial = path + ".partial";
  if (::mkdir(partial.c_str(), 0700) != 0) return Error::of_errno("mkdir", "making a directory").with_path(partial);
  auto directory = STASIS_TRY(open_directory(partial, "opening a directory"));
  if (!sample.pages.empty()) {
    auto writer = STASIS_TRY(PageFileWriter::create(directory.get(), 0));
    STASIS_TRY(writer.append(sample.pages));
    STASIS_TRY(writer.finish());
  }
  STASIS_TRY(replace_file_at(directory.get(), kRuntimeFileName, sample.runtime, 0600));
  STASIS_TRY(commit_image(sample.image, partial, path));
  return {};
}

}  // namespace stasis::test
