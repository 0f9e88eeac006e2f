// Page files, the layout of the address space, mappings and their stored pages.
#include <set>

#include "image/present.h"
#include "image/validate.h"
#include "wire/descriptor.h"

namespace stasis::image {

namespace {

constexpr std::uint64_t kMaxFileBytes = 0x7fff'ffff'ffff'f000;  // of off_t, page-aligned
constexpr std::size_t kMaxFileName = 255;                       // NAME_MAX

bool is_file_name(const std::string& name) {
  return !name.empty() && name.size() <= kMaxFileName && name != "." && name != ".." &&
         name.find_first_of(std::string("/\0", 2)) == std::string::npos;
}

// The range lies in user space, page-aligned, and outside the runtime's window.
bool is_mappable(std::uint64_t address, std::uint64_t length) {
  if (length == 0 || !is_page_aligned(address) || !is_page_aligned(length)) return false;
  if (length > wire::kUserTop || address > wire::kUserTop - length) return false;
  return address >= wire::kWindowEnd || address + length <= wire::kWindowBase;
}

Status check_page_files(const Image& image) {
  if (image.page_files.size() > wire::kMaxPageFiles) {
    return invalid("page files", "more than " + std::to_string(wire::kMaxPageFiles));
  }
  std::set<std::string> names{kImageFileName, kRuntimeFileName};
  for (std::size_t i = 0; i < image.page_files.size(); ++i) {
    const PageFile& file = image.page_files[i];
    const std::string subject = nth("page-file", i);
    if (!is_file_name(file.file_name)) return invalid(subject, "not a plain file name");
    if (!names.insert(file.file_name).second) return invalid(subject, "the file name is taken");
    if (!is_page_aligned(file.file_bytes) || file.file_bytes > kMaxFileBytes)
      return invalid(subject, "a length of no whole pages");
    if (file.chunk_bytes == 0 || !is_page_aligned(file.chunk_bytes))
      return invalid(subject, "chunks of no whole pages");
    const std::uint64_t chunks = file.file_bytes / file.chunk_bytes + (file.file_bytes % file.chunk_bytes != 0);
    if (file.chunk_checksums.size() != chunks)
      return invalid(subject, "the number of checksums does not fit the length");
  }
  return {};
}

Status check_layout(const MemoryLayout& m) {
  for (const std::uint64_t address : {m.start_code, m.end_code, m.start_data, m.end_data, m.start_brk, m.brk,
                                      m.start_stack, m.arg_start, m.arg_end, m.env_start, m.env_end}) {
    if (address > wire::kUserTop) return invalid("memory", hex_number(address) + " is no address of a program");
  }
  if (m.start_code > m.end_code || m.start_data > m.end_data || m.start_brk > m.brk || m.arg_start > m.arg_end ||
      m.env_start > m.env_end) {
    return invalid("memory", "a range that ends before it starts");
  }
  if (m.auxv.size() % 16 != 0 || m.auxv.size() > wire::kPageBytes) return invalid("memory", "no auxiliary vector");
  return {};
}

// Words for errors are put together only when there is one: an image can have very many mappings and runs.
std::string name_of_mapping(const ProcessImage& section, const Mapping& mapping) {
  return nth("mapping", &mapping - section.mappings.data()) + " at " + hex_number(mapping.address);
}

// `name` gives the subject, for an error.
template <class Function>
Status check_each_run(const Image& image, const std::vector<PageRun>& runs, std::uint64_t start, std::uint64_t bytes,
                      Function&& name) {
  std::uint64_t free_from = start;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const PageRun& run = runs[i];
    const auto wrong = [&](const char* problem) {
      return invalid(name() + ", run " + std::to_string(i) + " at " + hex_number(run.address), problem);
    };
    if (run.length == 0 || !is_page_aligned(run.address) || !is_page_aligned(run.length) ||
        !is_page_aligned(run.file_offset)) {
      return wrong("not made of whole pages");
    }
    if (run.address < free_from) return wrong("starts before the mapping or inside the run before it");
    if (run.length > bytes || run.address - start > bytes - run.length) return wrong("reaches beyond the mapping");
    if (run.page_file >= image.page_files.size()) return wrong("there is no such page file");
    const std::uint64_t file_bytes = image.page_files[run.page_file].file_bytes;
    if (run.length > file_bytes || run.file_offset > file_bytes - run.length)
      return wrong("reaches beyond the page file");
    free_from = run.address + run.length;
  }
  return {};
}

// Pages beyond the end of the object are allowed, as they are in memory.
Status check_object(const Mapping& mapping, const Objects& objects, const std::string& subject) {
  const auto object = objects.find(mapping.object);
  if (object == objects.end() || !object->second.is_memory) return invalid(subject, "there is no such shared memory");
  if (!is_page_aligned(mapping.object_offset) || mapping.object_offset > kMaxFileBytes - mapping.length)
    return invalid(subject, "no possible offset in an object");
  return {};
}

Status check_mapping(const Image& image, const ProcessImage& section, const Mapping& mapping, const Objects& objects,
                     std::uint64_t free_from) {
  const auto wrong = [&](const char* problem) { return invalid(name_of_mapping(section, mapping), problem); };
  if (!is_mappable(mapping.address, mapping.length)) return wrong("not a range of whole pages that a program can have");
  if (mapping.address < free_from) return wrong("not above the mapping before it");
  if (mapping.protection > 7 || mapping.traits > 7 || mapping.advice > 255) return wrong("undefined bits");
  if (!is_lowercase_hex(mapping.file_build_id)) return wrong("the build id is not hex");
  if (mapping.object != 0 && mapping.source != MappingSource::Object) return wrong("an object that is not mapped");
  switch (mapping.source) {
    case MappingSource::Object:
      if (mapping.shared && !mapping.runs.empty()) return wrong("stored pages beside those of the object");
      STASIS_TRY(check_object(mapping, objects, name_of_mapping(section, mapping)));
      break;
    case MappingSource::Anonymous:
      if (!mapping.path.empty()) return wrong("anonymous memory with a path");
      break;
    case MappingSource::File:
      if (!is_absolute_path(mapping.path)) return wrong("no absolute path");
      if (!is_page_aligned(mapping.file_offset) || mapping.file_offset > kMaxFileBytes - mapping.length) {
        return wrong("no possible offset in a file");
      }
      if (mapping.shared && !mapping.runs.empty()) return wrong("stored pages of a shared file");
      break;
    default:
      return wrong("no such source");
  }
  if (mapping.source != MappingSource::File && (mapping.file_inode != 0 || mapping.file_checksum != 0))
    return wrong("a file's traits without the file");
  return check_each_run(image, mapping.runs, mapping.address, mapping.length,
                        [&] { return name_of_mapping(section, mapping); });
}

Status check_mappings(const Image& image, const ProcessImage& section, const Objects& objects) {
  std::uint64_t free_from = 0;
  for (const Mapping& mapping : section.mappings) {
    STASIS_TRY(check_mapping(image, section, mapping, objects, free_from));
    free_from = mapping.address + mapping.length;
  }
  return {};
}

}  // namespace

Status check_runs(const Image& image, const std::vector<PageRun>& runs, std::uint64_t start, std::uint64_t bytes,
                  const std::string& subject) {
  return check_each_run(image, runs, start, bytes, [&] { return subject; });
}

Status validate_memory(const Image& image, const Objects& objects) {
  STASIS_TRY(check_page_files(image));
  for (const ProcessImage& section : image.processes) {
    STASIS_TRY(check_layout(section.memory));
    STASIS_TRY(check_mappings(image, section, objects));
  }
  return {};
}

}  // namespace stasis::image
