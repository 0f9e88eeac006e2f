// The ids of an application as rows: those of its table, or, where its ids are the system's, its processes and threads.
#include <algorithm>
#include <cstdlib>
#include <map>

#include "addon/arguments.h"
#include "addon/functions.h"
#include "addon/operation.h"
#include "os/id_table.h"
#include "os/procfs.h"

namespace stasis::addon {

namespace {

constexpr int kStartTimeField = 22;

struct Row {
  const char* kind;
  std::uint32_t virtual_id;
  std::uint64_t system_id;  // 0: none
  std::uint32_t owner;      // virtual pid; 0: none or not known
  const char* state;
};

const char* name_of(wire::IdKind kind) {
  switch (kind) {
    case wire::IdKind::Process:
      return "process";
    case wire::IdKind::Group:
      return "group";
    case wire::IdKind::Session:
      return "session";
    case wire::IdKind::SharedMemory:
      return "shared-memory";
    case wire::IdKind::Semaphore:
      return "semaphores";
    case wire::IdKind::MessageQueue:
      return "message-queue";
    case wire::IdKind::Timer:
      return "timer";
    case wire::IdKind::Port:
      return "port";
    case wire::IdKind::Address:
      return "address";
    case wire::IdKind::Path:
      return "path";
  }
  return "unknown";
}

// The process of a thread that lives; 0 if it has ended.
std::uint32_t process_of(std::uint64_t system_tid) {
  const auto status = procfs::read_status(static_cast<pid_t>(system_tid));
  return status.ok() ? static_cast<std::uint32_t>(status.value().number("Tgid")) : 0;
}

Row row_of(const IdRow& entry, const std::map<std::uint64_t, std::uint32_t>& virtual_ids) {
  Row row{name_of(entry.kind), entry.virtual_id, entry.system_id, entry.owner, "live"};
  if (entry.kind == wire::IdKind::Port) row.kind = entry.flags == 0 ? "tcp-port" : "udp-port";
  if (entry.kind != wire::IdKind::Process) return row;
  if ((entry.flags & wire::kIdThread) != 0) row.kind = "thread";
  if (entry.state == wire::IdState::Known) {
    row.state = "known";
    return row;
  }
  const std::uint32_t process = entry.state == wire::IdState::Live ? process_of(entry.system_id) : 0;
  if (process == 0) {
    row.state = "ended";
  } else if ((entry.flags & wire::kIdForeign) != 0) {
    row.state = "foreign";
  } else if (const auto owner = virtual_ids.find(process); owner != virtual_ids.end()) {
    row.owner = owner->second;
  }
  return row;
}

Result<std::vector<Row>> rows_of(const IdTable& table) {
  const auto entries = STASIS_TRY(table.rows());
  std::map<std::uint64_t, std::uint32_t> virtual_ids;
  for (const IdRow& entry : entries) {
    if (entry.kind == wire::IdKind::Process && entry.state == wire::IdState::Live)
      virtual_ids[entry.system_id] = entry.virtual_id;
  }
  std::vector<Row> rows;
  rows.reserve(entries.size());
  for (const IdRow& entry : entries) rows.push_back(row_of(entry, virtual_ids));
  return rows;
}

// A process that ends meanwhile is left out.
void add_tree(pid_t pid, std::vector<Row>& rows) {
  const auto own = static_cast<std::uint32_t>(pid);
  const auto threads = procfs::list_threads(pid);
  const auto children = procfs::list_children(pid);
  if (!threads.ok() || !children.ok()) return;
  for (const pid_t tid : threads.value()) {
    const auto number = static_cast<std::uint32_t>(tid);
    rows.push_back({number == own ? "process" : "thread", number, number, own, "identity"});
  }
  for (const pid_t child : children.value()) add_tree(child, rows);
}

Result<std::vector<Row>> read_rows(pid_t pid, std::uint64_t start_time) {
  auto table = IdTable::open(pid);
  const auto stat = procfs::read_stat(pid);
  if (!stat.ok() || stat.value().field[kStartTimeField] != start_time) {
    return Error::of_errno(ESRCH, "", "the process is not running").with_pid(pid);
  }
  if (!table.ok()) return std::move(table).error();
  if (table.value().has_value()) return rows_of(*table.value());
  std::vector<Row> rows;
  add_tree(pid, rows);
  return rows;
}

Napi::Value value_of(Napi::Env env, const std::vector<Row>& rows) {
  Napi::Array list = Napi::Array::New(env, rows.size());
  for (std::uint32_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    Napi::Object object = Napi::Object::New(env);
    object.Set("kind", row.kind);
    object.Set("virtual", row.virtual_id);
    object.Set("system", row.system_id != 0 ? Napi::Value(Napi::Number::New(env, static_cast<double>(row.system_id)))
                                            : env.Null());
    object.Set("owner", row.owner != 0 ? Napi::Value(Napi::Number::New(env, row.owner)) : env.Null());
    object.Set("state", row.state);
    list[i] = object;
  }
  return list;
}

}  // namespace

Napi::Value ids(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const auto pid = static_cast<pid_t>(arguments.integer(0, "pid"));
  const auto start_time = static_cast<std::uint64_t>(arguments.integer(1, "startTime"));
  if (arguments.failed()) return info.Env().Undefined();
  return run_on_pool(info.Env(), "stasis.ids", [=]() -> Result<MakeValue> {
    auto rows = STASIS_TRY(read_rows(pid, start_time));
    return MakeValue([rows = std::move(rows)](Napi::Env env) { return value_of(env, rows); });
  });
}

}  // namespace stasis::addon
