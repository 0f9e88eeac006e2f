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
  ProcessImage& section = i.processes.emplace_back();
  section.process.pid = section.process.group_id = section.process.session_id = 4711;
  section.process.parent_pid = 4710;
  section.process.exe_path = "/usr/bin/sleep";
  section.process.cwd = "/";
  section.process.umask = 022;
  section.threads.push_back(thread(4711, "sleep", 576, 3));
  return i;
}

void add_memory(ProcessImage& i) {
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
  text.file_inode = 4'711;
  text.file_changed_ns = 1'600'000'000'000'000'002;
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
  shared.file_checksum = 0xfedcba9876543210;
  Mapping stack;
  stack.address = 0x7ffd00000000;
  stack.length = 2 * kPage;
  stack.protection = 3;
  stack.traits = kMappingGrowsDown | kMappingLocked;
  stack.runs = {{0x7ffd00001000, kPage, 0, 2 * kPage}};
  i.mappings = {text, heap, shared, stack};
}

void add_threads(ProcessImage& i) {
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
  main.wait_ns = 1'500'000'000;
  Thread worker = thread(4712, "worker-1", 832, 7);
  worker.signal_mask = 0xffff'ffff'7fff'feff;
  worker.altstack_address = 0x7f0000200000;
  worker.altstack_bytes = 16 * kPage;
  worker.altstack_flags = 0x80000000;
  i.threads.push_back(worker);
  i.actions = {{1, 1, 0, 0, 0}, {15, 0x401500, 0x14000004, 0x401600, 0x4000}};
  i.queued_signals = {{0, 10, siginfo(10, 0)}, {4712, 34, siginfo(34, -1)}};
  i.itimers.values = {1, 500'000, 0, 250'000, 0, 0, 0, 0, 0, 0, 3600, 999'999};
}

void add_objects(Image& i) {
  OpenFile log, null;
  log.path = "/var/log/server.log";
  log.flags = 02001;
  log.position = 4096;
  log.file_type = 0100000;
  log.file_bytes = 4096;
  log.file_modified_ns = 1'650'000'000'000'000'000;
  null.path = "/dev/null";
  null.flags = 2;
  null.file_type = 0020000;
  OpenFile memfd = log;
  memfd.path = "/memfd:ring";
  memfd.memory = 16;
  log.flock = 2;
  log.locks = {{-1, LockKind::Description, 1, 2, 3}};
  log.signal = 37;
  i.open_files = {log, null, memfd};
  i.stdio = {{.stream = 0}, {.stream = 1}};
  i.stdio[1].settings.assign(44, 3);
  i.stdio[1].foreground_group = 4712;
  i.pipes = {{.read_flags = 04000, .write_flags = 04001, .capacity = 65536, .data = bytes_of("in flight")},
             {.capacity = 4096,
              .data = bytes_of("packets"),
              .packets = {{4, true}, {3, false}},
              .more_flags = {2},
              .fifo_path = "/run/fifo"}};
  i.socket_pairs = {
      {.socket_type = 1,
       .first_flags = 2,
       .second_flags = 04002,
       .to_first = bytes_of("to first"),
       .messages_to_second = {{.data = bytes_of("to second")}, {.data = bytes_of("!"), .rights = {{6, 0}, {1, 0}}}},
       .second_options = {{1, 16, {1, 0, 0, 0}}},
       .first_shutdown = 2,
       .second_shutdown = 1}};
  i.eventfds = {{.count = 0xffff'ffff'ffff'fffe, .flags = 04002}, {.count = 3, .semaphore = true, .flags = 2}};
  i.timerfds = {{.clock_id = 1,
                 .flags = 04000,
                 .settime_flags = 1,
                 .ticks = 2,
                 .interval_ns = 1'000'000'000,
                 .remaining_ns = 250'000'000}};
  i.epolls = {{.flags = 2, .targets = {{6, 1, 6, 6, 0}, {11, 0x80000001, 0xfeedfacecafebeef, 9, 0}}}};
  std::vector<std::uint8_t> inet = {2, 0, 0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0};
  std::vector<std::uint8_t> local = {1, 0};
  for (const char c : std::string("/run/server.sock")) local.push_back(static_cast<std::uint8_t>(c));
  local.push_back(0);
  ListeningSocket tcp, file;
  tcp.family = 2;
  tcp.socket_type = 1;
  tcp.protocol = 6;
  tcp.flags = 04002;
  tcp.backlog = 511;
  tcp.options = 1;
  tcp.address = inet;
  tcp.printable = "127.0.0.1:8080";
  file.family = file.socket_type = 1;
  file.flags = 2;
  file.backlog = 128;
  file.options = 64;
  file.address = local;
  file.printable = "/run/server.sock";
  i.listening_sockets = {tcp, file};
  TcpConnection connection;
  connection.first_name = inet;
  connection.first_name[3] = 0x91;
  connection.second_name = inet;
  connection.first_flags = 04002;
  connection.second_flags = 2;
  connection.first_options = {{6, 1, {1, 0, 0, 0}}};
  connection.second_options = {{1, 2, {0, 0, 0, 0}}};
  connection.to_first = {'a', 'b'};
  connection.second_shutdown = 2;
  connection.printable = "127.0.0.1:8081 to 127.0.0.1:8080";
  TcpConnection reset;
  reset.family = 2;
  reset.second_reset = true;
  TcpConnection kept = connection;
  kept.first_name[3] = 0x92;
  kept.to_second = bytes_of("to the peer");
  kept.first_shutdown = 1;
  kept.second_shutdown = 0;
  kept.printable = "127.0.0.1:8082 to 127.0.0.1:8080";
  kept.kept = {{.send_sequence = 0xffff'fff0,
                .receive_sequence = 12,
                .unsent = 4,
                .segment = 1460,
                .options = 7,
                .send_scale = 7,
                .receive_scale = 14,
                .timestamp = 99,
                .reuse_address = true,
                .window = {1, 2, 3, 4, 5}}};
  i.tcp_connections = {connection, reset, kept};
  Socket udp;
  udp.family = 2;
  udp.socket_type = 2;
  udp.protocol = 17;
  udp.flags = 2;
  udp.name = inet;
  udp.messages = {{.data = {'x'}, .from = inet}, {.from = inet}};
  udp.options = {{1, 6, {1, 0, 0, 0}}};
  udp.printable = "127.0.0.1:8080";
  Socket waiting;
  waiting.family = waiting.socket_type = 1;
  waiting.flags = 2;
  waiting.peer_name = local;
  waiting.keep_name = true;
  waiting.directory = "/run";
  i.sockets = {udp, waiting};
  i.inotifies = {{.flags = 04000, .watches = {{1, "/etc/server.conf", 2}, {3, "/run", 0x80000100}}}};
  i.shared_memory = {{.kind = SharedMemoryKind::Anonymous, .bytes = 8 * kPage, .runs = {{4 * kPage, kPage, 0, 0}}},
                     {.kind = SharedMemoryKind::Memfd, .name = "ring", .bytes = 4097, .mode = 0600, .seals = 6}};
  std::uint32_t object = 1;
  for (auto& record : i.open_files) record.object = object++;
  for (auto& record : i.stdio) record.object = object++;
  for (auto& record : i.pipes) record.object = object++;
  for (auto& record : i.socket_pairs) record.object = object++;
  for (auto& record : i.eventfds) record.object = object++;
  for (auto& record : i.timerfds) record.object = object++;
  for (auto& record : i.epolls) record.object = object++;
  for (auto& record : i.listening_sockets) record.object = object++;
  i.shared_memory[0].object = object++;
  i.shared_memory[1].object = object++;
  for (auto& record : i.tcp_connections) record.object = object++;
  for (auto& record : i.sockets) record.object = object++;
  for (auto& record : i.inotifies) record.object = object++;
}

// What each number of the first process stands for: objects 1 and 2 are files, 4 and 5 streams, 6 and 7 pipes, 8 a pair.
void add_descriptors(ProcessImage& i) {
  i.descriptors.numbers = {{0, 4, 0, false},   {1, 5, 0, false},         {2, 5, 0, false},  {3, 1, 0, true},
                           {4, 2, 0, false},   {5, 2, 0, true},          {6, 6, 0, true},   {7, 6, 1, true},
                           {8, 7, 0, false},   {9, 8, 0, false},         {10, 8, 1, true},  {11, 9, 0, true},
                           {12, 10, 0, false}, {13, 11, 0, true},        {14, 12, 0, true}, {15, 13, 0, true},
                           {16, 3, 0, false},  {1'048'575, 14, 0, false}};
  i.descriptors.locks = {{3, LockKind::Process, 0, 100, 0}, {4, LockKind::Lease, 1, 0, 0}};
}

// A child that shares memory, a pipe and a file offset with the first, a grandchild that has ended, and an orphan.
void add_relatives(Image& i) {
  ProcessImage child = i.processes.front();
  child.process.parent_pid = child.process.pid;
  child.process.pid = 4800;
  child.process.subreaper = true;
  child.process.parent_death_signal = 15;
  child.process.state = ProcessState::Stopped;
  child.process.stop_signal = 20;
  child.threads = {thread(4800, "child", 576, 3)};
  child.queued_signals.clear();
  child.descriptors.numbers = {{3, 1, 0, false}, {6, 6, 1, false}};
  Mapping ring;
  ring.address = 0x7f0000400000;
  ring.length = 8 * kPage;
  ring.protection = 3;
  ring.shared = true;
  ring.source = MappingSource::Object;
  ring.object = 15;
  child.mappings = {ring};
  ring.address = 0x7f0000400000;
  ring.length = 4 * kPage;
  ring.object_offset = 4 * kPage;
  ProcessImage ended;
  ended.process.pid = 4801;
  ended.process.parent_pid = 4800;
  ended.process.group_id = ended.process.session_id = 4711;
  ended.process.state = ProcessState::Zombie;
  ended.process.exit_status = 0x0300;
  ended.process.name = "ended";
  ProcessImage orphan = child;
  orphan.process.pid = orphan.process.group_id = orphan.process.session_id = 4802;
  orphan.process.parent_pid = 1;
  orphan.process.orphan = true;
  orphan.process.state = ProcessState::Running;
  orphan.process.stop_signal = 0;
  orphan.process.exit_signal = 17;
  orphan.threads = {thread(4802, "orphan", 576, 3)};
  orphan.mappings = {ring};
  i.processes.push_back(std::move(child));
  i.processes.push_back(std::move(ended));
  i.processes.push_back(std::move(orphan));
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
  add_memory(full.processes.front());
  add_threads(full.processes.front());
  add_objects(full);
  add_descriptors(full.processes.front());
  full.clock = {86'400'000'000'000, 172'800'000'000'000, 1'700'000'000'123'456'789};
  add_relatives(full);
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
