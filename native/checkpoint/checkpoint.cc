#include "checkpoint/checkpoint.h"

#include <fcntl.h>

#include <algorithm>
#include <optional>
#include <thread>

#include "checkpoint/commit.h"
#include "checkpoint/fds.h"
#include "checkpoint/memory.h"
#include "checkpoint/pages.h"
#include "checkpoint/records.h"
#include "checkpoint/refuse.h"
#include "checkpoint/subject.h"
#include "image/files.h"
#include "os/build_id.h"
#include "os/file.h"
#include "os/pidfd.h"
#include "tracer/quiesce.h"
#include "tracer/session.h"
#include "tracer/threads.h"
#include "wire/layout.h"

namespace stasis::checkpoint {

namespace {

using Clock = Deadline::Clock;

constexpr auto kPassingTime = std::chrono::seconds(2);
constexpr auto kPassingPause = std::chrono::milliseconds(3);
constexpr int kStopAttempts = 5;  // a program that executes another one at the very moment is stopped again

std::uint64_t nanoseconds_since(Clock::time_point start) {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(Clock::now() - start).count());
}

Error explain_access(Error error, pid_t pid) {
  if (error.kind != ErrorKind::Permission) return std::move(error).with_pid(pid);
  return std::move(error).with_pid(pid).with_remedy(
      "run as the application's user; a program that made itself undumpable (prctl PR_SET_DUMPABLE, set-user-id) "
      "cannot be saved "
      "without CAP_SYS_PTRACE");
}

class Checkpoint {
 public:
  explicit Checkpoint(Subject subject) : subject_(std::move(subject)) {}

  Result<Outcome> run();

 private:
  Status look_before();
  Status look_once(bool& passing);
  Status stop();
  Status stop_once(Deadline deadline);
  Status read_state();
  Status look_again();
  Status write(PartialDirectory directory);
  Status check_runtime_file();
  void let_go();

  Subject subject_;
  std::optional<ProcessMemory> memory_;
  Outcome outcome_;
  image::Image image_;
  SharedLinks shared_links_;
  MappedFileFacts file_facts_;
  std::vector<procfs::MapLine> earlier_maps_;
  std::vector<PlannedMapping> mappings_;
  std::optional<procfs::Fields> status_;
  std::optional<tracer::Session> session_;
  std::vector<tracer::SettledThread> settled_;
  Clock::time_point stopped_at_;
};

// Step 1: refuse while nothing has been touched. Some things pass by themselves: a program that is being executed right now
// looks strange for a moment, and a connection that its peer has closed is there until the program has read the end.
Status Checkpoint::look_before() {
  const Deadline deadline = Deadline::in(kPassingTime);
  while (true) {
    bool passing = false;
    Status seen = look_once(passing);
    if (seen.ok() || !passing || deadline.passed()) return seen;
    STASIS_TRY(check_cancelled(subject_.cancel));
    std::this_thread::sleep_for(kPassingPause);
  }
}

// `passing`: a refusal may be gone in a moment.
Status Checkpoint::look_once(bool& passing) {
  // Opened anew each time: the descriptor belongs to an address space, and an execve may have replaced that.
  auto memory = ProcessMemory::open(subject_.pid);
  if (!memory.ok()) return explain_access(std::move(memory).error(), subject_.pid);
  memory_.emplace(std::move(memory).value());
  status_ = STASIS_TRY(procfs::read_status(subject_.pid));
  STASIS_TRY(check_identity(subject_, *status_));
  STASIS_TRY(read_runtime(*memory_, subject_));
  passing = subject_.runtime_build_id.empty();
  STASIS_TRY(check_runtime_file());
  Findings findings;
  image::Image scratch;
  STASIS_TRY(refuse_process(subject_, *status_, findings));
  const Subject* const member = &subject_;
  Objects objects = STASIS_TRY(Objects::read({&member, 1}, shared_links_));
  STASIS_TRY(save_fds(objects, scratch, findings));
  earlier_maps_ = STASIS_TRY(procfs::read_smaps(subject_.pid));
  const bool starting = std::any_of(earlier_maps_.begin(), earlier_maps_.end(), [](const procfs::MapLine& line) {
    return line.name == "[vdso]" && (line.start < wire::kWindowBase || line.end > wire::kWindowEnd);
  });
  STASIS_TRY(plan_mappings(subject_, earlier_maps_, file_facts_, findings));
  passing = starting || findings.all_passing();
  if (!findings.empty()) return std::move(findings).error(subject_.pid);
  return {};
}

Status Checkpoint::check_runtime_file() {
  auto file = STASIS_TRY(open_file_at(AT_FDCWD, subject_.options.runtime_path, O_RDONLY, 0, "opening the runtime"));
  const std::string found = build_id_of(file.get());
  if (found == subject_.runtime_build_id) return {};
  return Error::plain(ErrorKind::Failed, "the application runs under the runtime " + subject_.runtime_build_id +
                                             ", and this file is " + (found.empty() ? "none" : found))
      .with_pid(subject_.pid)
      .with_path(subject_.options.runtime_path);
}

// Step 2.
Status Checkpoint::stop() {
  const Deadline deadline = Deadline::in(subject_.options.stop_deadline);
  for (int attempt = 1;; ++attempt) {
    Status stopped = stop_once(deadline);
    if (stopped.ok()) return stopped;
    const bool again = stopped.error().kind == ErrorKind::Busy && session_.has_value() && attempt < kStopAttempts &&
                       !deadline.passed();
    session_.reset();
    if (!again) return stopped;
    STASIS_TRY(look_before());  // it is another program now
  }
}

Status Checkpoint::stop_once(Deadline deadline) {
  const std::uint64_t caught = status_->number("SigCgt", 16);
  stopped_at_ = Clock::now();
  session_.emplace(STASIS_TRY(tracer::Session::seize(subject_.pid, tracer::rewinding(caught))));
  STASIS_TRY(session_->stop_all(deadline, subject_.cancel));
  // Between the look and the stop the process may have executed something.
  memory_.emplace(STASIS_TRY(ProcessMemory::open(subject_.pid)));
  const auto text_begin = subject_.runtime.text_begin, state = subject_.runtime.state;
  const Status runtime = read_runtime(*memory_, subject_);
  if (!runtime.ok() || subject_.runtime.text_begin != text_begin || subject_.runtime.state != state) {
    return Error::plain(ErrorKind::Busy, "the application executed another program just now", "try again")
        .with_pid(subject_.pid);
  }
  settled_ = STASIS_TRY(tracer::quiesce(*session_, *memory_, subject_.runtime, caught, deadline, subject_.cancel));
  return {};
}

// Steps 3 and 4: from here on every thread stands at a home stop.
Status Checkpoint::read_state() {
  subject_.phase = Phase::Stopped;
  status_ = STASIS_TRY(procfs::read_status(subject_.pid));
  STASIS_TRY(read_runtime(*memory_, subject_));  // a thread may have changed its state on the way out of the runtime
  const Deadline deadline = Deadline::in(subject_.options.stop_deadline);
  const auto state = STASIS_TRY(tracer::read_process(*session_, settled_, *memory_, subject_.runtime,
                                                     status_->number("SigCgt", 16), {}, deadline, subject_.cancel));
  image::ProcessImage& section = image_.processes.emplace_back();
  record_threads(state, section);
  record_signals(state, *status_, section);
  STASIS_TRY(record_process(subject_, state, *status_, image_, section));
  const Subject* const member = &subject_;
  STASIS_TRY(translate_ids({&member, 1}, image_));
  outcome_.threads = state.threads.size();
  return {};
}

Status Checkpoint::look_again() {
  Findings findings;
  STASIS_TRY(refuse_process(subject_, *status_, findings));
  const Subject* const member = &subject_;
  Objects objects = STASIS_TRY(Objects::read({&member, 1}, shared_links_));
  STASIS_TRY(save_fds(objects, image_, findings));
  outcome_.fds = objects.count();
  const auto lines = STASIS_TRY(read_mappings(subject_.pid, earlier_maps_));
  mappings_ = STASIS_TRY(plan_mappings(subject_, lines, file_facts_, findings));
  if (!findings.empty()) return std::move(findings).error(subject_.pid);
  return {};
}

void Checkpoint::let_go() {
  if (!session_.has_value()) return;
  session_.reset();
  outcome_.pause_ns = nanoseconds_since(stopped_at_);
}

// Step 5, but for the end of the application.
Status Checkpoint::write(PartialDirectory directory) {
  auto writer = STASIS_TRY(image::PageFileWriter::create(directory.fd(), 0));
  outcome_.runs = STASIS_TRY(store_pages(subject_, *memory_, mappings_, writer));
  outcome_.page_bytes = writer.bytes();
  outcome_.mappings = mappings_.size();
  for (PlannedMapping& mapping : mappings_) image_.processes.front().mappings.push_back(std::move(mapping.record));
  // All that belongs to the application has been read: an application that is to go on need not wait for the disk.
  if (subject_.options.leave_running) let_go();

  image_.page_files.push_back(STASIS_TRY(writer.finish()));
  STASIS_TRY(image::add_runtime(directory.fd(), subject_.options.runtime_path, image_.runtime));
  STASIS_TRY(check_cancelled(subject_.cancel));
  const image::Header header =
      STASIS_TRY(image::commit_image(image_, directory.path(), subject_.options.output_directory));
  directory.committed();
  outcome_.image_bytes = header.image_bytes;
  if (!subject_.options.verified_directory.empty()) {
    const auto status = status_of(writer.fd(), image_.page_files.front().file_name);
    if (status.ok()) image::leave_stamp(subject_.options.verified_directory, status.value(), header.records_checksum);
  }
  return {};
}

Result<Outcome> Checkpoint::run() {
  const auto start = Clock::now();
  STASIS_TRY(look_before());
  PartialDirectory directory =
      STASIS_TRY(PartialDirectory::create(subject_.options.partial_directory, subject_.options.output_directory));
  STASIS_TRY(check_cancelled(subject_.cancel));
  STASIS_TRY(stop());
  STASIS_TRY(read_state());
  STASIS_TRY(look_again());
  STASIS_TRY(write(std::move(directory)));
  if (!subject_.options.leave_running) {
    STASIS_TRY(end_application(subject_, *session_));
    outcome_.ended = true;
  }
  let_go();
  outcome_.total_ns = nanoseconds_since(start);
  return outcome_;
}

}  // namespace

Status check_cancelled(const CancelToken& cancel) {
  if (cancel.cancelled()) return Error::plain(ErrorKind::Cancelled, "the checkpoint was cancelled");
  return {};
}

Result<Outcome> checkpoint(const Options& options, const CancelToken& cancel) {
  auto process = open_process(options.pid);
  if (!process.ok()) return std::move(process).error().with_pid(options.pid);
  Subject subject{options, cancel, options.pid, std::move(process).value(), Phase::Before};
  return Checkpoint(std::move(subject)).run();
}

}  // namespace stasis::checkpoint
