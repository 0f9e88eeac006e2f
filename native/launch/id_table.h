// A new translation table (wire/ids.h), made by whoever executes the runtime.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "os/unique_fd.h"

namespace stasis::launch {

struct IdTableOptions {
  std::string_view application;   // its id
  std::uint32_t parts = 0;        // of the filter, beside the base (wire/parts.h)
  std::uint32_t shift = 0;        // first launch: virtual ids are system ids plus this
  std::uint32_t environment = 0;  // network number; 0: none
  std::uint32_t own_address = 0;  // host part inside it
};

// A memfd, close-on-exec, whose size is sealed; without an entry.
Result<UniqueFd> make_id_table(const IdTableOptions& options);

// Says where a process that has lost the memfd can open it again. Not needed for anything else, so a failure is none.
void name_keeper(int table, std::uint32_t pid, std::uint32_t fd);

}  // namespace stasis::launch
