// The visitor that writes the tables of docs/image-format.md. A unit test holds the document equal to what this gives.
#pragma once

#include <cstdint>
#include <string>

#include "image/codec.h"
#include "image/frame.h"
#include "image/image.h"
#include "image/record_list.h"

namespace stasis::image {

template <class T>
std::string name_of_type() {
  if constexpr (std::is_same_v<T, bool>) {
    return "bool";
  } else if constexpr (std::is_enum_v<T>) {
    return name_of_type<std::underlying_type_t<T>>();
  } else if constexpr (std::is_integral_v<T>) {
    return (std::is_signed_v<T> ? "i" : "u") + std::to_string(sizeof(T) * 8);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return "string";
  } else if constexpr (std::is_same_v<T, std::vector<std::uint8_t>>) {
    return "bytes";
  } else if constexpr (kIsList<T>) {
    return "list of " + name_of_type<typename T::value_type>();
  } else if constexpr (kIsArray<T>) {
    return std::to_string(std::tuple_size_v<T>) + " " + name_of_type<typename T::value_type>();
  } else {
    return "struct";
  }
}

// One row for each field; the fields of a struct inside follow it as outer.inner, of a list of structs as
// outer[].inner.
class TableWriter {
 public:
  enum class Offsets { Shown, None };  // shown where all fields are fixed in size

  // `offset` is that of the first field.
  TableWriter(std::string& out, Offsets offsets, std::size_t offset) : out_(out), offsets_(offsets), offset_(offset) {
    out_ += offsets_ == Offsets::Shown ? "| offset | field | type | meaning |\n|---|---|---|---|\n"
                                       : "| field | type | meaning |\n|---|---|---|\n";
  }

  template <class T>
  void field(const char* name, const T& value, const char* meaning) {
    const bool is_struct = name_of_type<T>() == "struct";
    row(prefix_ + name, name_of_type<T>(), meaning);
    if (!is_struct) offset_ += smallest_encoding<T>();
    if constexpr (kIsList<T>) {
      if constexpr (std::is_class_v<typename T::value_type> && !std::is_same_v<typename T::value_type, std::string>) {
        nested(std::string(name) + "[].", typename T::value_type{});
      }
    } else if constexpr (std::is_class_v<T> && !kIsArray<T> && !std::is_same_v<T, std::string>) {
      nested(std::string(name) + ".", value);
    }
  }
  template <class T>
  void hex(const char* name, const T& value, const char* meaning) {
    field(name, value, meaning);
  }
  template <class T>
  void since(std::uint32_t version, const char* name, const T& value, const char* meaning) {
    field(name, value, (std::string(meaning) + "; since version " + std::to_string(version)).c_str());
  }
  void constant(const char* name, std::uint32_t value, const char* meaning) {
    row(name, "u32", std::string(meaning) + ", " + std::to_string(value));
    offset_ += sizeof value;
  }
  void text(const char* name, const std::string&, std::size_t bytes, const char* meaning) {
    row(name, std::to_string(bytes) + " bytes", std::string(meaning) + "; padded with zeros");
    offset_ += bytes;
  }
  void raw(const char* name, std::size_t bytes, const std::string& meaning) {
    row(name, std::to_string(bytes) + " bytes", meaning);
    offset_ += bytes;
  }
  void reserved(std::size_t bytes) {
    row("", std::to_string(bytes) + " bytes", "zeros");
    offset_ += bytes;
  }

 private:
  void row(const std::string& name, const std::string& type, const std::string& meaning) {
    if (offsets_ == Offsets::Shown) out_ += "| " + std::to_string(offset_) + " ";
    out_ += "| " + (name.empty() ? "" : "`" + name + "`") + " | " + type + " | " + meaning + " |\n";
  }

  template <class T>
  void nested(const std::string& prefix, const T& value) {
    const std::string before = prefix_;
    prefix_ += prefix;
    T::describe(*this, value);
    prefix_ = before;
  }

  std::string& out_;
  Offsets offsets_;
  std::size_t offset_;
  std::string prefix_;
};

inline std::string header_table() {
  std::string out;
  TableWriter writer(out, TableWriter::Offsets::Shown, 0);
  writer.raw("magic", sizeof kMagic, std::string(kMagic, sizeof kMagic) + " in ASCII");
  const Header header;
  Header::describe(writer, header);
  writer.raw("header_checksum", 8, "u64, XXH64 (seed 0) of the 248 bytes before it");
  return out;
}

inline std::string frame_table() {
  std::string out;
  TableWriter writer(out, TableWriter::Offsets::Shown, 0);
  const Frame frame;
  Frame::describe(writer, frame);
  return out;
}

// A section for each type of record, in the order in which the encoder writes them.
inline std::string record_tables() {
  std::string out;
  const auto add = [&out]<class Record>(const Record& record, const char* how_many) {
    out += "\n### " + std::string(Record::kName) + "\n\nType " + std::to_string(static_cast<unsigned>(Record::kType)) +
           ", " + how_many + ".\n\n";
    TableWriter writer(out, TableWriter::Offsets::None, 0);
    Record::describe(writer, record);
  };
  for_each_slot<ImageSlots>([&](auto slot) {
    using S = decltype(slot);
    add(typename S::Record{}, S::kMany ? "any number" : "exactly one");
  });
  for_each_slot<SectionSlots>([&](auto slot) {
    using S = decltype(slot);
    const bool begins = std::is_same_v<typename S::Record, Process>;
    add(typename S::Record{}, begins     ? "begins the section of a process"
                              : S::kMany ? "any number in a section"
                                         : "exactly one in each section");
  });
  add(End{}, "exactly one, last");
  return out;
}

}  // namespace stasis::image
