// Turning what was read from the held process into records: threads, signals, layout.
#pragma once

#include "checkpoint/objects.h"
#include "image/image.h"
#include "os/procfs.h"
#include "tracer/threads.h"

namespace stasis::checkpoint {

void record_threads(const tracer::ProcessState& state, image::ProcessImage& section);

// Actions, queued signals, interval timers. `status` is /proc/PID/status.
void record_signals(const tracer::ProcessState& state, const procfs::Fields& status, image::ProcessImage& section);

// Process and MemoryLayout; Clock, Runtime and the header's facts about this host, which are the same for every process.
Status record_process(const Subject& subject, const tracer::ProcessState& state, const procfs::Fields& status,
                      image::Image& image, image::ProcessImage& section);

// After the others of all members: makes every id in the records the one that the program knows, and adds those that it may
// know besides. `members` are those of image.processes.
Status translate_ids(Members members, image::Image& image);

}  // namespace stasis::checkpoint
