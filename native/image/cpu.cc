#include "image/cpu.h"

#include <cpuid.h>

namespace stasis::image {

namespace {

CpuFeatures ask() {
  constexpr std::uint32_t kOsxsave = 1 << 27;
  CpuFeatures features;
  std::uint32_t a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d)) {
    features.leaf1_ecx = c;
    features.leaf1_edx = d;
  }
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    features.leaf7_ebx = b;
    features.leaf7_ecx = c;
    features.leaf7_edx = d;
  }
  if (__get_cpuid(0x8000'0001, &a, &b, &c, &d)) features.extended_ecx = c;
  if ((features.leaf1_ecx & kOsxsave) != 0) {
    std::uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    features.xcr0 = std::uint64_t{high} << 32 | low;
  }
  return features;
}

}  // namespace

const CpuFeatures& cpu_features_of_this_host() {
  static const CpuFeatures features = ask();
  return features;
}

}  // namespace stasis::image
