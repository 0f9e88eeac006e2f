#include "checkpoint/checkpoint.h"

#include <fcntl.h>

#include <cstring>
#include <optional>

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


namespace stasis::checkpoint {

namespace {

using Clock = Deadline::Clock;

constexpr int kStopAttempts = 5;  // a program that executes another one at the very moment is stopped again

std::uint64_t nanoseconds_since(Clock::time_point start) {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(Clock::now() - start).count());
}

class Checkpoint {
 public:
  Checkpoint(Subject subject, ProcessMemory memory) : subject_(std::move(subject)), memory_(std::move(memory)) {}

  Result<Outcome> run();

 private:
  Status look_before();
  Status stop();
  Status read_state();
  Status look_again();
  Status write(PartialDirectory directory);
  Status check_runtime_file();
  void let_go();

  Subject subject_;
  ProcessMemory memory_;
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

// Step 1: refuse while nothing has been touched.
Status Checkpoint::look_before() {
  status_ = STASIS_TRY(procfs::read_status(subject_.pid));
  STASIS_TRY(check_identity(subject_, *status_));
  STASIS_TRY(read_runtime(memory_, subject_));
  STASIS_TRY(check_runtime_file());
  Findings findings;
  image::Image scratch;
  STASIS_TRY(refuse_process(subject_, *status_, findings));
  STASIS_TRY(save_fds(subject_, shared_links_, scratch, findings));
  earlier_maps_ = STASIS_TRY(procfs::read_smaps(subject_.pid));
  STASIS_TRY(plan_mappings(subject_, earlier_maps_, file_facts_, findings));
  if (!findings.empty()) return std::move(findings).error(subject_.pid);
  return {};
}

Status Checkpoint::check_runtime_file() {
  auto file = STASIS_TRY(open_file_at(AT_FDCWD, subject_.options.runtime_path, O_RDONLY, 0, "opening the runtime"));
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string wanted;
  for (const u8 byte : subject_.runtime.build_id) {
    wanted += kDigits[byte >> 4];
    wanted += kDigits[byte & 15];
  }
  const std::string found = build_id_of(file.get());
  if (found == wanted) return {};
  return Error::plain(ErrorKind::Failed, "the application runs under the runtime " + wanted + ", and this file is " + (found.empty() ? "none" : found))
      .with_pid(subject_.pid)
      .with_path(subject_.options.runtime_path);
}

// Step 2.
Status Checkpoint::stop() {
  const Deadline deadline = Deadline::in(subject_.options.stop_deadline);
  for (int attempt = 1;; ++attempt) {
    stopped_at_ = Clock::now();
    const std::uint64_t caught = status_->number("SigCgt", 16);
    session_.emplace(STASIS_TRY(tracer::Session::seize(subject_.pid, tracer::rewinding(caught), deadline, subject_.cancel)));
    auto settled = tracer::quiesce(*session_, memory_, subject_.runtime, caught, deadline, subject_.cancel);
    if (settled.ok()) {
      settled_ = std::move(settled).value();
      return {};
    }
    const bool again = settled.error().kind == ErrorKind::Busy && attempt < kStopAttempts && !deadline.passed();
    session_.reset();
    if (!again) return std::move(settled).error();
    // It is another program now, with another address space.
    memory_ = STASIS_TRY(ProcessMemory::open(subject_.pid));
    STASIS_TRY(look_before());
  }
}

// Steps 3 and 4: from here on every thread stands at a home stop.
Status Checkpoint::read_state() {
  subject_.phase = Phase::Stopped;
  status_ = STASIS_TRY(procfs::read_status(subject_.pid));
  const Deadline deadline = Deadline::in(subject_.options.stop_deadline);
  const auto state = STASIS_TRY(tracer::read_process(*session_, settled_, memory_, subject_.runtime, status_->number("SigCgt", 16), deadline,
                                                     subject_.cancel));
  record_threads(state, image_);
  record_signals(state, *status_, image_);
  STASIS_TRY(record_process(subject_, state, *status_, image_));
  outcome_.threads = state.threads.size();
  return {};
}

Status Checkpoint::look_again() {
  Findings findings;
  STASIS_TRY(refuse_process(subject_, *status_, findings));
  outcome_.fds = STASIS_TRY(save_fds(subject_, shared_links_, image_, findings));
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
  outcome_.runs = STASIS_TRY(store_pages(subject_, memory_, mappings_, writer));
  outcome_.page_bytes = writer.bytes();
  outcome_.mappings = mappings_.size();
  for (PlannedMapping& mapping : mappings_) image_.mappings.push_back(std::move(mapping.record));
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

Error explain_access(Error error, pid_t pid) {
  if (error.kind != ErrorKind::Permission) return std::move(error).with_pid(pid);
  return std::move(error).with_pid(pid).with_remedy(
      "run as the application's user; a program that made itself undumpable (prctl PR_SET_DUMPABLE, set-user-id) cannot be saved "
      "without CAP_SYS_PTRACE");
}

}  // namespace

Status check_cancelled(const CancelToken& cancel) {
  if (cancel.cancelled()) return Error::plain(ErrorKind::Cancelled, "the checkpoint was cancelled");
  return {};
}

Result<Outcome> checkpoint(const Options& options, const CancelToken& cancel) {
  auto process = open_process(options.pid);
  if (!process.ok()) return std::move(process).error().with_pid(options.pid);
  auto memory = ProcessMemory::open(options.pid);
  if (!memory.ok()) return explain_access(std::move(memory).error(), options.pid);
  Subject subject{options, cancel, options.pid, std::move(process).value(), Phase::Before, {}, {}};
  Checkpoint work(std::move(subject), std::move(memory).value());
  return work.run();
}

}  // namespace stasis::checkpoint
