// The record of a restored program's working set: the pages of the image that it has written by now, for later restores
// of the same image (docs/adr/0010).
#pragma once

#include <sys/types.h>

namespace stasis::keeper {

struct WorkingSet {
  const char* file = nullptr;       // to be written, absolute; null: nothing to do
  const char* page_file = nullptr;  // whose private mappings count, as /proc/PID/maps names it
  const char* stamp = nullptr;      // of the page file, for the header
};

// Writes the file, whole or not at all. What cannot be found out is left out; a failure costs later restores time,
// nothing else. Takes some hundred microseconds and no heap.
void record_working_set(pid_t pid, const WorkingSet& set);

}  // namespace stasis::keeper
