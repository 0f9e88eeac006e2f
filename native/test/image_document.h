// The generated parts of docs/image-format.md: each lies between the lines `<!-- generated: NAME -->` and `<!-- end
// -->`.
#pragma once

#include <string>

namespace stasis::test {

// The document with its generated parts made anew. A part that nothing generates becomes a line saying so.
std::string with_generated_parts(const std::string& document);

}  // namespace stasis::test
