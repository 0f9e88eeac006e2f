#include "checkpoint/sysv.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "checkpoint/sysv_users.h"
#include "wire/notes.h"

namespace stasis::checkpoint {

namespace {

constexpr int kCopy = 040000;         // MSG_COPY, 3.8, CONFIG_CHECKPOINT_RESTORE
constexpr unsigned kRemoved = 01000;  // SHM_DEST
constexpr std::size_t kMostText = 1 << 20;

union SemaphoreArgument {  // semctl(2)
  int value;
  semid_ds* description;
  unsigned short* values;
};

image::IpcObject object_of(std::int32_t id, const ipc_perm& permissions) {
  return {.id = id, .key = permissions.__key, .uid = permissions.uid, .gid = permissions.gid};
}

// By the application's table of ids, if it has one.
std::int32_t virtual_id(const std::vector<IdRow>& rows, wire::IdKind kind, std::int32_t id) {
  for (const IdRow& row : rows) {
    if (row.kind == kind && row.system_id == static_cast<std::uint64_t>(id))
      return static_cast<std::int32_t>(row.virtual_id);
  }
  return id;
}

std::int32_t system_id(const std::vector<IdRow>& rows, wire::IdKind kind, std::int32_t id) {
  for (const IdRow& row : rows) {
    if (row.kind == kind && row.virtual_id == static_cast<std::uint32_t>(id))
      return static_cast<std::int32_t>(row.system_id);
  }
  return rows.empty() ? id : -1;  // the object is gone
}

Result<std::vector<IdRow>> rows_of(const Subject& subject) {
  if (!subject.ids.has_value()) return std::vector<IdRow>{};
  return subject.ids->rows();
}

bool is_gone(int error) { return error == EINVAL || error == EIDRM; }

std::string name_of(const char* what, std::int32_t id, std::int32_t key) {
  char text[96];
  std::snprintf(text, sizeof text, key == 0 ? "%s, %d" : "%s, %d with the key 0x%x", what, id,
                static_cast<std::uint32_t>(key));
  return text;
}

// What the kernel tells of others who use it, and what the notes tell: an object that was there before the application may be in use without
// a trace.
void refuse_outsiders(Members members, const std::string& name, const ipc_perm& permissions, bool made,
                      const ObjectUsers& users, Findings& findings) {
  const Subject& subject = *members.front();
  if (permissions.__key != IPC_PRIVATE && !made) {
    findings.add(subject.where(), name + ", that the application has found and not made: others may use it",
                 "let the program make it, or remove what an earlier run has left (ipcrm) and start it anew");
    return;
  }
  const std::string who = users.outsider(members);
  if (who.empty()) return;
  findings.add_passing(subject.where(), name + ", that " + who, "start all that use it with the application");
}

Status save_set(Members members, std::int32_t id, std::int32_t known_as, bool made, image::Image& image,
                Findings& findings) {
  const Subject& subject = *members.front();
  semid_ds description{};
  if (::semctl(id, 0, IPC_STAT, SemaphoreArgument{.description = &description}) != 0) {
    if (is_gone(errno)) return {};
    if (errno != EACCES) return Error::of_errno("semctl", "reading System V semaphores").with_pid(subject.pid);
    findings.add(subject.where(), "System V semaphores " + std::to_string(id) + " that cannot be read",
                 "run the checkpoint as their owner");
    return {};
  }
  refuse_outsiders(members, name_of("System V semaphores", id, description.sem_perm.__key), description.sem_perm, made,
                   users_of(id, description), findings);
  image::Semaphores record;
  record.system = object_of(known_as, description.sem_perm);
  record.mode = description.sem_perm.mode & 0777;
  std::vector<unsigned short> values(description.sem_nsems);
  if (::semctl(id, 0, GETALL, SemaphoreArgument{.values = values.data()}) != 0) {
    return Error::of_errno("semctl", "reading System V semaphores").with_pid(subject.pid);
  }
  record.values.assign(values.begin(), values.end());
  image.semaphores.push_back(std::move(record));
  return {};
}

// MSG_COPY copies a message by its place and leaves it where it is.
Status copy_messages(std::int32_t id, std::uint64_t count, image::MessageQueue& record) {
  std::vector<std::uint8_t> buffer(sizeof(long) + kMostText);
  for (std::uint64_t i = 0; i < count; ++i) {
    const ssize_t bytes =
        ::msgrcv(id, buffer.data(), kMostText, static_cast<long>(i), IPC_NOWAIT | MSG_NOERROR | kCopy);
    if (bytes < 0) {
      return Error::of_errno("msgrcv", "copying System V messages (MSG_COPY, CONFIG_CHECKPOINT_RESTORE)");
    }
    image::IpcMessage& message = record.messages.emplace_back();
    long type = 0;
    std::memcpy(&type, buffer.data(), sizeof type);
    message.type = type;
    message.text.assign(buffer.begin() + sizeof(long),
                        buffer.begin() + static_cast<std::ptrdiff_t>(sizeof(long)) + bytes);
  }
  return {};
}

Status save_queue(Members members, std::int32_t id, std::int32_t known_as, bool made, image::Image& image,
                  Findings& findings) {
  const Subject& subject = *members.front();
  msqid_ds description{};
  if (::msgctl(id, IPC_STAT, &description) != 0) {
    if (is_gone(errno)) return {};
    if (errno != EACCES) return Error::of_errno("msgctl", "reading a System V message queue").with_pid(subject.pid);
    findings.add(subject.where(), "a System V message queue, " + std::to_string(id) + ", that cannot be read",
                 "run the checkpoint as its owner");
    return {};
  }
  refuse_outsiders(members, name_of("a System V message queue", id, description.msg_perm.__key), description.msg_perm,
                   made, users_of(description), findings);
  image::MessageQueue record;
  record.system = object_of(known_as, description.msg_perm);
  record.mode = description.msg_perm.mode & 0777;
  record.most_bytes = description.msg_qbytes;
  if (subject.phase == Phase::Stopped) STASIS_TRY(copy_messages(id, description.msg_qnum, record));
  image.message_queues.push_back(std::move(record));
  return {};
}

// A segment that nobody has attached shows in no mapping.
void refuse_segment(const Subject& subject, std::int32_t id, bool made, Findings& findings) {
  shmid_ds description{};
  if (::shmctl(id, IPC_STAT, &description) != 0) return;  // gone, or none of its business
  const std::string name = name_of("a System V segment", id, description.shm_perm.__key);
  if (description.shm_nattch == 0 && made) {
    findings.add_passing(subject.where(), name + ", that no process has attached",
                         "attach it (shmat) or remove it before the checkpoint");
  } else if (description.shm_perm.__key != IPC_PRIVATE && !made && description.shm_nattch != 0) {
    findings.add(subject.where(), name + ", that the application has found and not made: others may use it",
                 "let the program make it, or remove what an earlier run has left (ipcrm) and start it anew");
  }
}

}  // namespace

Status read_notes(const Subject& subject, const ProcessMemory& memory, Notes& notes) {
  notes.filters.clear();
  notes.undo.clear();
  notes.keys = false;
  const auto state = STASIS_TRY(memory.read_value<wire::RuntimeState>(subject.runtime.state));
  const std::uint64_t used = std::min(state.notes_used, wire::kNotesMaxBytes);
  if (used == 0) return {};
  std::vector<std::uint8_t> bytes(used);
  STASIS_TRY(memory.read(wire::kNotesBase, bytes));
  for (std::uint64_t at = 0; at + sizeof(wire::Note) <= used;) {
    wire::Note note;
    std::memcpy(&note, bytes.data() + at, sizeof note);
    if (note.bytes < sizeof note || note.bytes > used - at) break;
    const std::uint8_t* contents = bytes.data() + at + sizeof note;
    if (note.kind == wire::NoteKind::Filter) {
      image::OwnFilter& filter = notes.filters.emplace_back();
      filter.flags = static_cast<std::uint32_t>(note.key);
      filter.program.assign(contents, static_cast<const std::uint8_t*>(bytes.data()) + at + note.bytes);
    } else if (note.kind == wire::NoteKind::Undo && note.bytes >= sizeof(wire::UndoNote)) {
      std::int64_t adjustment = 0;
      std::memcpy(&adjustment, contents, sizeof adjustment);
      notes.undo.push_back({.id = static_cast<std::int32_t>(note.key >> 32),
                            .number = static_cast<std::uint32_t>(note.key),
                            .adjustment = adjustment});
    } else if (note.kind == wire::NoteKind::Object || note.kind == wire::NoteKind::Made) {
      const auto id = static_cast<std::int32_t>(note.key >> 8);
      const auto kind = static_cast<wire::NotedObject>(note.key & 255);
      Notes::Objects& objects = kind == wire::NotedObject::Semaphore      ? notes.semaphores
                                : kind == wire::NotedObject::MessageQueue ? notes.queues
                                                                          : notes.segments;
      (note.kind == wire::NoteKind::Made ? objects.made : objects.known).insert(id);
    } else if (note.kind == wire::NoteKind::Keys) {
      notes.keys = true;
    }
    at += note.bytes;
  }
  return {};
}

bool is_segment(const std::string& name) { return name.rfind("/SYSV", 0) == 0; }

Status describe_segment(const Subject& subject, std::uint64_t inode, std::uint64_t attached,
                        image::SharedMemory& record, Findings& findings) {
  const auto id = static_cast<std::int32_t>(inode);
  shmid_ds description{};
  if (::shmctl(id, IPC_STAT, &description) != 0) {
    findings.add(subject.where(), "a System V segment, " + std::to_string(id) + ", that cannot be read",
                 "run the checkpoint as its owner, and in its ipc namespace");
    return {};
  }
  record.kind = image::SharedMemoryKind::SystemV;
  record.bytes = description.shm_segsz;
  record.mode = description.shm_perm.mode & 0777;
  record.removed = (description.shm_perm.mode & kRemoved) != 0;
  const std::vector<IdRow> rows = STASIS_TRY(rows_of(subject));
  record.system = object_of(virtual_id(rows, wire::IdKind::SharedMemory, id), description.shm_perm);
  if (record.removed) record.system.key = 0;
  if (description.shm_nattch > attached) {
    findings.add_passing(subject.where(),
                         "a System V segment, " + std::to_string(id) + ", that other processes have attached too",
                         "start them with the application, or end them");
  }
  return {};
}

Status save_system_v(Members members, const Notes& notes, image::Image& image, Findings& findings) {
  const Subject& subject = *members.front();
  const std::vector<IdRow> rows = STASIS_TRY(rows_of(subject));
  // Ids in the notes are those that the program knows. The table of ids has more than the application's own: all that it has listed, as ipcs does.
  for (const std::int32_t id : notes.segments.known) {
    refuse_segment(subject, system_id(rows, wire::IdKind::SharedMemory, id), notes.segments.made.contains(id),
                   findings);
  }
  for (const std::int32_t id : notes.semaphores.known) {
    STASIS_TRY(save_set(members, system_id(rows, wire::IdKind::Semaphore, id), id, notes.semaphores.made.contains(id),
                        image, findings));
  }
  for (const std::int32_t id : notes.queues.known) {
    STASIS_TRY(save_queue(members, system_id(rows, wire::IdKind::MessageQueue, id), id, notes.queues.made.contains(id),
                          image, findings));
  }
  return {};
}

std::vector<std::string> remove_system_v(const image::Image& image, Members members) {
  std::vector<std::string> stay;
  const auto rows = rows_of(*members.front());
  if (!rows.ok()) return stay;
  const auto is_used = [&](const std::string& name, const ObjectUsers& users) {
    const std::string who = users.outsider(members);
    if (!who.empty()) stay.push_back(name + ", stays, since it is one that " + who);
    return !who.empty();
  };
  for (const image::SharedMemory& memory : image.shared_memory) {
    if (memory.kind != image::SharedMemoryKind::SystemV) continue;
    const std::int32_t id = system_id(rows.value(), wire::IdKind::SharedMemory, memory.system.id);
    shmid_ds description{};
    if (::shmctl(id, IPC_STAT, &description) == 0 && description.shm_nattch == 0) ::shmctl(id, IPC_RMID, nullptr);
  }
  for (const image::Semaphores& set : image.semaphores) {
    const std::int32_t id = system_id(rows.value(), wire::IdKind::Semaphore, set.system.id);
    semid_ds description{};
    if (::semctl(id, 0, IPC_STAT, SemaphoreArgument{.description = &description}) != 0) continue;
    if (!is_used(name_of("System V semaphores", id, set.system.key), users_of(id, description)))
      ::semctl(id, 0, IPC_RMID);
  }
  for (const image::MessageQueue& queue : image.message_queues) {
    const std::int32_t id = system_id(rows.value(), wire::IdKind::MessageQueue, queue.system.id);
    msqid_ds description{};
    if (::msgctl(id, IPC_STAT, &description) != 0) continue;
    if (!is_used(name_of("a System V message queue", id, queue.system.key), users_of(description)))
      ::msgctl(id, IPC_RMID, nullptr);
  }
  return stay;
}

}  // namespace stasis::checkpoint
