// Shared by the checks of validate(), one file per kind of state. Each check names the record, by its place among the
// records of its type from 0, and what is wrong with it; the first finding ends the checks.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"
#include "image/image.h"
#include "wire/layout.h"

namespace stasis::image {

// An object and what may refer to it.
struct ObjectUse {
  std::uint32_t ends = 1;   // that descriptors may name
  bool is_memory = false;   // mappings and open files may name it
  bool has_numbers = true;  // descriptors may name it
};
using Objects = std::map<std::uint32_t, ObjectUse>;

Result<Objects> validate_objects(const Image& image);                // everything that processes share
Status validate_memory(const Image& image, const Objects& objects);  // page files, layouts, mappings, runs
Status validate_threads(const Image& image);                         // threads, actions, queued signals
Status validate_descriptors(const Image& image, const Objects& objects);
Status validate_tree(const Image& image);  // who is whose child

// Stored pages of something of `bytes` bytes that starts at `start`: ascending, inside it and inside their page files.
Status check_runs(const Image& image, const std::vector<PageRun>& runs, std::uint64_t start, std::uint64_t bytes,
                  const std::string& subject);

Error invalid(const std::string& subject, const std::string& problem);

// "mapping 3"
inline std::string nth(const char* record, std::size_t index) {
  return std::string(record) + " " + std::to_string(index);
}

inline bool is_page_aligned(std::uint64_t value) { return value % wire::kPageBytes == 0; }
inline bool is_user_address(std::uint64_t address) { return address < wire::kUserTop; }
inline bool is_signal(std::uint32_t signal) { return signal >= 1 && signal <= 64; }

// Short enough for the kernel and free of zeros.
bool is_absolute_path(const std::string& path);
bool is_lowercase_hex(const std::string& text);

}  // namespace stasis::image
