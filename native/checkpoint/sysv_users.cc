#include "checkpoint/sysv_users.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "os/procfs.h"

namespace stasis::checkpoint {

namespace {

constexpr std::size_t kStartTime = 22;  // field of /proc/PID/stat, in ticks since the boot
constexpr std::int64_t kSlack = 2;      // times are given in whole seconds

std::int64_t boot_time_s() {
  timespec now{}, up{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  ::clock_gettime(CLOCK_BOOTTIME, &up);
  return now.tv_sec - up.tv_sec;
}

// Whether the process that had the id when the object was used is still there: else its number may be another's by now.
bool is_alive(pid_t pid, std::int64_t used_s) {
  const auto stat = procfs::read_stat(pid);
  if (!stat.ok() || stat.value().state == 'Z' || stat.value().state == 'X') return false;
  const auto ticks = static_cast<std::int64_t>(stat.value().field[kStartTime]);
  return boot_time_s() + ticks / ::sysconf(_SC_CLK_TCK) <= used_s + kSlack;
}

// Threads of the members that are in semop(2) or semtimedop(2) on the set. Of stopped ones none is: a stop ends the wait.
std::uint64_t waiting_members(Members members, int id) {
  std::uint64_t count = 0;
  for (const Subject* member : members) {
    const auto threads = procfs::list_threads(member->pid);
    if (!threads.ok() || member->phase == Phase::Stopped) continue;
    for (const pid_t tid : threads.value()) {
      const auto text = procfs::read_text(member->pid, "task/" + std::to_string(tid) + "/syscall");
      long number = -1;
      unsigned long first = 0;
      if (!text.ok() || std::sscanf(text.value().c_str(), "%ld 0x%lx", &number, &first) != 2) continue;
      if ((number == SYS_semop || number == SYS_semtimedop) && static_cast<int>(first) == id) ++count;
    }
  }
  return count;
}

}  // namespace

std::string ObjectUsers::outsider(Members members) const {
  for (const pid_t pid : last) {
    const bool inside =
        std::any_of(members.begin(), members.end(), [pid](const Subject* member) { return member->pid == pid; });
    if (pid > 0 && !inside && is_alive(pid, last_s)) {
      return "process " + std::to_string(pid) + ", which is not of the application, has used";
    }
  }
  if (waiting > 0 && waiting > waiting_members(members, semaphores_id)) {
    return "a process that is not of the application waits for";
  }
  return {};
}

ObjectUsers users_of(int id, const semid_ds& description) {
  ObjectUsers users;
  users.last_s = std::max<std::int64_t>(description.sem_otime, description.sem_ctime);
  users.semaphores_id = id;
  for (unsigned long i = 0; i < description.sem_nsems; ++i) {
    const int number = static_cast<int>(i);
    users.last.push_back(std::max(::semctl(id, number, GETPID), 0));
    users.waiting += static_cast<std::uint64_t>(std::max(::semctl(id, number, GETNCNT), 0));
    users.waiting += static_cast<std::uint64_t>(std::max(::semctl(id, number, GETZCNT), 0));
  }
  return users;
}

ObjectUsers users_of(const msqid_ds& description) {
  ObjectUsers users;
  users.last_s = std::max<std::int64_t>({description.msg_stime, description.msg_rtime});
  users.last = {description.msg_lspid, description.msg_lrpid};
  return users;
}

}  // namespace stasis::checkpoint
