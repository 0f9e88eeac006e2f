#include "checkpoint/checkpoint.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <set>
#include <thread>

#include "checkpoint/commit.h"
#include "checkpoint/cut.h"
#include "checkpoint/fds.h"
#include "checkpoint/holders.h"
#include "checkpoint/memory.h"
#include "checkpoint/pages.h"
#include "checkpoint/questions.h"
#include "checkpoint/records.h"
#include "checkpoint/refuse.h"
#include "checkpoint/relations.h"
#include "checkpoint/shared_memory.h"
#include "checkpoint/sysv.h"
#include "checkpoint/tree.h"
#include "image/files.h"
#include "image/tree.h"
#include "os/aside.h"
#include "os/build_id.h"
#include "os/file.h"
#include "os/pidfd.h"
#include "tracer/threads.h"
#include "wire/layout.h"

namespace stasis::checkpoint {

namespace {

using Clock = Deadline::Clock;

constexpr auto kPassingTime = std::chrono::seconds(2);
constexpr int kLeastLooks = 5;
constexpr auto kPassingPause = std::chrono::milliseconds(3);

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

// A program that is being executed: the kernel's vdso is not yet where the runtime moves it.
bool is_starting(const std::vector<procfs::MapLine>& lines) {
  return std::any_of(lines.begin(), lines.end(), [](const procfs::MapLine& line) {
    return line.name == "[vdso]" && (line.start < wire::kWindowBase || line.end > wire::kWindowEnd);
  });
}

// A process that ends while it is looked at gives its memory back first; its files in /proc belong to root then, and some
// are empty. Gone, it is none of the application's.
bool is_ending(pid_t pid) {
  constexpr std::size_t kFlags = 9;      // field of /proc/PID/stat
  constexpr std::uint64_t kExiting = 4;  // PF_EXITING
  const auto stat = procfs::read_stat(pid);
  return !stat.ok() || (stat.value().field[kFlags] & kExiting) != 0;
}

class Checkpoint {
 public:
  Checkpoint(const Options& options, const CancelToken& cancel)
      : options_(options), tree_(options, cancel), outside_(options) {}

  Result<Outcome> run();

 private:
  Status look_before();
  Status look_once(bool& passing);
  Status look_at(Member& member, Findings& findings, bool& passing);
  Status stop();
  Status read_stopped();
  Status read_descriptors(Members members);
  Status read_state();
  Status look_again();
  Status read_files();
  Result<bool> hold_pages();
  Status plan_memory();
  Status write(PartialDirectory directory);
  Status check_runtime_file(const Subject& subject);
  void let_go();

  const Options& options_;
  Tree tree_;
  OutsideConnections outside_;  // let go before the application is
  Outcome outcome_;
  image::Image image_;
  Notes notes_;
  SharedLinks shared_links_;
  MappedFileFacts file_facts_;
  std::optional<Objects> objects_;
  std::vector<std::vector<procfs::MapLine>> maps_;      // of the instant, a list for each member ...
  std::vector<std::unique_ptr<PresentPages>> present_;  // ... and what they tell of shared memory
  std::optional<SharedMemories> shared_memories_;
  CopyRoom copy_room_;
  tracer::Waits waits_;
  std::uint64_t inherited_filters_ = 0;
  Clock::time_point stopped_at_;
  bool held_ = false;
};

// Step 1: refuse while nothing has been touched. Some things pass by themselves: a program that is being executed right now
// looks strange for a moment, and a connection that its peer has closed is there until the program has read the end.
Status Checkpoint::look_before() {
  const Deadline deadline = Deadline::in(kPassingTime);
  for (int look = 1;; ++look) {  // one look may take long on a busy machine
    bool passing = false;
    Status seen = look_once(passing);
    const bool gone =
        !seen.ok() && seen.error().pid != 0 && seen.error().pid != options_.pid &&
        (seen.error().kind == ErrorKind::NotFound || seen.error().error == ESRCH || is_ending(seen.error().pid));
    if (seen.ok() || (!passing && !gone) || (deadline.passed() && look >= kLeastLooks)) return seen;
    STASIS_TRY(check_cancelled(tree_.cancel));
    std::this_thread::sleep_for(kPassingPause);
  }
}

// `passing`: a refusal may be gone in a moment.
Status Checkpoint::look_once(bool& passing) {
  tree_.members.clear();
  notes_ = {};
  Findings findings;
  bool all_passing = true;
  for (const Relative& relative : STASIS_TRY(tree_.relatives())) {
    const bool first = relative.pid == options_.pid;
    // A child in vfork(2) has nothing of its own yet; whether it is more than that, the cut will tell.
    if (relative.ended || (relative.parent != 0 && share_memory(relative.parent, relative.pid))) continue;
    auto member = tree_.open(relative.pid);
    bool member_passing = false;
    Status seen = member.ok() ? look_at(*member.value(), findings, member_passing) : member.error();
    if (!seen.ok() && !first && seen.error().kind == ErrorKind::NotFound) continue;  // it has ended
    if (!seen.ok()) {
      passing = member_passing || (!first && seen.error().kind == ErrorKind::Unsupported);
      return seen;
    }
    all_passing = all_passing && member_passing;
    tree_.members.push_back(std::move(member).value());
  }
  // Ended with this look: duplicates of the application's descriptors would keep alive what it closes from here on.
  Objects objects = STASIS_TRY(Objects::read(tree_.subjects(), shared_links_));
  SharedMemories shared([&objects] { return objects.next(); });
  image::Image scratch;
  STASIS_TRY(shared.save_descriptors(objects, scratch, findings));
  STASIS_TRY(save_fds(objects, scratch, findings));
  STASIS_TRY(save_system_v(tree_.subjects(), notes_, scratch, findings));
  bool starting = false;
  for (const auto& member : tree_.members) {
    member->earlier_maps = STASIS_TRY(procfs::read_smaps(member->pid()));
    starting = starting || is_starting(member->earlier_maps);
    STASIS_TRY(plan_mappings(member->subject, member->earlier_maps, file_facts_, shared, findings));
  }
  std::set<pid_t> relatives;
  for (const Relative& relative : STASIS_TRY(tree_.relatives())) relatives.insert(relative.pid);
  shared.refuse_contents(findings);
  shared.refuse_users(tree_.first().subject, relatives, findings);
  refuse_order(tree_, findings);
  if (options_.leave_running) copy_room_.prepare(shared.bytes());
  STASIS_TRY(shared.describe_segments(1, findings));
  passing = starting || findings.all_passing();
  if (!findings.empty()) return std::move(findings).error(options_.pid);
  const bool keeps = std::any_of(scratch.tcp_connections.begin(), scratch.tcp_connections.end(),
                                 [](const image::TcpConnection& connection) { return !connection.kept.empty(); });
  if (keeps) STASIS_TRY(outside_.prepare());
  return {};
}

Status Checkpoint::look_at(Member& member, Findings& findings, bool& passing) {
  Subject& subject = member.subject;
  auto memory = ProcessMemory::open(subject.pid);
  if (!memory.ok()) return explain_access(std::move(memory).error(), subject.pid);
  member.memory.emplace(std::move(memory).value());
  member.status = STASIS_TRY(procfs::read_status(subject.pid));
  STASIS_TRY(check_identity(subject, *member.status));
  STASIS_TRY(read_runtime(*member.memory, subject));
  passing = subject.runtime_build_id.empty();
  STASIS_TRY(check_runtime_file(subject));
  refuse_guards(subject, findings);
  STASIS_TRY(read_notes(subject, *member.memory, notes_));
  refuse_filters(subject, *member.status, notes_, findings);
  if (notes_.keys) {
    findings.add(subject.where(), "keys of the kernel's keyrings (add_key, request_key, keyctl)",
                 "have the program keep its keys elsewhere (Kerberos: KRB5CCNAME=FILE:PATH)");
  }
  return refuse_process(subject, *member.status, findings);
}

Status Checkpoint::check_runtime_file(const Subject& subject) {
  auto file = STASIS_TRY(open_file_at(AT_FDCWD, options_.runtime_path, O_RDONLY, 0, "opening the runtime"));
  const std::string found = build_id_of(file.get());
  if (found == subject.runtime_build_id) return {};
  return Error::plain(ErrorKind::Failed, "the application runs under the runtime " + subject.runtime_build_id +
                                             ", and this file is " + (found.empty() ? "none" : found))
      .with_pid(subject.pid)
      .with_path(options_.runtime_path);
}

// Step 2.
Status Checkpoint::stop() {
  const Deadline deadline = Deadline::in(options_.stop_deadline);
  std::vector<pid_t> processes;
  for (const auto& member : tree_.members) processes.push_back(member->pid());
  waits_.look(processes);
  inherited_filters_ = inherited_filters();
  STASIS_TRY(cut(tree_, deadline, [this] { return look_before(); }, stopped_at_));
  held_ = true;
  return {};
}

// Steps 3 and 4: from here on every thread stands at a home stop.
//
// Mappings and descriptors are read meanwhile: neither needs the threads.
Status Checkpoint::read_stopped() {
  tree_.set_phase(Phase::Stopped);
  for (const auto& member : tree_.members) {
    member->status = STASIS_TRY(procfs::read_status(member->pid()));
    // A thread may have changed its state on the way out of the runtime.
    STASIS_TRY(read_runtime(*member->memory, member->subject));
  }
  const Members members = tree_.subjects();
  Aside descriptors([&] { return read_descriptors(members); });
  STASIS_TRY(read_state());
  STASIS_TRY(descriptors.wait());
  return read_files();
}

Status Checkpoint::read_descriptors(Members members) {
  for (const Subject* member : members) {
    if (options_.leave_running) maps_.push_back(STASIS_TRY(procfs::read_maps(member->pid)));
  }
  objects_.emplace(STASIS_TRY(Objects::read(members, shared_links_)));
  return {};
}

Status Checkpoint::read_state() {
  const Deadline deadline = Deadline::in(options_.stop_deadline);
  std::vector<std::unique_ptr<SettingsReader>> settings;
  std::vector<ProcessTraits> traits(tree_.members.size());
  std::vector<tracer::ProcessToRead> wanted;
  if (options_.leave_running) {
    std::vector<const std::vector<procfs::MapLine>*> earlier;
    for (const auto& member : tree_.members) earlier.push_back(&member->earlier_maps);
    present_ = ask_present(earlier);
  }
  for (const auto& member : tree_.members) {
    settings.push_back(std::make_unique<SettingsReader>(member->subject));
    wanted.push_back({&*member->session, &member->settled, &*member->memory, &member->subject.runtime, member->caught(),
                      settings.back()->questions(traits[wanted.size()]), &waits_,
                      !has_own_filters(member->subject, *member->status, inherited_filters_)});
    if (options_.leave_running) wanted.back().questions.push_back(present_[wanted.size() - 1].get());
  }
  auto states = STASIS_TRY(tracer::read_processes(wanted, deadline, tree_.cancel));
  std::optional<image::Clock> clock;
  for (std::size_t i = 0; i < states.size(); ++i) {
    Member& member = *tree_.members[i];
    member.state = std::move(states[i]);
    image::ProcessImage& section = image_.processes.emplace_back();
    record_threads(*member.state, section);
    record_signals(*member.state, *member.status, section);
    STASIS_TRY(record_process(member.subject, *member.state, *member.status, image_, section));
    STASIS_TRY(record_relations(tree_, member, traits[i], section.process));
    if (!clock.has_value()) clock = image_.clock;
    STASIS_TRY(settings[i]->record(*member.state, *member.status, *clock, section));
    STASIS_TRY(read_notes(member.subject, *member.memory, notes_));
    section.own_filters = notes_.filters;
    section.semaphore_undo = notes_.undo;
    outcome_.threads += section.threads.size();
  }
  image_.clock = *clock;
  for (const pid_t zombie : tree_.zombies) {
    image_.processes.emplace_back().process = STASIS_TRY(record_zombie(zombie));
  }
  STASIS_TRY(translate_ids(tree_.subjects(), image_));
  outcome_.processes = image_.processes.size();
  return {};
}

Status Checkpoint::look_again() {
  Findings findings;
  for (const auto& member : tree_.members) {
    STASIS_TRY(check_runtime_file(member->subject));
    Status seen = refuse_process(member->subject, *member->status, findings);
    // Let go already, it may have ended.
    if (!seen.ok() && !(outcome_.copied && seen.error().kind == ErrorKind::NotFound)) return seen;
  }
  refuse_shared_tables(tree_, findings);
  if (!findings.empty()) return std::move(findings).error(options_.pid);
  STASIS_TRY(image::order_tree(image::tree_of(image_)));
  return {};
}

Status Checkpoint::read_files() {
  Findings findings;
  objects_->outside = &outside_;
  shared_memories_.emplace([this] { return objects_->next(); });
  STASIS_TRY(shared_memories_->save_descriptors(*objects_, image_, findings));
  STASIS_TRY(save_fds(*objects_, image_, findings));
  STASIS_TRY(save_system_v(tree_.subjects(), notes_, image_, findings));
  record_controlling_terminals(tree_.subjects(), image_);
  outcome_.fds = objects_->count();
  if (!findings.empty()) return std::move(findings).error(options_.pid);
  return {};
}

// True: what the pages were at this instant can be read after the release. False: there was no room for that.
Result<bool> Checkpoint::hold_pages() {
  const bool adopts = std::any_of(image_.processes.begin(), image_.processes.end(),
                                  [](const image::ProcessImage& section) { return section.process.subreaper; });
  if (!options_.leave_running || adopts || !may_copy(tree_)) return false;
  const auto questions = shared_memories_->show_all(tree_.subjects(), maps_, present_);
  const bool known =
      std::all_of(questions.begin(), questions.end(), [](const auto* question) { return question == nullptr; });
  std::optional<Aside> copying;
  if (known) {
    STASIS_TRY(shared_memories_->plan_copy(copy_room_));
    copying.emplace([this] { return shared_memories_->copy(); });
  }
  const Status held = HeldPages::make(tree_, std::move(maps_), questions, Deadline::in(options_.stop_deadline));
  if (held.ok() && !known) {
    STASIS_TRY(shared_memories_->plan_copy(copy_room_));
    copying.emplace([this] { return shared_memories_->copy(); });
  }
  if (held.ok()) STASIS_TRY(shared_memories_->copy());
  if (copying.has_value()) STASIS_TRY(copying->wait());
  if (held.ok()) {
    shared_memories_->keep_copies();
    return true;
  }
  if (held.error().error != EAGAIN && held.error().error != ENOMEM) return held.error();
  shared_memories_->forget_views();
  return false;
}

Status Checkpoint::plan_memory() {
  Findings findings;
  for (const auto& member : tree_.members) {
    const auto lines = STASIS_TRY(member->held != nullptr ? member->held->lines()
                                                          : read_mappings(member->pid(), member->earlier_maps));
    member->mappings = STASIS_TRY(plan_mappings(member->subject, lines, file_facts_, *shared_memories_, findings));
    if (member->held != nullptr) member->held->mark(member->mappings);
  }
  shared_memories_->refuse_contents(findings);
  STASIS_TRY(shared_memories_->describe_segments(outcome_.copied ? 2 : 1, findings));
  if (!findings.empty()) return std::move(findings).error(options_.pid);
  return {};
}

void Checkpoint::let_go() {
  if (!held_) return;
  tree_.let_go();
  held_ = false;
  outcome_.pause_ns = nanoseconds_since(stopped_at_);
}

// Step 5, but for the end of the application.
Status Checkpoint::write(PartialDirectory directory) {
  auto writer = STASIS_TRY(image::PageFileWriter::create(directory.fd(), 0));
  auto section = image_.processes.begin();
  for (const auto& member : tree_.members) {
    const MemoryPages own(*member->memory);
    const bool held = member->held != nullptr;
    outcome_.runs += STASIS_TRY(store_pages(member->subject, held ? member->held->pid() : member->pid(),
                                            held ? *member->held : static_cast<const PageSource&>(own),
                                            held ? member->held->memory() : *member->memory, member->mappings, writer));
    outcome_.mappings += member->mappings.size();
    for (PlannedMapping& mapping : member->mappings) section->mappings.push_back(std::move(mapping.record));
    member->held.reset();
    ++section;
  }
  outcome_.runs += STASIS_TRY(shared_memories_->store(writer, image_));
  outcome_.page_bytes = writer.bytes();
  // All that belongs to the application has been read: an application that is to go on need not wait for the disk.
  if (options_.leave_running) let_go();

  image_.page_files.push_back(STASIS_TRY(writer.finish()));
  STASIS_TRY(image::add_runtime(directory.fd(), options_.runtime_path, image_.runtime));
  STASIS_TRY(check_cancelled(tree_.cancel));
  const image::Header header = STASIS_TRY(image::commit_image(image_, directory.path(), options_.output_directory));
  directory.committed();
  image_.header = header;
  outcome_.image_bytes = header.image_bytes;
  if (!options_.verified_directory.empty()) {
    const auto status = status_of(writer.fd(), image_.page_files.front().file_name);
    if (status.ok()) image::leave_stamp(options_.verified_directory, status.value(), header.records_checksum);
  }
  return {};
}

Result<Outcome> Checkpoint::run() {
  const auto start = Clock::now();
  STASIS_TRY(look_before());
  PartialDirectory directory =
      STASIS_TRY(PartialDirectory::create(options_.partial_directory, options_.output_directory));
  STASIS_TRY(check_cancelled(tree_.cancel));
  STASIS_TRY(stop());
  if (tree_.keeper() == 0) {
    outcome_.warnings.push_back(
        "the application's keeper has ended: orphans of it that left its session are not known");
  }
  STASIS_TRY(read_stopped());
  outcome_.copied = STASIS_TRY(hold_pages());
  if (outcome_.copied) let_go();
  if (options_.leave_running) outside_.let_go();
  STASIS_TRY(look_again());
  STASIS_TRY(plan_memory());
  STASIS_TRY(write(std::move(directory)));
  if (!options_.leave_running) {
    objects_->reset_connections();
    STASIS_TRY(outside_.before_end(image_.header, tree_.first().subject.process));
    STASIS_TRY(end_application(tree_));
    STASIS_TRY(outside_.hold());
    for (std::string& warning : remove_system_v(image_, tree_.subjects())) {
      outcome_.warnings.push_back(std::move(warning));
    }
    for (std::string& warning : remove_posix_queues(image_)) outcome_.warnings.push_back(std::move(warning));
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
  return Checkpoint(options, cancel).run();
}

}  // namespace stasis::checkpoint
