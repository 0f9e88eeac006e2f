// What people and other programs see: the golden images, JSON, text and the document.
#include <filesystem>
#include <fstream>
#include <sstream>

#include "image/files.h"
#include "image/present.h"
#include "test/check.h"
#include "test/image_document.h"
#include "test/image_samples.h"

namespace stasis::test {

namespace {

using namespace image;

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

TEST(golden_images_of_every_version_are_read) {
  int images = 0;
  for (const auto& version : std::filesystem::directory_iterator(source_root() + "/test/images")) {
    for (const auto& entry : std::filesystem::directory_iterator(version.path())) {
      const std::string path = entry.path();
      auto opened = open_image(path, {});
      if (!check(opened.ok(), __FILE__, __LINE__, opened.ok() ? path : opened.error().message())) continue;
      CHECK_EQUAL(to_json(opened.value().image), content_of(path + "/expected.json"));
      CHECK_EQUAL(to_text(opened.value().image), content_of(path + "/expected.txt"));
      ++images;
    }
  }
  CHECK(images >= 3);
}

// What is written today is what was written when the golden images were made. A difference is a change of the format:
// it needs a new format version and golden images of its own.
TEST(golden_images_are_what_is_written) {
  for (const Sample& s : samples()) {
    const std::string path = source_root() + "/test/images/v" + std::to_string(kFormatVersion) + "/" + s.name;
    const auto bytes = encode(s.image);
    CHECK(std::string(bytes.begin(), bytes.end()) == content_of(path + "/image.stasis"));
  }
}

TEST(document_tables_are_those_of_the_code) {
  const std::string document = content_of(source_root() + "/docs/image-format.md");
  CHECK(document.find("<!-- generated: records -->") != std::string::npos);
  if (with_generated_parts(document) == document) return;
  check(false, __FILE__, __LINE__, "docs/image-format.md is not what image_tool document makes of it");
}

TEST(json_strings_keep_every_byte) {
  CHECK_EQUAL(json_string("plain"), "\"plain\"");
  CHECK_EQUAL(json_string("\"\\\n\x7f"), "\"\\\"\\\\\\u000a\\u007f\"");
  CHECK_EQUAL(json_string(std::string_view("\0", 1)), "\"\\u0000\"");
  CHECK_EQUAL(json_string("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
  CHECK_EQUAL(json_string("\xff"), "\"\\udcff\"");
  CHECK_EQUAL(json_string("\xc3"), "\"\\udcc3\"");                        // cut short
  CHECK_EQUAL(json_string("\xc0\x80"), "\"\\udcc0\\udc80\"");             // overlong
  CHECK_EQUAL(json_string("\xed\xa0\x80"), "\"\\udced\\udca0\\udc80\"");  // a surrogate
  CHECK_EQUAL(quoted_text("a\x1b[31m\xff"), "\"a\\x1b[31m\\xff\"");
}

TEST(hex_numbers_have_no_leading_zeros) {
  CHECK_EQUAL(hex_number(0), "0x0");
  CHECK_EQUAL(hex_number(0x7f00), "0x7f00");
  CHECK_EQUAL(hex_number(~0ull), "0xffffffffffffffff");
}

}  // namespace

}  // namespace stasis::test
