// validate(): each check refuses what it is there for, and names it.
#include <functional>

#include "image/image.h"
#include "test/check.h"
#include "test/image_samples.h"
#include "wire/layout.h"

namespace stasis::test {

namespace {

using namespace image;

struct Case {
  const char* expected;  // part of the message
  std::function<void(Image&)> damage;
};

void expect_refusals(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    Image image = sample("every-record").image;
    c.damage(image);
    const Status status = validate(image);
    if (!check(!status.ok(), __FILE__, __LINE__, std::string("not refused: ") + c.expected)) continue;
    const std::string message = status.error().message();
    check(message.find(c.expected) != std::string::npos, __FILE__, __LINE__, message + "\n    expected " + c.expected);
    CHECK(status.error().kind == ErrorKind::Damaged);
  }
}

TEST(validate_accepts_the_samples) {
  for (const Sample& s : samples()) CHECK(validate(s.image).ok());
}

TEST(validate_refuses_bad_page_files_and_runs) {
  expect_refusals({
      {"page-file 0: not a plain file name", [](Image& i) { i.page_files[0].file_name = "../etc/passwd"; }},
      {"page-file 0: not a plain file name", [](Image& i) { i.page_files[0].file_name = ".."; }},
      {"page-file 0: the file name is taken", [](Image& i) { i.page_files[0].file_name = "image.stasis"; }},
      {"page-file 0: a length of no whole pages", [](Image& i) { i.page_files[0].file_bytes += 1; }},
      {"page-file 0: chunks of no whole pages", [](Image& i) { i.page_files[0].chunk_bytes = 0; }},
      {"page-file 0: the number of checksums", [](Image& i) { i.page_files[0].chunk_checksums.push_back(0); }},
      {"mapping 1 at 0x1000000, run 0 at 0x1000000: not made of whole",
       [](Image& i) { i.processes[0].mappings[1].runs[0].length = 0; }},
      {"run 1 at 0x1000000: starts before the mapping",
       [](Image& i) { i.processes[0].mappings[1].runs[1].address = 0x1000000; }},
      {"run 1 at 0x1021000: reaches beyond the mapping",
       [](Image& i) { i.processes[0].mappings[1].runs[1].address = 0x1021000; }},
      {"run 0 at 0x1000000: there is no such page file",
       [](Image& i) { i.processes[0].mappings[1].runs[0].page_file = 1; }},
      {"run 0 at 0x1000000: reaches beyond the page file",
       [](Image& i) { i.processes[0].mappings[1].runs[0].file_offset = 3 * 4096; }},
      {"run 0 at 0x1000000: reaches beyond the page file",
       [](Image& i) { i.processes[0].mappings[1].runs[0].file_offset = ~0xfffull; }},
  });
}

TEST(validate_refuses_bad_mappings) {
  expect_refusals({
      {"not a range of whole pages", [](Image& i) { i.processes[0].mappings[0].length = 0; }},
      {"not a range of whole pages", [](Image& i) { i.processes[0].mappings[0].address += 1; }},
      {"not a range of whole pages", [](Image& i) { i.processes[0].mappings[3].length = ~0xfffull; }},
      {"not a range of whole pages", [](Image& i) { i.processes[0].mappings[3].address = wire::kUserTop; }},
      {"not a range of whole pages", [](Image& i) { i.processes[0].mappings[2].address = wire::kWindowEnd - 4096; }},
      {"not a range of whole pages", [](Image& i) { i.processes[0].mappings[2].address = wire::kWindowBase - 4096; }},
      {"mapping 1 at 0x400000: not above the mapping before it",
       [](Image& i) { i.processes[0].mappings[1].address = 0x400000; }},
      {"mapping 0 at 0x400000: undefined bits", [](Image& i) { i.processes[0].mappings[0].protection = 8; }},
      {"mapping 0 at 0x400000: no absolute path", [](Image& i) { i.processes[0].mappings[0].path = "server"; }},
      {"mapping 0 at 0x400000: no absolute path",
       [](Image& i) { i.processes[0].mappings[0].path = std::string("/a\0b", 4); }},
      {"mapping 0 at 0x400000: no possible offset",
       [](Image& i) { i.processes[0].mappings[0].file_offset = ~0xfffull; }},
      {"mapping 0 at 0x400000: no such source",
       [](Image& i) { i.processes[0].mappings[0].source = static_cast<MappingSource>(9); }},
      {"mapping 1 at 0x1000000: anonymous memory with a path",
       [](Image& i) { i.processes[0].mappings[1].path = "/x"; }},
      {"stored pages of a shared file",
       [](Image& i) { i.processes[0].mappings[2].runs = {{i.processes[0].mappings[2].address, 4096, 0, 0}}; }},
      {"memory: a range that ends before", [](Image& i) { i.processes[0].memory.brk = 1; }},
      {"memory: 0xffffffffffffffff is no address", [](Image& i) { i.processes[0].memory.env_end = ~0ull; }},
      {"memory: no auxiliary vector", [](Image& i) { i.processes[0].memory.auxv.pop_back(); }},
  });
}

TEST(validate_refuses_bad_threads_and_signals) {
  expect_refusals({
      {"threads: there is none", [](Image& i) { i.processes[0].threads.clear(); }},
      {"thread 0: not the main thread", [](Image& i) { i.processes[0].threads[0].tid = 1; }},
      {"thread 1 (4711): the id of an earlier thread", [](Image& i) { i.processes[0].threads[1].tid = 4711; }},
      {"no possible name", [](Image& i) { i.processes[0].threads[1].name = "sixteen bytes it"; }},
      {"no XSAVE area has 8 bytes", [](Image& i) { i.processes[0].threads[1].xsave.resize(8); }},
      {"reserved bits of MXCSR", [](Image& i) { i.processes[0].threads[1].xsave[27] = 1; }},
      {"XSAVE states that the header's xcr0", [](Image& i) { i.processes[0].threads[1].xsave[512] = 15; }},
      {"not of the standard format", [](Image& i) { i.processes[0].threads[1].xsave[527] = 0x80; }},
      {"no room for the states", [](Image& i) { i.processes[0].threads[1].xsave.resize(576); }},
      {"rip is no address", [](Image& i) { i.processes[0].threads[1].registers.rip = ~0ull; }},
      {"a segment base outside", [](Image& i) { i.processes[0].threads[1].registers.fs_base = ~0ull; }},
      {"an address outside user space", [](Image& i) { i.processes[0].threads[1].robust_list = ~0ull; }},
      {"a call that does not wait for any", [](Image& i) { i.processes[0].threads[1].wait_ns = 1; }},
      {"a tid word that is not aligned", [](Image& i) { i.processes[0].threads[1].tid_word = 0x401002; }},
      {"action 0: signal 9 has no action", [](Image& i) { i.processes[0].actions[0].signal = 9; }},
      {"action 1: a second action of signal 1", [](Image& i) { i.processes[0].actions[1].signal = 1; }},
      {"action 1: a handler outside", [](Image& i) { i.processes[0].actions[1].handler = ~0ull; }},
      {"queued-signal 1: there is no such thread", [](Image& i) { i.processes[0].queued_signals[1].tid = 99; }},
      {"queued-signal 1: the siginfo is of another", [](Image& i) { i.processes[0].queued_signals[1].signal = 35; }},
      {"queued-signal 0: the siginfo has not 128", [](Image& i) { i.processes[0].queued_signals[0].info.resize(127); }},
  });
}

TEST(validate_refuses_bad_objects) {
  expect_refusals({
      {"stdio 0: no such stream", [](Image& i) { i.stdio[0].stream = 3; }},
      {"stdio 0: an object without a number", [](Image& i) { i.stdio[0].object = 0; }},
      {"pipe 0: the number of an earlier object", [](Image& i) { i.pipes[0].object = i.stdio[0].object; }},
      {"open-file 0: no absolute path", [](Image& i) { i.open_files[0].path.clear(); }},
      {"open-file 0: a type of file", [](Image& i) { i.open_files[0].file_type = 0140000; }},
      {"open-file 2: there is no such shared memory", [](Image& i) { i.open_files[2].memory = 1; }},
      {"pipe 1: more bytes in flight", [](Image& i) { i.pipes[1].data.resize(4097); }},
      {"socket-pair 0: queued bytes without", [](Image& i) { i.socket_pairs[0].socket_type = 2; }},
      {"eventfd 0: the counter is too large", [](Image& i) { i.eventfds[0].count = ~0ull; }},
      {"timerfd 0: no such clock", [](Image& i) { i.timerfds[0].clock_id = 4; }},
      {"timerfd 0: a negative time", [](Image& i) { i.timerfds[0].remaining_ns = -1; }},
      {"epoll 0: watches fd 6, which no record has", [](Image& i) { i.epolls[0].targets[0].object = 99; }},
      {"epoll 0: watches fd 6, which no record has", [](Image& i) { i.epolls[0].targets[0].end = 2; }},
      {"epoll 0: watches fd 6, which no record has",
       [](Image& i) { i.epolls[0].targets[0].object = i.shared_memory[0].object; }},
      {"epoll 0: watches fd 6 twice, or itself", [](Image& i) { i.epolls[0].targets[0].object = i.epolls[0].object; }},
      {"epoll 0: watches fd 6 twice, or itself", [](Image& i) { i.epolls[0].targets[1] = i.epolls[0].targets[0]; }},
      {"listening-socket 0: an address of another family", [](Image& i) { i.listening_sockets[0].family = 10; }},
      {"listening-socket 0: no socket address", [](Image& i) { i.listening_sockets[0].address.resize(113); }},
      {"listening-socket 0: undefined options", [](Image& i) { i.listening_sockets[0].options = 128; }},
      {"tcp-connection 2: kept twice",
       [](Image& i) { i.tcp_connections[2].kept.push_back(i.tcp_connections[2].kept[0]); }},
      {"tcp-connection 2: kept, and without a peer", [](Image& i) { i.tcp_connections[2].second_reset = true; }},
      {"tcp-connection 1: kept, and without a peer",
       [](Image& i) { i.tcp_connections[1].kept = i.tcp_connections[2].kept; }},
      {"tcp-connection 2: ends of two address families", [](Image& i) { i.tcp_connections[2].second_name[0] = 10; }},
      {"tcp-connection 2: more to be sent than there is", [](Image& i) { i.tcp_connections[2].kept[0].unsent = 12; }},
      {"tcp-connection 2: options that TCP", [](Image& i) { i.tcp_connections[2].kept[0].send_scale = 15; }},
      {"tcp-connection 2: options that TCP", [](Image& i) { i.tcp_connections[2].kept[0].options = 8; }},
      {"shared-memory 0: no such kind", [](Image& i) { i.shared_memory[0].kind = static_cast<SharedMemoryKind>(6); }},
      {"shared-memory 0: no absolute path", [](Image& i) { i.shared_memory[0].kind = SharedMemoryKind::File; }},
      {"shared-memory 0: no memory is that large", [](Image& i) { i.shared_memory[0].bytes = ~0ull; }},
      {"shared-memory 0, run 0 at 0x8000: reaches beyond",
       [](Image& i) { i.shared_memory[0].runs[0].address = 8 * 4096; }},
      {"mapping 0 at 0x7f0000400000: there is no such shared memory",
       [](Image& i) { i.processes[1].mappings[0].object = i.pipes[0].object; }},
      {"mapping 0 at 0x7f0000400000: stored pages beside",
       [](Image& i) { i.processes[1].mappings[0].runs = {{0x7f0000400000, 4096, 0, 0}}; }},
      {"mapping 1 at 0x1000000: an object that is not mapped",
       [](Image& i) { i.processes[0].mappings[1].object = 15; }},
  });
}

TEST(validate_refuses_bad_descriptors) {
  expect_refusals({
      {"descriptors of process 4711: fd 4 stands there twice",
       [](Image& i) { i.processes[0].descriptors.numbers[5].fd = 4; }},
      {"descriptors of process 4800: there is no fd -1",
       [](Image& i) { i.processes[1].descriptors.numbers[0].fd = -1; }},
      {"there is no fd 1048576", [](Image& i) { i.processes[0].descriptors.numbers[0].fd = 1 << 20; }},
      {"fd 6 stands for no object", [](Image& i) { i.processes[1].descriptors.numbers[1].object = 99; }},
      {"fd 6 stands for no object", [](Image& i) { i.processes[1].descriptors.numbers[1].end = 2; }},
      {"fd 6 stands for no object",
       [](Image& i) { i.processes[1].descriptors.numbers[1].object = i.shared_memory[0].object; }},
  });
}

TEST(validate_refuses_what_is_no_tree) {
  expect_refusals({
      {"process: there is none", [](Image& i) { i.processes.clear(); }},
      {"process 1: no process before it is its parent", [](Image& i) { i.processes[1].process.parent_pid = 4801; }},
      {"process 1: no process before it is its parent", [](Image& i) { i.processes[1].process.parent_pid = 4800; }},
      {"process 1: the id of an earlier process", [](Image& i) { i.processes[1].process.pid = 4711; }},
      {"process 0: the first process has ended", [](Image& i) { i.processes[0].process.orphan = true; }},
      {"process 0: the first process has ended", [](Image& i) { i.processes[0].process.state = ProcessState::Zombie; }},
      {"process 2: no such state", [](Image& i) { i.processes[2].process.state = static_cast<ProcessState>(9); }},
      {"process 2: no such signal", [](Image& i) { i.processes[2].process.exit_signal = 65; }},
      {"process 2: no possible name", [](Image& i) { i.processes[2].process.name = std::string(16, 'x'); }},
      {"thread 0 (4712): the id of an earlier thread",
       [](Image& i) { i.processes[3].process.pid = i.processes[3].threads[0].tid = 4712; }},
  });
}

TEST(validate_refuses_a_bad_process) {
  expect_refusals({
      {"runtime: the build id is not hex", [](Image& i) { i.runtime.build_id = "xyz!"; }},
      {"runtime: the build id is not the header's", [](Image& i) { i.runtime.build_id = "00"; }},
      {"runtime: the vdso page is not", [](Image& i) { i.runtime.vdso_address = 0x1000; }},
      {"process 0: no process id", [](Image& i) { i.processes[0].process.pid = 0; }},
      {"process 0: exe_path is no absolute path",
       [](Image& i) { i.processes[0].process.exe_path = "/" + std::string(4096, 'x'); }},
      {"process 0: cwd is no absolute path", [](Image& i) { i.processes[0].process.cwd = "."; }},
      {"itimers: value 1 is no time", [](Image& i) { i.processes[0].itimers.values[1] = 1'000'000; }},
      {"clock: a negative time", [](Image& i) { i.clock.monotonic_ns = -1; }},
  });
}

}  // namespace

}  // namespace stasis::test
