#include "image/codec.h"

#include <algorithm>

namespace stasis::image {

void Decoder::constant(const char* name, std::uint32_t expected, const char* meaning) {
  std::uint32_t value = 0;
  field(name, value, meaning);
  if (failed_ || value == expected) return;
  enter(name);
  fail(std::to_string(value) + " in place of " + std::to_string(expected), position_ - sizeof value);
}

void Decoder::text(const char* name, std::string& value, std::size_t bytes, const char*) {
  if (failed_) return;
  enter(name);
  std::string padded(bytes, '\0');
  if (!take(padded.data(), bytes)) return;
  const std::size_t length = std::min(padded.find('\0'), bytes);
  if (std::any_of(padded.begin() + length, padded.end(), [](char c) { return c != '\0'; })) {
    return fail("text behind its terminating zero", position_ - bytes + length);
  }
  value = padded.substr(0, length);
  --depth_;
}

void Decoder::reserved(std::size_t bytes) {
  for (std::size_t i = 0; i < bytes && !failed_; ++i) {
    std::uint8_t byte = 0;
    if (take(&byte, 1) && byte != 0) fail("a reserved byte that is not zero", position_ - 1);
  }
}

void Decoder::refuse_rest() {
  fail(std::to_string(bytes_.size() - position_) + " bytes behind the last field", position_);
}

bool Decoder::run_short(std::size_t size) {
  fail(std::to_string(size) + " bytes expected, " + std::to_string(bytes_.size() - position_) + " left", position_);
  return false;
}

bool Decoder::take_count(std::size_t element, std::uint32_t& count) {
  if (!take(&count, sizeof count)) return false;
  const std::size_t left = bytes_.size() - position_;
  if (count <= left / element) return true;
  fail("a count of " + std::to_string(count) + ", more than the " + std::to_string(left) + " bytes left can hold",
       position_ - sizeof count);
  return false;
}

void Decoder::fail(const std::string& problem, std::size_t position) {
  std::string field;
  for (const Name& name : std::span(names_).first(depth_)) {
    field += field.empty() ? "" : ".";
    field += name.field;
    if (name.index != kNoIndex) field += "[" + std::to_string(name.index) + "]";
  }
  failed_ = true;
  error_ = Error::plain(ErrorKind::Damaged, (field.empty() ? "" : ", field " + field) + ": " + problem)
               .with_offset(static_cast<std::int64_t>(base_ + position));
}

}  // namespace stasis::image
