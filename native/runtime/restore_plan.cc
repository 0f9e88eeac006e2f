// The plan of a restore: received, and mapped in two parts at the same place, first what is made for all processes, then
// each process's own.
#include <linux/mman.h>

#include "runtime/restore.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

namespace {

using wire::Step;

struct PlanMessage {  // struct msghdr of recvmsg(2) and what it points to
  void* name;
  u32 name_bytes;
  const void* vector;
  u64 vector_count;
  void* control;
  u64 control_bytes;
  u32 flags;
};

struct ControlMessage {  // struct cmsghdr with one fd
  u64 bytes;
  i32 level;
  i32 type;
  i32 fd;
  i32 padding;
};

wire::GroupPlan g_group;
wire::TaskEntry g_task;
u32 g_task_index;

void map_part(const Marker& marker, u64 offset, u64 bytes) {
  must(raw_syscall(__NR_mmap, wire::kPlanBase, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, marker.plan_fd,
                   offset),
       Step::MapPlan);
}

}  // namespace

const wire::GroupPlan& group() { return g_group; }

const wire::TaskEntry& task() { return g_task; }

u32 task_index() { return g_task_index; }

bool has_several_tasks() { return g_group.tasks.count > 1; }

void become_task(u32 index) {
  g_task = plan_entries<wire::TaskEntry>(g_group.tasks)[index];
  g_task_index = index;
}

// The starter makes the plan while this process comes up.
void receive_plan(Marker& marker) {
  constexpr u64 kHeaderBytes = 16;
  constexpr i32 kSocketLevel = 1, kRights = 1;  // SOL_SOCKET, SCM_RIGHTS
  if (marker.plan_socket < 0) return;
  u8 byte;
  const u64 vector[2] = {reinterpret_cast<u64>(&byte), sizeof byte};
  ControlMessage control{};
  PlanMessage message{nullptr, 0, vector, 1, &control, sizeof control, 0};
  const i64 got = must(raw_syscall(__NR_recvmsg, marker.plan_socket, &message, 0), Step::MapPlan);
  const bool has_fd =
      control.bytes == kHeaderBytes + sizeof control.fd && control.level == kSocketLevel && control.type == kRights;
  if (got != 1 || !has_fd) report_fail(Step::MapPlan, ECANCELED, 0, 0, nullptr);
  marker.plan_fd = control.fd;
}

void map_group_plan(const Marker& marker) {
  const i64 got = must(raw_syscall(__NR_pread64, marker.plan_fd, &g_group, sizeof g_group, 0), Step::MapPlan);
  if (got != static_cast<i64>(sizeof g_group) || g_group.magic != wire::kPlanMagic)
    report_fail(Step::MapPlan, ENOEXEC, 0, 0, nullptr);
  if (g_group.version != wire::kPlanVersion) report_fail(Step::MapPlan, EPROTO, 0, 0, nullptr);
  if (g_group.group_bytes > wire::kPlanMaxBytes || g_group.group_bytes > g_group.bytes)
    report_fail(Step::MapPlan, ENOEXEC, 0, 0, nullptr);
  map_part(marker, 0, g_group.group_bytes);
  become_task(0);
}

void map_own_plan(const Marker& marker) {
  const wire::TaskEntry& entry = task();
  if (entry.plan_bytes > wire::kPlanMaxBytes) report_fail(Step::MapPlan, ENOEXEC, 0, 0, nullptr);
  // What is left of the group's part behind it is never looked at again.
  if (entry.plan_bytes < g_group.group_bytes) {
    must(raw_syscall(__NR_mmap, wire::kPlanBase + entry.plan_bytes, g_group.group_bytes - entry.plan_bytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0),
         Step::MapPlan);
  }
  map_part(marker, entry.plan, entry.plan_bytes);
  if (plan().magic != wire::kPlanMagic || plan().version != wire::kPlanVersion || plan().bytes != entry.plan_bytes)
    report_fail(Step::MapPlan, ENOEXEC, 0, 0, nullptr);
}

}  // namespace stasis::runtime
