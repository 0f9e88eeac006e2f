// Ids of a restored process: the table, new and empty, is told which of this kernel's numbers the program's stand for.
//
// First every number of the image is reserved, so that none is given to anybody else, then each is placed as its task
// comes to be. Where the leader of a group or session is not in the image, its number stands for what a helper leads in
// its place, or for the group or session that the first process is in.
#include "runtime/ids.h"
#include "runtime/ids_table.h"
#include "runtime/restore.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

namespace {

using wire::IdKind;
using wire::Step;

void place(i32 virtual_pid, i64 system_pid, u32 flags) {
  const bool placed = place_pid(id_table(), static_cast<u32>(virtual_pid), static_cast<u32>(system_pid),
                                flags | wire::kIdFromImage, stamp_now());
  if (!placed) report_fail(Step::PlaceId, EEXIST, static_cast<u64>(virtual_pid), 0, nullptr);
}

void place_override(IdKind kind, i32 virtual_id, i64 system_id) {
  if (virtual_id == 0 || system_id <= 0) return;
  if (find_virtual(id_table(), static_cast<u32>(system_id)) == static_cast<u32>(virtual_id)) return;
  if (!add_override(id_table(), kind, static_cast<u32>(virtual_id), static_cast<u32>(system_id))) {
    report_fail(Step::PlaceId, ENOSPC, static_cast<u64>(virtual_id), 0, nullptr);
  }
}

}  // namespace

void reserve_ids() {
  // The filter and every later start of the runtime go by it.
  id_table().header()->parked_fd = group().parked_fd;
  const u32* known = plan_entries<u32>(group().known_ids);
  for (u64 i = 0; i < group().known_ids.count; i++) reserve_pid(id_table(), known[i]);
}

void place_process_ids() {
  const wire::TaskEntry& self = task();
  const i64 pid = raw_syscall(__NR_getpid);
  if (self.kind == wire::TaskKind::Helper) {
    if ((self.flags & wire::kTaskLeadsSession) != 0) place_override(IdKind::Session, self.pid, pid);
    return place_override(IdKind::Group, self.pid, pid);
  }
  place(self.pid, pid, 0);
  if (task_index() != 0) return;
  // The new keeper takes the place of whoever started the program.
  const i64 parent = raw_syscall(__NR_getppid);
  const bool parent_is_known = self.parent_pid > 1 && self.parent_pid != self.pid;
  if (parent_is_known && parent > 1) place(self.parent_pid, parent, wire::kIdForeign);
  // So does what the first process is in now: a group or session that it does not lead cannot be made again.
  place_override(IdKind::Group, self.group_id, raw_syscall(__NR_getpgid, 0));
  place_override(IdKind::Session, self.session_id, raw_syscall(__NR_getsid, 0));
}

void place_thread_id(const wire::ThreadEntry& entry, i64 system_tid) {
  place(entry.image_tid, system_tid, wire::kIdThread);
}

void place_sender(void* info) {
  struct Sender {
    i32 signal, error, code, padding, pid;
  };
  constexpr i32 kCodes[] = {0, -1, -3, -4, -6};  // SI_USER, _QUEUE, _MESGQ, _ASYNCIO, _TKILL
  constexpr i32 kChild = 17, kChildCodes = 6;
  auto* sender = static_cast<Sender*>(info);
  bool named = sender->signal == kChild && sender->code >= 1 && sender->code <= kChildCodes;
  for (i32 code : kCodes) named = named || sender->code == code;
  if (!named || sender->pid <= 0) return;
  // A sender that is gone stays as it is: the table knows its number (virtual_of).
  const i64 system = system_of(sender->pid);
  if (system > 0) sender->pid = static_cast<i32>(system);
}

}  // namespace stasis::runtime
