// The features of the processor under this process, in the terms of an image's header.
#pragma once

#include "image/image.h"

namespace stasis::image {

// Asks the processor (cpuid, xgetbv), once per process: under a hypervisor each question is a trap of some
// microseconds.
const CpuFeatures& cpu_features_of_this_host();

}  // namespace stasis::image
