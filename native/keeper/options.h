// The keeper's arguments:
//
//     stasis-keeper --directory DIR --runtime FILE --mode detached|foreground [--ready-fd N] [--deadline-ms N]
//                   -- PROGRAM ARGV0 [ARG...]
//     stasis-keeper ... --plan-fd N
//     stasis-keeper ... --plan-socket N
//
// PROGRAM is a path that needs no looking up. The other two forms ask for a restore: the plan is there, or a descriptor
// of it will come over the socket with one byte, so that the keeper can start while the plan is being made; end-of-file
// there means that none will come. The arguments are written by launch/ and by nobody else, so a mistake in them ends
// the keeper with one line.
#pragma once

namespace stasis::keeper {

enum class Mode { Detached, Foreground };

struct Options {
  const char* directory = nullptr;  // of the application, absolute
  const char* runtime = nullptr;    // absolute
  Mode mode = Mode::Detached;
  int ready_fd = -1;         // -1: failures go to stderr, success is silent
  int plan_fd = -1;          // restore
  int plan_socket = -1;      // restore
  int deadline_ms = 30'000;  // until the application runs
  char** program = nullptr;  // PROGRAM, ARGV0, ..., null
  int plan_source() const { return plan_fd >= 0 ? plan_fd : plan_socket; }
  bool is_restore() const { return plan_fd >= 0 || plan_socket >= 0; }
};

// Returns null, or what is wrong with the arguments (static text).
const char* parse_options(int count, char** arguments, Options& options);

// A decimal number between `least` and `most`, nothing around it.
bool parse_number(const char* text, long least, long most, long& number);

}  // namespace stasis::keeper
