// The rest of the plan: processor state, frames, fds, timers, open files, the words for reports.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include "arch/x86_64/sigframe.h"
#include "restore/builders.h"
#include "restore/report.h"
#include "restore/xstate.h"
#include "test/check.h"
#include "wire/layout.h"

namespace stasis::test {

namespace {

using namespace image;
using restore::GroupBuilder;
using restore::PlanBuilder;
using restore::XstateLayout;

// x87, SSE, AVX at its usual place, and a component that another vendor keeps elsewhere.
XstateLayout small_host() {
  XstateLayout host;
  host.features = 7 | 1 << 9;
  host.area_bytes = 840;
  host.components[2] = {.offset = 576, .bytes = 256};
  host.components[9] = {.offset = 832, .bytes = 8};
  return host;
}

std::vector<std::uint8_t> area(std::size_t bytes, std::uint64_t in_use) {
  std::vector<std::uint8_t> area(bytes);
  std::memcpy(area.data() + arch::kXsaveHeaderOffset, &in_use, sizeof in_use);
  return area;
}

arch::FrameSoftwareBytes software_bytes(const std::vector<std::uint8_t>& frame) {
  arch::FrameSoftwareBytes bytes;
  std::memcpy(&bytes, frame.data() + arch::kFrameSoftwareOffset, sizeof bytes);
  return bytes;
}

std::string temporary_file(const std::string& content) {
  char path[] = "/tmp/stasis-unit-XXXXXX";
  const int fd = ::mkstemp(path);
  CHECK(fd >= 0);
  CHECK(::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  ::close(fd);
  return path;
}

OpenFile open_file(const std::string& path, std::uint32_t flags) {
  struct stat status{};
  CHECK(::stat(path.c_str(), &status) == 0);
  OpenFile file;
  file.object = 1;
  file.path = path;
  file.flags = flags;
  file.position = 1;
  file.file_type = status.st_mode & S_IFMT;
  file.file_bytes = static_cast<std::uint64_t>(status.st_size);
  file.file_modified_ns = status.st_mtim.tv_sec * 1'000'000'000LL + status.st_mtim.tv_nsec;
  file.device_number = S_ISCHR(status.st_mode) ? status.st_rdev : 0;
  return file;
}

Status plan_file(const OpenFile& file) {
  Image image;
  image.processes.emplace_back().process.cwd = "/";
  image.open_files.push_back(file);
  GroupBuilder plan;
  plan.use_descriptors({.numbers = {{.fd = 5, .object = file.object}}});
  return plan_files(image, restore::RestoreInputs(), plan);
}

Status after_append(std::uint32_t flags, bool append) {
  const std::string path = temporary_file("twelve bytes");
  OpenFile file = open_file(path, flags);
  if (append) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    CHECK(::write(fd, "more", 4) == 4);
    ::close(fd);
  } else {
    CHECK(::truncate(path.c_str(), 3) == 0);
  }
  Status status = plan_file(file);
  ::unlink(path.c_str());
  return status;
}

}  // namespace

TEST(frame_is_cut_behind_the_last_component_in_use) {
  const XstateLayout host = small_host();
  auto frame = restore::frame_xstate(area(840, 7), host.features, host);
  if (!CHECK(frame.ok())) return;
  const arch::FrameSoftwareBytes bytes = software_bytes(frame.value());
  CHECK_EQUAL(bytes.magic1, arch::kFrameMagic1);
  CHECK_EQUAL(bytes.xstate_bytes, 832u);
  CHECK_EQUAL(bytes.extended_bytes, 836u);
  CHECK_EQUAL(bytes.features, 7u);
  CHECK(std::memcmp(frame.value().data() + 832, &arch::kFrameMagic2, 4) == 0);
  CHECK(frame.value().size() >= host.area_bytes);
}

TEST(frame_takes_avx_from_any_layout_and_the_rest_from_its_own) {
  const XstateLayout host = small_host();
  // Longer, with components that this host has not but that are not in use either.
  CHECK(restore::frame_xstate(area(2696, 7), 0x2e7, host).ok());
  auto elsewhere = restore::frame_xstate(area(2696, 7 | 1 << 9), 0x2e7, host);
  if (CHECK(!elsewhere.ok())) CHECK(elsewhere.error().kind == ErrorKind::Incompatible);
  CHECK(restore::frame_xstate(area(840, 7 | 1 << 9), host.features, host).ok());
  auto absent = restore::frame_xstate(area(2696, 7 | 1 << 5), 0x2e7, host);
  if (CHECK(!absent.ok())) CHECK(absent.error().kind == ErrorKind::Incompatible);
}

TEST(frame_refuses_what_is_no_xsave_area) {
  const XstateLayout host = small_host();
  CHECK(!restore::frame_xstate(std::vector<std::uint8_t>(512), 0, host).ok());
  CHECK(!restore::frame_xstate(area(576, 4), host.features, host).ok());
  auto compacted = area(840, 7);
  compacted[527] = 0x80;
  CHECK(!restore::frame_xstate(compacted, host.features, host).ok());
}

TEST(thread_frames_lie_at_their_address_in_the_plan) {
  Image image;
  ProcessImage& section = image.processes.emplace_back();
  Thread thread;
  thread.tid = 100;
  thread.name = "a name that is too long";
  thread.registers.rip = 0x1234;
  thread.signal_mask = ~0ul;
  thread.altstack_address = 0x5000;
  thread.altstack_bytes = 8192;
  thread.xsave = area(576, 3);
  section.threads.push_back(thread);
  PlanBuilder plan;
  if (!CHECK(plan_threads(image, section, plan).ok())) return;
  const wire::ThreadEntry entry = plan.threads.at(0);
  const std::vector<std::uint8_t> bytes = plan.finish();
  arch::KernelUcontext context;
  std::memcpy(&context, bytes.data() + (entry.frame - wire::kPlanBase), sizeof context);
  CHECK_EQUAL(context.context.rip, 0x1234u);
  CHECK_EQUAL(context.context.fpstate % 64, 0u);
  CHECK_EQUAL(context.stack.address, 0x5000u);
  CHECK_EQUAL(context.signal_mask >> 30 & 1, 0u);  // SIGSYS
  CHECK_EQUAL(std::string(entry.name), "a name that is ");
  CHECK(entry.stack_top - wire::kPlanBase >= 2048);
}

TEST(parked_fds_lie_above_every_placed_one) {
  Image image;
  image.eventfds.push_back({.count = 3, .object = 1});
  image.pipes.push_back({.object = 2});
  const Descriptors descriptors{.numbers = {{.fd = 4, .object = 2, .end = 1},
                                            {.fd = 7, .object = 1},
                                            {.fd = 900, .object = 1, .close_on_exec = true}}};
  GroupBuilder plan;
  plan.use_descriptors(descriptors);
  CHECK(plan_eventfds(image, plan).ok());
  CHECK(plan_pipes(image, plan).ok());
  CHECK_EQUAL(plan.fds[1].slot, 1u);  // parked although no process has it: closed when it is filled
  CHECK_EQUAL(plan.fds[1].peer_slot, 2u);
  std::vector<PlanBuilder> plans(1);
  place_descriptors(descriptors, plan, plans[0]);
  CHECK_EQUAL(plans[0].placements.size(), 3u);
  plan.tasks.push_back({.entry = {.kind = wire::TaskKind::Process}, .process = 0});
  CHECK(finish_plans(plan, plans).ok());
  CHECK_EQUAL(plan.group.park_base, 901u);
}

TEST(timers_keep_what_remained_and_absolute_realtime) {
  Image image;
  image.clock.realtime_ns = 5'000'000'000;
  image.timerfds.push_back(
      {.clock_id = CLOCK_MONOTONIC, .settime_flags = TFD_TIMER_ABSTIME, .remaining_ns = 1'500'000'000, .object = 1});
  image.timerfds.push_back(
      {.clock_id = CLOCK_REALTIME, .settime_flags = TFD_TIMER_ABSTIME, .remaining_ns = 1'500'000'000, .object = 2});
  image.timerfds.push_back({.clock_id = CLOCK_MONOTONIC, .ticks = 1, .interval_ns = 250, .object = 3});
  GroupBuilder plan;
  plan.use_descriptors({.numbers = {{.fd = 3, .object = 1}, {.fd = 4, .object = 2}, {.fd = 5, .object = 3}}});
  CHECK(plan_timerfds(image, plan).ok());
  CHECK_EQUAL(plan.fds[0].option, 0u);
  CHECK_EQUAL(plan.fds[0].timer[2], 1);
  CHECK_EQUAL(plan.fds[1].option, static_cast<std::uint32_t>(TFD_TIMER_ABSTIME));
  CHECK_EQUAL(plan.fds[1].timer[2], 6);
  CHECK_EQUAL(plan.fds[2].timer[3], 250);
}

TEST(open_files_may_grow_unless_they_would_be_overwritten) {
  CHECK(after_append(O_RDONLY, true).ok());
  CHECK(after_append(O_WRONLY | O_APPEND, true).ok());
  CHECK(after_append(O_RDWR | O_APPEND, true).ok());
  CHECK(after_append(O_WRONLY | O_APPEND, false).ok());
  CHECK(!after_append(O_RDWR | O_APPEND, false).ok());
  CHECK(!after_append(O_RDONLY, false).ok());
  Status overwritten = after_append(O_RDWR, true);
  if (!CHECK(!overwritten.ok())) return;
  CHECK(overwritten.error().kind == ErrorKind::Failed);
  CHECK_EQUAL(overwritten.error().fd, 5);
  CHECK(!overwritten.error().path.empty());
}

TEST(open_files_must_be_what_they_were) {
  CHECK(plan_file(open_file("/dev/null", O_RDWR)).ok());
  OpenFile other = open_file("/dev/null", O_RDWR);
  other.path = "/dev/zero";
  CHECK(!plan_file(other).ok());
  OpenFile gone = open_file("/dev/null", O_RDWR);
  gone.path = "/nonexistent/file";
  Status status = plan_file(gone);
  if (CHECK(!status.ok())) CHECK(status.error().kind == ErrorKind::Failed);
  OpenFile directory = open_file("/", O_RDONLY | O_DIRECTORY);
  CHECK(plan_file(directory).ok());
  directory.path = "/dev/null";
  CHECK(!plan_file(directory).ok());
}

TEST(report_of_a_taken_port_says_so) {
  wire::Report report{};
  report.step = static_cast<std::uint32_t>(wire::Step::BindSocket);
  report.error = EADDRINUSE;
  report.subject = 17;
  std::strcpy(report.text, "127.0.0.1:8080");
  const Error error = restore::error_of_report(report);
  CHECK(error.kind == ErrorKind::Failed);
  CHECK_EQUAL(error.fd, 17);
  CHECK(error.message().find("127.0.0.1:8080 is taken, fd 17") == 0);
  CHECK(error.message().find("stop the program that listens there") != std::string::npos);
}

TEST(every_step_of_the_runtime_has_words) {
  for (std::uint32_t step = 1; step < static_cast<std::uint32_t>(wire::Step::Count); ++step) {
    wire::Report report{};
    report.step = step;
    report.error = ENOMEM;
    CHECK(restore::error_of_report(report).doing.find("unknown step") == std::string::npos);
  }
}

}  // namespace stasis::test
