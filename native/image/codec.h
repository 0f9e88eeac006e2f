// Encoder and decoder: visitors over `describe` (image/records.h) that turn a described struct into bytes and back. The
// visitors that write for people are in image/json.cc, image/text.cc and image/document.h.
//
// Encoding of a value: integers and enums little-endian in their own size, bool as one byte 0 or 1, std::array as its
// elements, strings, bytes and lists as a u32 count and their elements, described structs as their fields in order.
//
// The decoder trusts nothing: it never reads outside its bytes, and before it makes room for a list it checks that the
// bytes left can hold that many elements. The first thing wrong stops it; everything after that is left at its default.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "image/records.h"

namespace stasis::image {

static_assert(std::endian::native == std::endian::little, "values are copied as they lie in memory");

template <class T>
inline constexpr bool kIsScalar = std::is_integral_v<T> || std::is_enum_v<T>;
template <class T>
struct ListTraits : std::false_type {};
template <class T>
struct ListTraits<std::vector<T>> : std::true_type {};
template <class T>
inline constexpr bool kIsList = ListTraits<T>::value;
template <class T>
struct ArrayTraits : std::false_type {};
template <class T, std::size_t kCount>
struct ArrayTraits<std::array<T, kCount>> : std::true_type {};
template <class T>
inline constexpr bool kIsArray = ArrayTraits<T>::value;

class Encoder {
 public:
  // `version` is the format's: fields that came later are left out.
  explicit Encoder(std::vector<std::uint8_t>& bytes, std::uint32_t version = kFormatVersion)
      : bytes_(bytes), version_(version) {}

  template <class T>
  void field(const char*, const T& value, const char*) {
    write(value);
  }
  template <class T>
  void hex(const char*, const T& value, const char*) {
    write(value);
  }
  template <class T>
  void since(std::uint32_t version, const char*, const T& value, const char*) {
    if (version_ >= version) write(value);
  }
  void constant(const char*, std::uint32_t value, const char*) { write(value); }
  void text(const char*, const std::string& value, std::size_t bytes, const char*) {
    std::string padded = value.substr(0, bytes);
    padded.resize(bytes, '\0');
    append(padded.data(), bytes);
  }
  void reserved(std::size_t bytes) { bytes_.resize(bytes_.size() + bytes); }

  template <class T>
  void write(const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      bytes_.push_back(value ? 1 : 0);
    } else if constexpr (kIsScalar<T>) {
      append(&value, sizeof value);
    } else if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, std::vector<std::uint8_t>>) {
      write_count(value.size());
      append(value.data(), value.size());
    } else if constexpr (kIsList<T>) {
      write_count(value.size());
      for (const auto& element : value) write(element);
    } else if constexpr (kIsArray<T>) {
      for (const auto& element : value) write(element);
    } else {
      T::describe(*this, value);
    }
  }

 private:
  void write_count(std::size_t count) {
    STASIS_CHECK(count <= 0xffff'ffff);
    write(static_cast<std::uint32_t>(count));
  }
  void append(const void* data, std::size_t size) {
    const auto* first = static_cast<const std::uint8_t*>(data);
    bytes_.insert(bytes_.end(), first, first + size);
  }

  std::vector<std::uint8_t>& bytes_;
  std::uint32_t version_;
};

// The fewest bytes that a value of type T can take, in any version: those of its default, whose strings and lists are empty.
template <class T>
std::size_t smallest_encoding() {
  static const std::size_t size = [] {
    std::vector<std::uint8_t> bytes;
    Encoder(bytes, 1).write(T{});
    return bytes.size();
  }();
  return size;
}

class Decoder {
 public:
  // `offset` is where `bytes` lies in image.stasis, for errors; `version` the format's of whoever wrote them.
  Decoder(std::span<const std::uint8_t> bytes, std::size_t offset, std::uint32_t version = kFormatVersion)
      : bytes_(bytes), base_(offset), version_(version) {}

  template <class T>
  void field(const char* name, T& value, const char*) {
    if (failed_) return;
    enter(name);
    read(value);
    if (!failed_) --depth_;
  }
  template <class T>
  void hex(const char* name, T& value, const char* meaning) {
    field(name, value, meaning);
  }
  template <class T>
  void since(std::uint32_t version, const char* name, T& value, const char* meaning) {
    if (version_ >= version) field(name, value, meaning);
  }
  void constant(const char* name, std::uint32_t expected, const char* meaning);
  void text(const char* name, std::string& value, std::size_t bytes, const char* meaning);
  void reserved(std::size_t bytes);

  // What was wrong, or that bytes were left over. subject() names what was read and is called only for an error.
  template <class Function>
  Status finish(Function&& subject) {
    if (!failed_ && position_ != bytes_.size()) refuse_rest();
    if (!failed_) return {};
    error_.doing = "reading " + subject() + error_.doing;
    return std::move(error_);
  }

 private:
  static constexpr std::size_t kNoIndex = ~std::size_t{0};
  struct Name {
    const char* field;
    std::size_t index;  // of the element in a list
  };

  template <class T>
  void read(T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      std::uint8_t byte = 0;
      if (!take(&byte, 1)) return;
      if (byte > 1) return fail("a truth value that is neither 0 nor 1", position_ - 1);
      value = byte == 1;
    } else if constexpr (kIsScalar<T>) {
      take(&value, sizeof value);
    } else if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, std::vector<std::uint8_t>>) {
      std::uint32_t count = 0;
      if (!take_count(1, count)) return;
      value.assign(bytes_.begin() + position_, bytes_.begin() + position_ + count);
      position_ += count;
    } else if constexpr (kIsList<T>) {
      std::uint32_t count = 0;
      if (!take_count(smallest_encoding<typename T::value_type>(), count)) return;
      value.resize(count);
      read_elements(value);
    } else if constexpr (kIsArray<T>) {
      read_elements(value);
    } else {
      T::describe(*this, value);
    }
  }

  template <class T>
  void read_elements(T& values) {
    for (std::size_t i = 0; i < values.size() && !failed_; ++i) {
      names_[depth_ - 1].index = i;
      read(values[i]);
    }
    if (!failed_) names_[depth_ - 1].index = kNoIndex;
  }

  void enter(const char* name) {
    STASIS_CHECK(depth_ < names_.size());
    names_[depth_++] = {name, kNoIndex};
  }
  bool take(void* into, std::size_t size) {
    if (size > bytes_.size() - position_) return run_short(size);
    if (size != 0) std::memcpy(into, bytes_.data() + position_, size);
    position_ += size;
    return true;
  }
  bool run_short(std::size_t size);  // false
  // A count of elements of at least `element` bytes each; fails if the bytes left cannot hold them.
  bool take_count(std::size_t element, std::uint32_t& count);
  void fail(const std::string& problem, std::size_t position);
  void refuse_rest();

  std::span<const std::uint8_t> bytes_;
  std::size_t base_;
  std::uint32_t version_;
  std::size_t position_ = 0;
  std::array<Name, 8> names_;  // the field being read, last, and those around it
  std::size_t depth_ = 0;
  bool failed_ = false;
  Error error_;
};

}  // namespace stasis::image
