// Turning what was read from the held process into records: threads, signals, layout.
#pragma once

#include "checkpoint/subject.h"
#include "image/image.h"
#include "os/procfs.h"
#include "tracer/threads.h"

namespace stasis::checkpoint {

void record_threads(const tracer::ProcessState& state, image::Image& image);

// Actions, queued signals, interval timers. `status` is /proc/PID/status.
void record_signals(const tracer::ProcessState& state, const procfs::Fields& status, image::Image& image);

// Process, MemoryLayout, Clock and the header's facts about this host.
Status record_process(const Subject& subject, const tracer::ProcessState& state, const procfs::Fields& status,
                      image::Image& image);

// After the others: makes every id in the records the one that the program knows, and adds those that it may know
// besides.
Status translate_ids(const Subject& subject, image::Image& image);

}  // namespace stasis::checkpoint
