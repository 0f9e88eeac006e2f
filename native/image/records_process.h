// Records of what a process is allowed, and of its timers. The rules are those of image/records.h.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "image/records.h"

namespace stasis::image {

enum class TimerNotify : std::uint32_t { Signal = 0, None = 1, Thread = 4 };  // SIGEV_SIGNAL, _NONE, _THREAD_ID

struct PosixTimer {
  static constexpr RecordType kType = RecordType::PosixTimer;
  static constexpr const char* kName = "posix-timer";
  std::int32_t id = 0;
  std::int32_t clock = 0;
  TimerNotify notify = TimerNotify::Signal;
  std::uint32_t signal = 0;
  std::uint64_t value = 0;
  std::int32_t tid = 0;
  std::int64_t interval_ns = 0, remaining_ns = 0;
  bool waits = false;
  std::uint32_t overruns = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("id", r.id, "what timer_create gave");
    v.field("clock", r.clock, "clock id; negative: of a process or thread, as the program knows it");
    v.field("notify", r.notify, "0 a signal to the process, 1 none, 4 a signal to the thread");
    v.field("signal", r.signal, "signal number");
    v.hex("value", r.value, "value that comes with the signal");
    v.field("tid", r.tid, "thread that gets the signal, 0 for the process");
    v.field("interval_ns", r.interval_ns, "period, ns, 0 for none");
    v.field("remaining_ns", r.remaining_ns, "time to the next expiration, ns, 0 for a timer at rest");
    v.field("waits", r.waits, "its signal is queued; no queued-signal record speaks of it");
    v.field("overruns", r.overruns, "expirations of that signal beyond the first");
  }
};

struct Credentials {
  static constexpr RecordType kType = RecordType::Credentials;
  static constexpr const char* kName = "credentials";
  std::array<std::uint32_t, 4> uids{}, gids{};
  std::vector<std::uint32_t> groups;
  std::array<std::uint64_t, 5> capabilities{};
  std::uint32_t securebits = 0;
  bool no_new_privs = false;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("uids", r.uids, "real, effective, saved, file system");
    v.field("gids", r.gids, "likewise");
    v.field("groups", r.groups, "supplementary groups, ascending");
    v.field("capabilities", r.capabilities, "inheritable, permitted, effective, bounding, ambient: bit sets");
    v.hex("securebits", r.securebits, "as PR_GET_SECUREBITS gives them");
    v.field("no_new_privs", r.no_new_privs, "PR_SET_NO_NEW_PRIVS");
  }
};

// Resource limits and what else a process inherits and hands down.
struct Limits {
  static constexpr RecordType kType = RecordType::Limits;
  static constexpr const char* kName = "limits";
  std::array<std::uint64_t, 32> limits{};
  std::int32_t oom_score_adj = 0;
  std::uint64_t coredump_filter = 0;
  std::uint64_t personality = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("limits", r.limits,
            "soft and hard limit of each resource, RLIMIT_CPU (0) to RLIMIT_RTTIME (15); 2^64-1: none");
    v.field("oom_score_adj", r.oom_score_adj, "/proc/PID/oom_score_adj");
    v.hex("coredump_filter", r.coredump_filter, "/proc/PID/coredump_filter");
    v.hex("personality", r.personality, "personality(2)");
  }
};

// A seccomp filter that the program has installed, for all its threads.
struct OwnFilter {
  static constexpr RecordType kType = RecordType::OwnFilter;
  static constexpr const char* kName = "own-filter";
  std::uint32_t flags = 0;
  std::vector<std::uint8_t> program;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.hex("flags", r.flags, "of seccomp(2)");
    v.field("program", r.program, "struct sock_filter, 8 bytes each");
  }
};

struct Signalfd {
  static constexpr RecordType kType = RecordType::Signalfd;
  static constexpr const char* kName = "signalfd";
  std::uint32_t object = 0;
  std::uint32_t flags = 0;
  std::uint64_t mask = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("object", r.object, "number of this object");
    v.hex("flags", r.flags, "status flags");
    v.hex("mask", r.mask, "signals it takes, bit signal-1");
  }
};

struct Pidfd {
  static constexpr RecordType kType = RecordType::Pidfd;
  static constexpr const char* kName = "pidfd";
  std::uint32_t object = 0;
  std::uint32_t flags = 0;
  std::int32_t pid = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("object", r.object, "number of this object");
    v.hex("flags", r.flags, "status flags");
    v.field("pid", r.pid, "process id, as the program knows it; 0 for one that has ended and was waited for");
  }
};

// One end of a pseudoterminal whose other end the application has too.
struct Terminal {
  static constexpr RecordType kType = RecordType::Terminal;
  static constexpr const char* kName = "terminal";
  std::uint32_t object = 0;
  std::uint32_t master = 0;
  std::uint32_t flags = 0;
  std::uint32_t index = 0;
  std::vector<std::uint8_t> settings;
  std::array<std::uint16_t, 4> size{};
  bool locked = false, packet = false;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("object", r.object, "number of this object");
    v.field("master", r.master, "number of the master's object; its own for a master");
    v.hex("flags", r.flags, "access mode and status flags");
    v.field("index", r.index, "N of /dev/pts/N");
    v.field("settings", r.settings, "struct termios2, of a master that of its terminal");
    v.field("size", r.size, "rows, columns, width and height in pixels, of a master");
    v.field("locked", r.locked, "TIOCSPTLCK, of a master");
    v.field("packet", r.packet, "TIOCPKT, of a master");
  }
};

// How one thread is scheduled.
struct Scheduling {
  static constexpr RecordType kType = RecordType::Scheduling;
  static constexpr const char* kName = "scheduling";
  std::int32_t tid = 0;
  std::uint32_t policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::array<std::uint64_t, 3> deadline{};
  std::vector<std::uint8_t> affinity;
  std::uint64_t timer_slack_ns = 0;
  std::uint32_t io_priority = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("tid", r.tid, "thread id, as the program knows it");
    v.field("policy", r.policy, "SCHED_OTHER 0, FIFO 1, RR 2, BATCH 3, IDLE 5, DEADLINE 6");
    v.hex("flags", r.flags, "SCHED_FLAG_RESET_ON_FORK 1");
    v.field("nice", r.nice, "niceness");
    v.field("priority", r.priority, "of FIFO and RR");
    v.field("deadline", r.deadline, "of DEADLINE: runtime, deadline, period, ns");
    v.field("affinity", r.affinity, "processors, bit sets as sched_getaffinity(2) gives them");
    v.field("timer_slack_ns", r.timer_slack_ns, "PR_GET_TIMERSLACK, ns");
    v.field("io_priority", r.io_priority, "ioprio_get(2)");
  }
};

}  // namespace stasis::image
