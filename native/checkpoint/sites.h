// Call sites that the runtime has rewritten (runtime/sites.h). They are no part of the program: an image holds the bytes
// that were there before, and a page of a mapped file that differs from the file in nothing else is the file's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "checkpoint/memory.h"
#include "checkpoint/subject.h"
#include "os/process_memory.h"

namespace stasis::checkpoint {

// What the runtime's state says of sites and stub areas, into the subject.
void note_sites(const wire::RuntimeState& state, Subject& subject);

// Puts the site's original bytes, as far as they lie in [address, address + bytes.size()), into this copy of the program's
// memory. Where something else than the jump stands, the library was unmapped since, and nothing is done.
void restore_site(const wire::RewrittenSite& site, std::uint64_t address, std::span<std::uint8_t> bytes);

// The ranges of changed pages of a private file mapping without the pages that only sites have changed. `ranges` ascend.
Result<std::vector<Range>> without_rewritten_pages(const Subject& subject, const ProcessMemory& memory,
                                                   const image::Mapping& mapping, const std::vector<Range>& ranges);

}  // namespace stasis::checkpoint
