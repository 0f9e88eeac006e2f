// What of a process as a whole cannot be saved. Descriptors and mappings are judged where they are read (fds.cc,
// memory.cc).
#pragma once

#include "checkpoint/subject.h"
#include "os/process_memory.h"
#include "os/procfs.h"

namespace stasis::checkpoint {

// The descriptor and the page files of the runtime in the process. Unsupported if there is none: the process was not
// launched by Stasis, or by one whose descriptor has another version.
Status read_runtime(const ProcessMemory& memory, Subject& subject);

// Busy if another process traces it, NotFound if it is not the process meant (start time) or has ended.
Status check_identity(const Subject& subject, const procfs::Fields& status);

// Children, timers, filters, namespaces, threads with tables of their own, the working directory.
Status refuse_process(const Subject& subject, const procfs::Fields& status, Findings& findings);

}  // namespace stasis::checkpoint
