#include "checkpoint/sites.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "os/file.h"
#include "wire/layout.h"

namespace stasis::checkpoint {

namespace {

using wire::kPageBytes;
using wire::kSiteBytes;
using Page = std::array<std::uint8_t, kPageBytes>;

std::uint8_t byte_of(std::uint64_t word, std::uint64_t index) { return static_cast<std::uint8_t>(word >> (8 * index)); }

bool has_site(const Subject& subject, std::uint64_t page) {
  return std::any_of(subject.sites.begin(), subject.sites.end(), [page](const wire::RewrittenSite& site) {
    return site.address < page + kPageBytes && site.address + kSiteBytes > page;
  });
}

// Behind the end of a file its last page holds zeros.
Result<bool> equals_file(int fd, std::uint64_t offset, const Page& page) {
  Page file{};
  std::size_t have = 0;
  while (have < file.size()) {
    const std::size_t got = STASIS_TRY(read_at(fd, std::span(file).subspan(have), offset + have, "a mapped file"));
    if (got == 0) break;
    have += got;
  }
  return page == file;
}

void add_range(std::vector<Range>& ranges, std::uint64_t start, std::uint64_t end) {
  if (start < end) ranges.push_back({start, end});
}

}  // namespace

void note_sites(const wire::RuntimeState& state, Subject& subject) {
  const std::uint32_t sites = std::min(state.rewritten_site_count, wire::kMaxRewrittenSites);
  const std::uint32_t areas = std::min(state.stub_area_count, wire::kMaxStubAreas);
  subject.sites.assign(state.rewritten_sites, state.rewritten_sites + sites);
  subject.stub_areas.assign(state.stub_areas, state.stub_areas + areas);
}

void restore_site(const wire::RewrittenSite& site, std::uint64_t address, std::span<std::uint8_t> bytes) {
  const std::uint64_t begin = std::max(site.address, address);
  const std::uint64_t end = std::min(site.address + kSiteBytes, address + bytes.size());
  for (std::uint64_t at = begin; at < end; ++at) {
    if (bytes[at - address] != byte_of(site.replacement, at - site.address)) return;
  }
  for (std::uint64_t at = begin; at < end; ++at) bytes[at - address] = byte_of(site.original, at - site.address);
}

Result<std::vector<Range>> without_rewritten_pages(const Subject& subject, const ProcessMemory& memory,
                                                   const image::Mapping& mapping, const std::vector<Range>& ranges) {
  std::vector<Range> kept;
  Result<UniqueFd> file = UniqueFd();
  for (const Range& range : ranges) {
    std::uint64_t start = range.start;
    for (std::uint64_t page = range.start; page < range.end; page += kPageBytes) {
      if (!has_site(subject, page)) continue;
      if (file.ok() && !file.value()) file = open_file_at(AT_FDCWD, mapping.path, O_RDONLY, 0, "opening a mapped file");
      if (!file.ok()) return ranges;  // no longer readable by this user: the pages are stored
      Page bytes;
      STASIS_TRY(memory.read(page, bytes));
      for (const wire::RewrittenSite& site : subject.sites) restore_site(site, page, bytes);
      const std::uint64_t offset = mapping.file_offset + (page - mapping.address);
      if (!STASIS_TRY(equals_file(file.value().get(), offset, bytes))) continue;
      add_range(kept, start, page);
      start = page + kPageBytes;
    }
    add_range(kept, start, range.end);
  }
  return kept;
}

}  // namespace stasis::checkpoint
