// What stands in front of every record's data. The data is padded with zeros to a multiple of 8 bytes.
#pragma once

#include <cstdint>
#include <string>

#include "image/records.h"

namespace stasis::image {

inline constexpr char kMagic[8] = {'S', 'T', 'A', 'S', 'I', 'S', 'I', 'M'};  // at the start of the header
inline constexpr std::size_t kFrameBytes = 32;
inline constexpr std::size_t kFrameNameBytes = 16;
inline constexpr std::size_t kRecordAlignment = 8;

struct Frame {
  std::uint32_t type = 0, flags = 0;
  std::uint64_t data_bytes = 0;
  std::string name;
  template <class V, class F>
  static void describe(V& v, F& f) {
    v.field("type", f.type, "type of the record");
    v.field("flags", f.flags,
            "bit 0: required, a reader that does not know the type must refuse the image; other bits are 0");
    v.field("data_bytes", f.data_bytes, "length of the data, frame and padding excluded");
    v.text("name", f.name, kFrameNameBytes, "name of the type, for readers that do not know it");
  }
};

}  // namespace stasis::image
