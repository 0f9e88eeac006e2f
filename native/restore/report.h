// What the runtime reported, in words.
#pragma once

#include "base/error.h"
#include "wire/report.h"

namespace stasis::restore {

// The error behind a report whose state is Failed, from a launch or a restore. Kind, subject (fd, thread, address,
// path), errno and a remedy follow from the step and errno.
Error error_of_report(const wire::Report& report);

}  // namespace stasis::restore
