// The working set of an image: which of its pages a program wrote soon after an earlier restore (docs/adr/0010). Recorded
// by the keeper of one restore, used by the runtime of later ones, and lost without harm.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "image/files.h"
#include "restore/plan_builder.h"
#include "wire/plan.h"

namespace stasis::restore {

// Where it is kept: beside the page file's stamp.
std::string working_set_path(const std::string& stamp_directory, const FileStatus& page_file);

// What the file says, sorted and without overlaps, in whole pages of user addresses; empty if there is none. A file that
// belongs to another state of the page file, or that is not as the keeper writes it, is removed, so that the next
// restore records anew.
std::vector<wire::WorkingSetRange> read_working_set(const std::string& stamp_directory, const FileStatus& page_file,
                                                    std::uint64_t records_checksum);

// The keeper's arguments that make it record the working set of the image in `directory`, if there is none yet.
std::vector<std::string> working_set_arguments(const std::string& stamp_directory, const std::string& directory,
                                               std::uint64_t records_checksum);

// Adds to the plan what lies in writable private mappings of page files. After plan_memory.
void plan_working_set(const std::vector<wire::WorkingSetRange>& ranges, PlanBuilder& plan);

}  // namespace stasis::restore
