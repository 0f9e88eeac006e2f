#include "test/image_document.h"

#include <cstdio>

#include "image/document.h"
#include "test/image_samples.h"

namespace stasis::test {

namespace {

constexpr char kBegin[] = "<!-- generated: ";
constexpr char kBeginEnd[] = " -->\n";
constexpr char kEnd[] = "<!-- end -->";

// 16 bytes to a line: offset, hex, characters. Lines equal to the one before are left out, and one line `*` stands for
// them.
std::string hex_dump(const std::vector<std::uint8_t>& bytes) {
  std::string out, previous;
  bool skipping = false;
  for (std::size_t at = 0; at < bytes.size(); at += 16) {
    char text[32];
    std::string hex, characters;
    for (std::size_t i = at; i < at + 16 && i < bytes.size(); ++i) {
      std::snprintf(text, sizeof text, "%02x ", bytes[i]);
      hex += text;
      characters += bytes[i] >= 0x20 && bytes[i] < 0x7f ? static_cast<char>(bytes[i]) : '.';
    }
    if (hex == previous) {
      if (!skipping) out += "*\n";
      skipping = true;
      continue;
    }
    skipping = false;
    previous = hex;
    hex.resize(48, ' ');
    std::snprintf(text, sizeof text, "%06zx  ", at);
    out += text + hex + " " + characters + "\n";
  }
  return out;
}

std::string part(const std::string& name) {
  if (name == "header") return image::header_table();
  if (name == "frame") return image::frame_table();
  if (name == "records") return image::record_tables();
  if (name == "example") return "```\n" + hex_dump(image::encode(sample("smallest").image)) + "```\n";
  if (name == "example-json")
    return "```json\n" + image::to_json(image::decode(image::encode(sample("smallest").image)).value()) + "```\n";
  return "No part is called " + name + ".\n";
}

}  // namespace

std::string with_generated_parts(const std::string& document) {
  std::string out;
  std::size_t at = 0;
  for (;;) {
    const std::size_t begin = document.find(kBegin, at);
    if (begin == std::string::npos) break;
    const std::size_t name_at = begin + sizeof kBegin - 1;
    const std::size_t name_end = document.find(kBeginEnd, name_at);
    const std::size_t end = document.find(kEnd, name_at);
    if (name_end == std::string::npos || end == std::string::npos || end < name_end) break;
    const std::size_t content_at = name_end + sizeof kBeginEnd - 1;
    out += document.substr(at, content_at - at) + "\n" + part(document.substr(name_at, name_end - name_at)) + "\n";
    at = end;
  }
  return out + document.substr(at);
}

}  // namespace stasis::test
