#include "image/present.h"

namespace stasis::image {

namespace {

constexpr char kDigits[] = "0123456789abcdef";

void append_hex_byte(std::string& out, std::uint8_t byte) {
  out += kDigits[byte >> 4];
  out += kDigits[byte & 15];
}

// Length of the UTF-8 sequence at the start of `text`, 0 if there is none (RFC 3629: no overlong forms, no surrogates).
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<std::uint8_t>(text[i]) : 0u; };
  const auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
    return byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    return follows(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf) && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    return follows(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

// Quotes `text`; stray bytes and control characters go out behind the prefixes given, as two hex digits.
std::string quote(std::string_view text, const char* stray_prefix, const char* control_prefix) {
  std::string out = "\"";
  while (!text.empty()) {
    const auto first = static_cast<std::uint8_t>(text[0]);
    const std::size_t length = sequence_length(text);
    if (length == 0) {
      out += stray_prefix;
      append_hex_byte(out, first);
      text.remove_prefix(1);
      continue;
    }
    if (first < 0x20 || first == 0x7f) {
      out += control_prefix;
      append_hex_byte(out, first);
    } else {
      if (first == '"' || first == '\\') out += '\\';
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return out + '"';
}

}  // namespace

std::string hex_number(std::uint64_t value) {
  std::string digits;
  do {
    digits.insert(digits.begin(), kDigits[value & 15]);
    value >>= 4;
  } while (value != 0);
  return "0x" + digits;
}

std::string hex_bytes(std::span<const std::uint8_t> bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) append_hex_byte(out, byte);
  return out;
}

std::string json_string(std::string_view text) { return quote(text, "\\udc", "\\u00"); }

std::string quoted_text(std::string_view text) { return quote(text, "\\x", "\\x"); }

}  // namespace stasis::image
