// How values are shown to people, shared by the writers of JSON and of text.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace stasis::image {

std::string hex_number(std::uint64_t value);  // "0x7f00"
std::string hex_bytes(std::span<const std::uint8_t> bytes);

// Quoted for JSON. Bytes that are no UTF-8 become \udcXX, a lone surrogate, as Python's surrogateescape has it: nothing
// is lost.
std::string json_string(std::string_view text);

// Quoted for a terminal: control characters and bytes that are no UTF-8 become a backslash, x and two hex digits.
std::string quoted_text(std::string_view text);

}  // namespace stasis::image
