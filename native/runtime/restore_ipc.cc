// System V ipc and POSIX message queues of a restored application. The first process makes them, before it forks, under the ids that
// the table gives them; each process then attaches its segments (restore_memory.cc) and takes over what it has to undo.
#include <linux/fcntl.h>
#include <linux/ipc.h>
#include <linux/mman.h>
#include <linux/sem.h>
#include <linux/shm.h>

#include "runtime/ids.h"
#include "runtime/ids_kinds.h"
#include "runtime/ipc_notes.h"
#include "runtime/restore.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

using wire::IdKind;
using wire::IpcEntry;
using wire::IpcKind;
using wire::NotedObject;
using wire::Step;

constexpr i64 kExclusively = IPC_CREAT | IPC_EXCL;

// The start of struct shmid64_ds, semid64_ds and msqid64_ds: struct ipc64_perm; and of each what is wanted behind it.
struct Permissions {
  i32 key;
  u32 uid, gid, creator_uid, creator_gid, mode;
  u16 sequence, padding;
  u64 reserved[2];
};
static_assert(sizeof(Permissions) == 48);
struct SegmentDescription {
  Permissions permissions;
  u64 bytes;
  i64 times[3];
  i32 creator, last;
  u64 attached;
  u64 reserved[2];
};
static_assert(sizeof(SegmentDescription) == 112);
struct QueueDescription {
  Permissions permissions;
  i64 times[3];
  u64 bytes, count, most_bytes;
  i32 sender, receiver;
  u64 reserved[2];
};
static_assert(sizeof(QueueDescription) == 120);
struct SetDescription {
  Permissions permissions;
  i64 times[4];
  u64 count;
  u64 reserved[2];
};
static_assert(sizeof(SetDescription) == 104);

[[noreturn]] void fail(const IpcEntry& entry, i64 error) {
  report_fail(Step::MakeIpc, error, static_cast<u64>(static_cast<u32>(entry.id)),
              static_cast<u64>(static_cast<u32>(entry.key)), nullptr);
}

i64 checked(i64 result, const IpcEntry& entry) {
  if (is_error(result)) fail(entry, result);
  return result;
}

void register_object(const IpcEntry& entry, IdKind kind, NotedObject noted, i64 id) {
  if (!place_object(kind, entry.id, static_cast<i32>(id))) fail(entry, -ENOSPC);
  note_object(noted, entry.id);
  note_made(noted, entry.id);
}

// What a program that was killed has left behind under the key: of the same size, and attached by nobody.
bool remove_leftover(const IpcEntry& entry) {
  SegmentDescription description;
  const i64 id = raw_syscall(__NR_shmget, entry.key, 0, 0);
  if (id < 0 || raw_syscall(__NR_shmctl, id, IPC_STAT, &description) != 0) return false;
  if (description.attached != 0 || description.bytes != entry.bytes || description.permissions.uid != entry.uid)
    return false;
  return raw_syscall(__NR_shmctl, id, IPC_RMID, nullptr) == 0;
}

void make_segment(const IpcEntry& entry) {
  i64 id = raw_syscall(__NR_shmget, entry.key, entry.bytes, kExclusively | entry.mode);
  if (id == -EEXIST && remove_leftover(entry)) {
    id = raw_syscall(__NR_shmget, entry.key, entry.bytes, kExclusively | entry.mode);
  }
  register_object(entry, IdKind::SharedMemory, NotedObject::SharedMemory, checked(id, entry));
}

void make_set(const IpcEntry& entry) {
  const i64 id = checked(raw_syscall(__NR_semget, entry.key, entry.count, kExclusively | entry.mode), entry);
  register_object(entry, IdKind::Semaphore, NotedObject::Semaphore, id);
  checked(raw_syscall(__NR_semctl, id, 0, SETALL, wire::kPlanBase + entry.pieces), entry);
}

void make_queue(const IpcEntry& entry) {
  const i64 id = checked(raw_syscall(__NR_msgget, entry.key, kExclusively | entry.mode), entry);
  register_object(entry, IdKind::MessageQueue, NotedObject::MessageQueue, id);
  const auto* messages = reinterpret_cast<const wire::IpcMessage*>(wire::kPlanBase + entry.pieces);
  for (u64 i = 0; i < entry.count; i++) {
    checked(raw_syscall(__NR_msgsnd, id, wire::kPlanBase + messages[i].text, messages[i].bytes, IPC_NOWAIT), entry);
  }
  QueueDescription description;
  checked(raw_syscall(__NR_msgctl, id, IPC_STAT, &description), entry);
  if (description.most_bytes == entry.bytes) return;
  description.most_bytes = entry.bytes;
  raw_syscall(__NR_msgctl, id, IPC_SET, &description);  // more than the kernel's default takes CAP_SYS_RESOURCE
}

// To whom it belongs, where that is not its maker.
void set_owner(const IpcEntry& entry) {
  if (entry.uid == static_cast<u32>(raw_syscall(__NR_geteuid)) &&
      entry.gid == static_cast<u32>(raw_syscall(__NR_getegid)))
    return;
  union {
    Permissions permissions;
    SegmentDescription segment;
    SetDescription set;
    QueueDescription queue;
  } description;
  const bool is_set = entry.kind == IpcKind::Semaphores;
  const i64 call = entry.kind == IpcKind::Segment ? __NR_shmctl : is_set ? __NR_semctl : __NR_msgctl;
  const IdKind kind = entry.kind == IpcKind::Segment ? IdKind::SharedMemory
                      : is_set                       ? IdKind::Semaphore
                                                     : IdKind::MessageQueue;
  const i64 id = system_object(kind, entry.id);
  const auto control = [&](i64 command) {
    return is_set ? raw_syscall(call, id, 0, command, &description) : raw_syscall(call, id, command, &description);
  };
  if (control(IPC_STAT) != 0) return;
  description.permissions.uid = entry.uid;
  description.permissions.gid = entry.gid;
  control(IPC_SET);
}

}  // namespace

void create_system_v() {
  const auto* entries = plan_entries<IpcEntry>(group().system_v);
  for (u64 i = 0; i < group().system_v.count; i++) {
    switch (entries[i].kind) {
      case IpcKind::Segment:
        make_segment(entries[i]);
        break;
      case IpcKind::Semaphores:
        make_set(entries[i]);
        break;
      case IpcKind::MessageQueue:
        make_queue(entries[i]);
        break;
    }
    set_owner(entries[i]);
  }
}

void fill_system_v() {
  const auto* entries = plan_entries<IpcEntry>(group().system_v);
  for (u64 i = 0; i < group().system_v.count; i++) {
    const IpcEntry& entry = entries[i];
    if (entry.kind != IpcKind::Segment || entry.count == 0) continue;
    const i64 base = checked(raw_syscall(__NR_shmat, system_object(IdKind::SharedMemory, entry.id), 0, 0), entry);
    const auto* pieces = reinterpret_cast<const wire::SegmentPiece*>(wire::kPlanBase + entry.pieces);
    for (u64 k = 0; k < entry.count; k++) {
      for (u64 done = 0; done < pieces[k].length;) {
        const i64 got =
            checked(raw_syscall(__NR_pread64, pieces[k].file, base + static_cast<i64>(pieces[k].offset + done),
                                pieces[k].length - done, pieces[k].file_offset + done),
                    entry);
        if (got == 0) fail(entry, -EIO);
        done += static_cast<u64>(got);
      }
    }
    raw_syscall(__NR_shmdt, base);
  }
}

void attach_segment(const wire::MapEntry& entry) {
  constexpr u32 kBoth = PROT_READ | PROT_WRITE;
  const i64 id = system_object(IdKind::SharedMemory, static_cast<i32>(entry.file_offset));
  const bool writable = (entry.protection & PROT_WRITE) != 0;
  must(raw_syscall(__NR_shmat, id, entry.address, writable ? 0 : SHM_RDONLY), Step::MapMemory, entry.address,
       entry.length);
  const u32 now = writable ? kBoth : PROT_READ;
  if (entry.protection != now) {
    must(raw_syscall(__NR_mprotect, entry.address, entry.length, entry.protection), Step::ProtectMemory, entry.address,
         entry.length);
  }
}

void remove_marked_segments() {
  const auto* entries = plan_entries<wire::RemovedSegment>(plan().removed_segments);
  for (u64 i = 0; i < plan().removed_segments.count; i++) {
    raw_syscall(__NR_shmctl, system_object(IdKind::SharedMemory, entries[i].id), IPC_RMID, nullptr);
  }
}

// Both operations of a pair are done at once, so no value changes, whoever else has yet to come: one is of the kind that will
// be undone, the other takes it back.
void restore_undo() {
  constexpr i64 kMost = 32767;
  const auto* entries = plan_entries<wire::UndoEntry>(plan().undo);
  for (u64 i = 0; i < plan().undo.count; i++) {
    const wire::UndoEntry& entry = entries[i];
    if (entry.adjustment == 0 || entry.adjustment > kMost || entry.adjustment < -kMost) continue;
    const auto by = static_cast<short>(entry.adjustment), back = static_cast<short>(-entry.adjustment);
    const auto number = static_cast<u16>(entry.number);
    sembuf pair[2] = {{number, by, 0}, {number, back, SEM_UNDO}};
    if (by < 0) {
      pair[0] = {number, back, SEM_UNDO};
      pair[1] = {number, by, 0};
    }
    must(raw_syscall(__NR_semop, system_object(IdKind::Semaphore, entry.id), pair, 2), Step::MakeIpc,
         static_cast<u64>(static_cast<u32>(entry.id)));
    note_undo(static_cast<u32>(entry.id), entry.number, entry.adjustment);
  }
}

// A queue that is there already, left behind by the application's end, has its messages.
void create_posix_queue(const wire::FdEntry& entry) {
  struct Attributes {
    i64 flags, most_messages, message_bytes, messages, reserved[4];
  };
  const char* name = plan_text(entry.path) + 1;  // the kernel wants it without the slash
  Attributes attributes{0, static_cast<i64>(entry.value), static_cast<i64>(entry.ticks), 0, {}};
  const auto* messages = reinterpret_cast<const wire::IpcMessage*>(wire::kPlanBase + entry.data);
  const u32 access = entry.flags & (O_ACCMODE | O_NONBLOCK);
  i64 fd = raw_syscall(__NR_mq_open, name, O_RDWR | O_NONBLOCK | O_CREAT | O_EXCL | O_CLOEXEC, entry.option & 0777,
                       &attributes);
  if (fd == -EEXIST) {
    fd = must(raw_syscall(__NR_mq_open, name, O_RDWR | O_NONBLOCK | O_CLOEXEC, 0, nullptr), Step::MakeQueue,
              entry.image_fd, 0, plan_text(entry.path));
    raw_syscall(__NR_mq_getsetattr, fd, nullptr, &attributes);
    if (static_cast<u64>(attributes.messages) != entry.data_bytes) {
      report_fail(Step::MakeQueue, EEXIST, entry.image_fd, 0, plan_text(entry.path));
    }
  } else {
    must(fd, Step::MakeQueue, entry.image_fd, 0, plan_text(entry.path));
    for (u64 i = 0; i < entry.data_bytes; i++) {
      must(raw_syscall(__NR_mq_timedsend, fd, wire::kPlanBase + messages[i].text, messages[i].bytes, messages[i].type,
                       nullptr),
           Step::MakeQueue, entry.image_fd, 0, plan_text(entry.path));
    }
  }
  const i64 again = must(raw_syscall(__NR_mq_open, name, access | O_CLOEXEC, 0, nullptr), Step::MakeQueue,
                         entry.image_fd, 0, plan_text(entry.path));
  raw_syscall(__NR_close, fd);
  if ((entry.option & wire::kQueueUnlinked) != 0) raw_syscall(__NR_mq_unlink, name);
  park(again, entry.slot, entry);
}

}  // namespace stasis::runtime
