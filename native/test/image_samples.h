// Images with fixed content: what the golden images in test/images are made of, and where tests and the fuzzer start
// from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/image.h"

namespace stasis::test {

struct Sample {
  const char* name;
  image::Image image;
  std::vector<std::uint8_t> pages;    // content of pages-0.raw; none if empty
  std::vector<std::uint8_t> runtime;  // content of `runtime`
};

// "smallest": nothing that can be left out. "every-record": two or more of all that can be there more than once,
// extreme values included. "unknown-record": a type that this version does not know and can do without.
std::vector<Sample> samples();
const Sample& sample(const std::string& name);

// Writes the sample's directory, the way a checkpoint does, by way of `path`.partial.
Status write_sample(const Sample& sample, const std::string& path);

}  // namespace stasis::test
