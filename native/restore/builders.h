// The steps of prepare(), one per kind of state and file of this directory. Each checks its records against this host
// and appends to the plan; the order in which they are called decides only the order of fds in the plan.
#pragma once

#include "base/result.h"
#include "image/image.h"
#include "restore/group_plan.h"
#include "restore/mapped_files.h"
#include "restore/plan_builder.h"
#include "restore/prepare.h"

namespace stasis::restore {

// compatibility.cc: architecture, runtime, processor.
Status check_compatibility(const image::Image& image, const RestoreInputs& inputs);

// shared_memory.cc: before files and memory.
Status plan_shared_memory(const image::Image& image, const RestoreInputs& inputs, GroupBuilder& group);

// memory.cc. `prepared` takes the counts.
Status plan_memory(const image::Image& image, const image::ProcessImage& section, const RestoreInputs& inputs,
                   const GroupBuilder& group, MappedFiles& mapped_files, PlanBuilder& plan, PreparedRestore& prepared);

// files.cc: the working directory of a process; open files and stdio.
void plan_locks(const image::Image& image, const image::ProcessImage& section, PlanBuilder& plan);
Status plan_directory(const image::ProcessImage& section, PlanBuilder& plan);
Status plan_files(const image::Image& image, const RestoreInputs& inputs, GroupBuilder& plan);
Status plan_pipes(const image::Image& image, GroupBuilder& plan);
Status plan_sockets(const image::Image& image, const RestoreInputs& inputs, GroupBuilder& plan);
Status plan_inotifies(const image::Image& image, GroupBuilder& plan);
// queues.cc: what waits in sockets, which can be any object. use_in_flight before all others, plan_queues behind them.
void use_in_flight(const image::Image& image, GroupBuilder& plan);
void plan_queues(const image::Image& image, GroupBuilder& plan);
Status plan_eventfds(const image::Image& image, GroupBuilder& plan);
Status plan_timerfds(const image::Image& image, GroupBuilder& plan);
Status plan_signalfds(const image::Image& image, GroupBuilder& plan);
Status plan_terminals(const image::Image& image, GroupBuilder& plan);
Status plan_posix_queues(const image::Image& image, GroupBuilder& plan);
Status plan_epolls(const image::Image& image, GroupBuilder& plan);  // last of the fds: refers to the others' slots

// signals.cc: actions, queued signals, interval timers. After plan_threads, whose order it refers to.
Status plan_signals(const image::ProcessImage& section, PlanBuilder& plan);

// posix_timers.cc, settings.cc: credentials, limits, scheduling.
Status plan_timers(const image::ProcessImage& section, PlanBuilder& plan);
Status plan_settings(const image::ProcessImage& section, PlanBuilder& plan);

// ipc.cc: System V objects of the application; what a process has to undo, and of the first one which segments go.
Status plan_system_v(const image::Image& image, const RestoreInputs& inputs, GroupBuilder& plan);
void plan_own_ipc(const image::Image& image, const image::ProcessImage& section, PlanBuilder& plan);

// events.cc: what each process makes for itself, after its placements: pidfds, registrations of those and of signalfds, the
// program's own filters. Such files are not registered with epolls by the first process for all.
Status plan_own_events(const image::Image& image, const image::ProcessImage& section, PlanBuilder& plan);
bool watched_by_owner(const image::Image& image, std::uint32_t object);

// terminals.cc: of the session that the process leads.
void plan_controlling_terminal(const image::ProcessImage& section, const GroupBuilder& group, PlanBuilder& plan);

// ids.cc: what nobody else is to be known by, where the table's descriptor stays, and the clocks. After all placements.
Status plan_ids(const image::Image& image, const std::vector<PlanBuilder>& plans, GroupBuilder& group);

// tree.cc: the tasks.
Status plan_tree(const image::Image& image, GroupBuilder& group);

// threads.cc: the frames that threads return into.
Status plan_threads(const image::Image& image, const image::ProcessImage& section, PlanBuilder& plan);

}  // namespace stasis::restore
