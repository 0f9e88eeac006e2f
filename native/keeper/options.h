// The keeper's arguments:
//
//     stasis-keeper --directory DIR --runtime FILE --mode detached|foreground [--ready-fd N] [--deadline-ms N]
//                   [--shift-ids N] [--fast-path 0] [--environment NETWORK:HOST [--publish PROTOCOL,ADDRESS,PORT,PORT]...]
//                   -- PROGRAM ARGV0 [ARG...]
//     stasis-keeper ... --plan-fd N [--ids-fd N]
//     stasis-keeper ... --pid N --report-fd N --done-fd N [--ids-fd N]
//     stasis-keeper --hold IMAGE                               another task altogether (holder.h)
//
// and, of a restore, --working-set FILE --page-file FILE --page-file-stamp TEXT (working_set.h).
//
// PROGRAM is a path that needs no looking up. The other two forms are restores: the plan is there and the keeper
// executes the runtime, or the runtime was executed beside the keeper, as its child, so that both start at once
// (launch/spawn.h). The arguments are written by launch/ and by nobody else, so a mistake in them ends the keeper with
// one line.
#pragma once

#include "keeper/working_set.h"

namespace stasis::keeper {

enum class Mode { Detached, Foreground };

inline constexpr int kMaxPublications = 64;

struct Options {
  const char* directory = nullptr;  // of the application, absolute
  const char* runtime = nullptr;    // absolute
  Mode mode = Mode::Detached;
  int ready_fd = -1;          // -1: failures go to stderr, success is silent
  int plan_fd = -1;           // restore
  int pid = 0;                // restore: of the child that executes the runtime already
  int report_fd = -1;         // its report page, with pid
  int done_fd = -1;           // read end of its done pipe, with pid
  int ids_fd = -1;            // restore: translation table, kept open for processes that lose theirs
  int shift_ids = 0;          // first launch: every id the program sees is the system's plus this
  int fast_path = 1;          // 0: no call site of the program is rewritten (wire/parts.h)
  int network = 0, host = 0;  // first launch: place in an environment (runtime/net_address.h); 0: none
  int publications = 0;
  const char* publish[kMaxPublications] = {};  // ports reachable from outside the environment (publish.h)
  int deadline_ms = 30'000;                    // until the application runs
  WorkingSet working_set;                      // restore: to be recorded
  char** program = nullptr;                    // PROGRAM, ARGV0, ..., null
  bool adopts() const { return pid > 0; }
  bool is_restore() const { return plan_fd >= 0 || adopts(); }
};

// Returns null, or what is wrong with the arguments (static text).
const char* parse_options(int count, char** arguments, Options& options);

// A decimal number between `least` and `most`, nothing around it.
bool parse_number(const char* text, long least, long most, long& number);

}  // namespace stasis::keeper
