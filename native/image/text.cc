// The inspector's text: a heading for each record, then a line for each field. Lists stand one element to a line, long
// runs of bytes are cut.
#include <algorithm>

#include "image/codec.h"
#include "image/image.h"
#include "image/present.h"
#include "image/record_list.h"

namespace stasis::image {

namespace {

constexpr std::size_t kShownBytes = 32;
constexpr std::size_t kNameColumn = 20;

std::string cut_bytes(std::span<const std::uint8_t> bytes) {
  const std::string start = hex_bytes(bytes.first(std::min(bytes.size(), kShownBytes)));
  if (bytes.size() <= kShownBytes) return start.empty() ? "(none)" : start;
  return start + "... (" + std::to_string(bytes.size()) + " bytes)";
}

template <class T>
std::string show_integer(T value, bool hex) {
  if constexpr (std::is_enum_v<T>) {
    return std::to_string(static_cast<std::underlying_type_t<T>>(value));
  } else {
    return hex ? hex_number(static_cast<std::uint64_t>(value)) : std::to_string(value);
  }
}

template <class T>
std::string show(const T& value, bool hex);

// A struct on one line: name=value name=value.
class LineWriter {
 public:
  template <class T>
  void field(const char* name, const T& value, const char*) {
    add(name, show(value, false));
  }
  template <class T>
  void since(std::uint32_t, const char* name, const T& value, const char* meaning) {
    field(name, value, meaning);
  }
  template <class T>
  void hex(const char* name, const T& value, const char*) {
    add(name, show(value, true));
  }
  std::string line;

 private:
  void add(const char* name, const std::string& value) {
    line += (line.empty() ? "" : " ") + std::string(name) + "=" + value;
  }
};

template <class T>
std::string show(const T& value, bool hex) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "yes" : "no";
  } else if constexpr (kIsScalar<T>) {
    return show_integer(value, hex);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return quoted_text(value);
  } else if constexpr (std::is_same_v<T, std::vector<std::uint8_t>>) {
    return cut_bytes(value);
  } else if constexpr (kIsList<T> || kIsArray<T>) {
    std::string line;
    for (const auto& element : value) line += (line.empty() ? "" : " ") + show(element, hex);
    return line.empty() ? "(none)" : line;
  } else {
    LineWriter writer;
    T::describe(writer, value);
    return writer.line;
  }
}

// A record as indented lines.
class TextWriter {
 public:
  explicit TextWriter(std::string& out) : out_(out) {}

  template <class T>
  void field(const char* name, const T& value, const char*) {
    write(name, value, false);
  }
  template <class T>
  void since(std::uint32_t, const char* name, const T& value, const char* meaning) {
    field(name, value, meaning);
  }
  template <class T>
  void hex(const char* name, const T& value, const char*) {
    write(name, value, true);
  }
  void constant(const char*, std::uint32_t, const char*) {}
  void text(const char* name, const std::string& value, std::size_t, const char*) { write(name, value, false); }
  void reserved(std::size_t) {}

 private:
  void add_line(std::string name, const std::string& value) {
    name.resize(std::max(name.size(), kNameColumn), ' ');
    out_ += "  " + name + " " + value + "\n";
  }

  template <class T>
  void write(const char* name, const T& value, bool hex) {
    if constexpr (kIsList<T> && !std::is_same_v<T, std::vector<std::uint8_t>>) {
      if (value.empty()) return add_line(name, "(none)");
      std::string label = name;
      for (const auto& element : value) {
        add_line(label, show(element, hex));
        label.clear();
      }
    } else {
      add_line(name, show(value, hex));
    }
  }

  std::string& out_;
};

}  // namespace

std::string to_text(const Image& image) {
  std::string out = "header\n";
  TextWriter writer(out);
  Header::describe(writer, image.header);
  for_each_record(image, [&](const auto& record) {
    using Record = std::remove_cvref_t<decltype(record)>;
    out += std::string("\n") + Record::kName + "\n";
    Record::describe(writer, record);
  });
  for (const UnknownRecord& record : image.unknown) {
    out += "\n" + quoted_text(record.name) + " (type " + std::to_string(record.type) + ", unknown to this version)\n";
    writer.field("data", record.data, "");
  }
  return out;
}

}  // namespace stasis::image
