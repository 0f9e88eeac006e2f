// The inspector's JSON: {"header":{...},"records":[{"type":"process",...},...]}, one record to a line.
//
// The form of a value depends on its field, so that programs can rely on it:
//  - integers up to 32 bits and truth values are JSON numbers, true and false;
//  - 64-bit integers described with hex() are strings "0x...";
//  - other 64-bit integers are numbers up to 2^53 - 1 and strings of decimal digits beyond: BigInt() takes them all;
//  - bytes are a string of hex digits, lists are arrays, described structs are objects.
#include "image/codec.h"
#include "image/image.h"
#include "image/present.h"
#include "image/record_list.h"

namespace stasis::image {

namespace {

constexpr std::uint64_t kSafeInteger = (1ull << 53) - 1;  // Number.MAX_SAFE_INTEGER of ECMAScript

// Writes the members of one object.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  template <class T>
  void field(const char* name, const T& value, const char*) {
    write_name(name);
    write(value);
  }
  template <class T>
  void since(std::uint32_t, const char* name, const T& value, const char* meaning) {
    field(name, value, meaning);
  }
  template <class T>
  void hex(const char* name, const T& value, const char*) {
    write_name(name);
    if constexpr (kIsList<T>) {
      write_list(value, [this](std::uint64_t element) { this->write_hex(element); });
    } else if constexpr (sizeof(T) == sizeof(std::uint64_t)) {
      write_hex(value);
    } else {
      write_integer(value);
    }
  }
  void constant(const char*, std::uint32_t, const char*) {}
  void text(const char* name, const std::string& value, std::size_t, const char* meaning) {
    field(name, value, meaning);
  }
  void reserved(std::size_t) {}

 private:
  void write_name(const char* name) {
    if (!first_) out_ += ',';
    first_ = false;
    out_ += json_string(name) + ':';
  }

  void write_hex(std::uint64_t value) { out_ += '"' + hex_number(value) + '"'; }

  template <class T>
  void write_integer(T value) {
    const auto magnitude = value < 0 ? -static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
    const std::string digits = std::to_string(value);
    out_ += magnitude > kSafeInteger ? '"' + digits + '"' : digits;
  }

  template <class T, class Function>
  void write_list(const T& values, Function&& write_element) {
    out_ += '[';
    bool first = true;
    for (const auto& value : values) {
      if (!first) out_ += ',';
      first = false;
      write_element(value);
    }
    out_ += ']';
  }

  template <class T>
  void write(const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      out_ += value ? "true" : "false";
    } else if constexpr (std::is_enum_v<T>) {
      write_integer(static_cast<std::underlying_type_t<T>>(value));
    } else if constexpr (std::is_integral_v<T>) {
      write_integer(value);
    } else if constexpr (std::is_same_v<T, std::string>) {
      out_ += json_string(value);
    } else if constexpr (std::is_same_v<T, std::vector<std::uint8_t>>) {
      out_ += '"' + hex_bytes(value) + '"';
    } else if constexpr (kIsList<T> || kIsArray<T>) {
      write_list(value, [this](const auto& element) { this->write(element); });
    } else {
      out_ += '{';
      JsonWriter members(out_);
      T::describe(members, value);
      out_ += '}';
    }
  }

  std::string& out_;
  bool first_ = true;
};

}  // namespace

std::string to_json(const Header& header) {
  std::string out = "{";
  JsonWriter writer(out);
  Header::describe(writer, header);
  return out + "}";
}

std::string to_json(const Image& image) {
  std::string out = "{\"header\":" + to_json(image.header) + ",\n\"records\":[";
  const char* separator = "\n";
  for_each_record(image, [&](const auto& record) {
    using Record = std::remove_cvref_t<decltype(record)>;
    out += separator;
    separator = ",\n";
    out += "{\"type\":" + json_string(Record::kName);
    std::string members;
    JsonWriter writer(members);
    Record::describe(writer, record);
    out += "," + members + "}";
  });
  for (const UnknownRecord& record : image.unknown) {
    out += separator;
    separator = ",\n";
    out += "{\"type\":" + json_string(record.name) + ",\"unknown\":true,\"number\":" + std::to_string(record.type) +
           ",\"flags\":" + std::to_string(record.flags) + ",\"data\":\"" + hex_bytes(record.data) + "\"}";
  }
  return out + "\n]}\n";
}

}  // namespace stasis::image
