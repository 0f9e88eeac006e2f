// Makes what the tests compare with. All of it is checked in.
//
//   image_tool golden DIRECTORY     the golden images of the present format version, and what inspectors show of them
//   image_tool expected DIRECTORY   what inspectors show of the images there: those of older versions are never made again, but what
//                                   is read from them has the form of the present one
//   image_tool document FILE        the generated parts of docs/image-format.md, in place
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "image/files.h"
#include "test/image_document.h"
#include "test/image_samples.h"

namespace {

int fail(const stasis::Error& error) {
  std::fprintf(stderr, "image_tool: %s\n", error.message().c_str());
  return 1;
}

void write_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

int make_expected(const std::string& directory) {
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const std::string path = entry.path();
    auto image = stasis::image::read_records(path);
    if (!image.ok()) return fail(image.error());
    write_file(path + "/expected.json", stasis::image::to_json(image.value()));
    write_file(path + "/expected.txt", stasis::image::to_text(image.value()));
  }
  return 0;
}

int make_golden(const std::string& directory) {
  for (const auto& sample : stasis::test::samples()) {
    const std::string path = directory + "/" + sample.name;
    std::filesystem::remove_all(path);
    if (auto written = stasis::test::write_sample(sample, path); !written.ok()) return fail(written.error());
  }
  return make_expected(directory);
}

int make_document(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  if (!file) return fail(stasis::Error::plain(stasis::ErrorKind::NotFound, "reading the document").with_path(path));
  write_file(path, stasis::test::with_generated_parts(content.str()));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "golden") == 0) return make_golden(argv[2]);
  if (argc == 3 && std::strcmp(argv[1], "expected") == 0) return make_expected(argv[2]);
  if (argc == 3 && std::strcmp(argv[1], "document") == 0) return make_document(argv[2]);
  std::fprintf(stderr, "usage: image_tool golden DIRECTORY | expected DIRECTORY | document FILE\n");
  return 2;
}
