// The keeper's word on a start.
#include <unistd.h>

#include <cerrno>
#include <string>

#include "launch/ready_line.h"
#include "test/check.h"
#include "wire/report.h"

namespace stasis::launch {
namespace {

TEST(ready_line_of_a_launch) {
  auto launched = parse_ready_line("ok keeper=17 pid=18 start=123456789012");
  if (!CHECK(launched.ok())) return;
  CHECK_EQUAL(launched.value().keeper_pid, 17);
  CHECK_EQUAL(launched.value().pid, 18);
  CHECK_EQUAL(launched.value().start_time, 123456789012u);
  CHECK_EQUAL(launched.value().map_calls, 0u);
}

TEST(ready_line_of_a_restore) {
  auto launched = parse_ready_line("ok keeper=17 pid=18 start=1 us=10,20,30,40,50 calls=7 populated=9");
  if (!CHECK(launched.ok())) return;
  CHECK_EQUAL(launched.value().started_us, 10u);
  CHECK_EQUAL(launched.value().threads_us, 40u);
  CHECK_EQUAL(launched.value().resumed_us, 50u);
  CHECK_EQUAL(launched.value().map_calls, 7u);
  CHECK_EQUAL(launched.value().populated_pages, 9u);
}

TEST(ready_line_of_a_keepers_failure) {
  auto failed = parse_ready_line("error kind=TIMEOUT errno=0 step=0 subject=0 extent=0 text=not in time pid=3");
  if (!CHECK(!failed.ok())) return;
  CHECK(failed.error().kind == ErrorKind::Timeout);
  CHECK_EQUAL(failed.error().doing, "not in time pid=3");
}

TEST(ready_line_of_a_runtimes_failure) {
  std::string line = "error kind=FAILED errno=" + std::to_string(EADDRINUSE) +
                     " step=" + std::to_string(static_cast<unsigned>(wire::Step::BindSocket)) +
                     " subject=19 extent=0 text=127.0.0.1:80";
  auto failed = parse_ready_line(line);
  if (!CHECK(!failed.ok())) return;
  CHECK_EQUAL(failed.error().error, EADDRINUSE);
  CHECK_EQUAL(failed.error().fd, 19);
  CHECK(failed.error().message().find("127.0.0.1:80") != std::string::npos);
}

TEST(ready_line_that_is_none) {
  for (const char* line : {"", "ok", "ok keeper=x pid=1 start=1", "ok pid=1 start=1", "hello"}) {
    auto parsed = parse_ready_line(line);
    CHECK(!parsed.ok() && parsed.error().kind == ErrorKind::Failed);
  }
}

TEST(ready_line_is_waited_for) {
  int ends[2];
  if (!CHECK(pipe(ends) == 0)) return;
  auto late = await_ready(ends[0], Deadline::in(std::chrono::milliseconds(20)));
  CHECK(!late.ok() && late.error().kind == ErrorKind::Timeout);
  const std::string line = "ok keeper=1 pid=2 start=3\n";
  CHECK(write(ends[1], line.data(), line.size()) == static_cast<ssize_t>(line.size()));
  CHECK(await_ready(ends[0], Deadline::in(std::chrono::seconds(5))).ok());
  close(ends[1]);
  auto silent = await_ready(ends[0], Deadline::in(std::chrono::seconds(5)));
  CHECK(!silent.ok() && silent.error().kind == ErrorKind::Failed);
  close(ends[0]);
}

}  // namespace
}  // namespace stasis::launch
