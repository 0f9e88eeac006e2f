// Header, frames and the list of records, in both directions. docs/image-format.md describes the bytes.
#include "image/image.h"

#include <algorithm>
#include <cstring>

#include "image/codec.h"
#include "image/frame.h"
#include "image/record_list.h"

namespace stasis::image {

namespace {

constexpr std::size_t kChecksumAt = kHeaderBytes - 8;
constexpr std::uint32_t kArchitecture = 62;
constexpr char kNewerVersion[] = "use the version of Stasis that made the image, or a newer one";

std::size_t padding_of(std::uint64_t bytes) { return (kRecordAlignment - bytes % kRecordAlignment) % kRecordAlignment; }

// A name out of a hostile file, fit for a terminal.
std::string printable(std::string text) {
  std::replace_if(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c > 0x7e; }, '?');
  return text;
}

Error damaged(std::string what, std::size_t offset) {
  return Error::plain(ErrorKind::Damaged, std::move(what)).with_offset(static_cast<std::int64_t>(offset));
}

void write_frame(std::vector<std::uint8_t>& out, const Frame& frame, const std::vector<std::uint8_t>& data) {
  Encoder(out).write(frame);
  out.insert(out.end(), data.begin(), data.end());
  out.resize(out.size() + padding_of(data.size()));
}

template <class Record>
void write_record(std::vector<std::uint8_t>& out, const Record& record) {
  std::vector<std::uint8_t> data;
  Encoder(data).write(record);
  write_frame(out, {static_cast<std::uint32_t>(Record::kType), kFrameRequired, data.size(), Record::kName}, data);
}

// Which records that may stand once were met: a bit for each place in the list.
template <class Slots>
class Seen {
 public:
  // False: it was there before.
  bool note(std::size_t index) {
    const std::uint64_t bit = std::uint64_t{1} << index;
    if ((bits_ & bit) != 0) return false;
    bits_ |= bit;
    return true;
  }
  // The name of a record that must be there and is not, or null.
  const char* missing() const {
    const char* name = nullptr;
    std::size_t index = 0;
    for_each_slot<Slots>([&](auto slot) {
      using S = decltype(slot);
      if (!S::kMany && (bits_ >> index & 1) == 0 && name == nullptr) name = S::Record::kName;
      ++index;
    });
    return name;
  }

 private:
  static_assert(std::tuple_size_v<Slots> <= 64, "there is a bit for each type");
  std::uint64_t bits_ = 0;
};

// Walks the frames and puts every record into its place in the image.
class RecordReader {
 public:
  RecordReader(std::span<const std::uint8_t> file, Image& image) : file_(file), image_(image) {
    if (version() == 1) image_.processes.emplace_back();  // its records come in any order
  }

  Status read() {
    while (!ended_) {
      if (position_ == file_.size())
        return damaged("reading the records: the image ends without an end record", position_);
      STASIS_TRY(read_frame());
      STASIS_TRY(take_record());
      ++count_;
    }
    if (position_ != file_.size()) return damaged("reading the records: bytes behind the end record", position_);
    return check_single_records();
  }

 private:
  // Sets frame_ and data_ and moves on to the next frame.
  Status read_frame() {
    start_ = position_;
    frame_ = {};
    if (file_.size() - start_ < kFrameBytes) return wrong("truncated inside its frame", 0);
    Decoder decoder(file_.subspan(start_, kFrameBytes), start_);
    Frame::describe(decoder, frame_);
    STASIS_TRY(decoder.finish([&] { return "the frame of " + subject(); }));
    if ((frame_.flags & ~kFrameRequired) != 0) return wrong("undefined flags", 4);
    const std::size_t room = file_.size() - start_ - kFrameBytes;
    const std::uint64_t bytes = frame_.data_bytes;
    if (bytes > room || padding_of(bytes) > room - bytes) {
      return wrong(std::to_string(bytes) + " bytes announced, " + std::to_string(room) + " left", 8);
    }
    data_ = file_.subspan(start_ + kFrameBytes, bytes);
    position_ = start_ + kFrameBytes + bytes;
    for (std::size_t left = padding_of(bytes); left > 0; --left, ++position_) {
      if (file_[position_] != 0) return wrong("padding that is not zero", position_ - start_);
    }
    return {};
  }

  Status take_record() {
    if (frame_.type == static_cast<std::uint32_t>(End::kType)) {
      End end;
      STASIS_TRY(decode_into(end));
      if (end.records != count_) return wrong("it counts other records than there are", kFrameBytes);
      ended_ = true;
      return {};
    }
    if (frame_.type == static_cast<std::uint32_t>(Process::kType) && version() > 1) {
      STASIS_TRY(check_section());
      image_.processes.emplace_back();
      section_ = {};
    }
    bool known = false;
    Status status = take_from<ImageSlots>(image_, whole_, known);
    if (known) return status;
    if (!image_.processes.empty()) {
      status = take_from<SectionSlots>(image_.processes.back(), section_, known);
      if (known) return status;
    } else if (is_of_section()) {
      return wrong("a record of a process before the first process", 0);
    }
    return take_unknown();
  }

  template <class Slots, class Owner>
  Status take_from(Owner& owner, Seen<Slots>& seen, bool& known) {
    Status status;
    std::size_t index = 0;
    for_each_slot<Slots>([&](auto slot) {
      using S = decltype(slot);
      if (frame_.type == static_cast<std::uint32_t>(S::Record::kType)) {
        known = true;
        if constexpr (S::kMany) {
          status = decode_into(S::of(owner).emplace_back());
        } else {
          status = seen.note(index) ? decode_into(S::of(owner)) : Status(wrong("a second record of this type", 0));
        }
      }
      ++index;
    });
    return status;
  }

  bool is_of_section() const {
    bool found = false;
    for_each_slot<SectionSlots>(
        [&](auto slot) { found = found || frame_.type == static_cast<std::uint32_t>(decltype(slot)::Record::kType); });
    return found;
  }

  template <class Record>
  Status decode_into(Record& record) {
    if (frame_.name != Record::kName) {
      return wrong("type " + std::to_string(frame_.type) + " is called " + Record::kName, 16);
    }
    Decoder decoder(data_, start_ + kFrameBytes, version());
    Record::describe(decoder, record);
    return decoder.finish([&] { return subject(); });
  }

  Status take_unknown() {
    if ((frame_.flags & kFrameRequired) == 0) {
      image_.unknown.push_back({frame_.type, frame_.flags, frame_.name, {data_.begin(), data_.end()}});
      return {};
    }
    return Error::plain(ErrorKind::Incompatible,
                        "reading " + subject() + ": this version of Stasis does not know records of type " +
                            std::to_string(frame_.type) + ", and the image cannot do without",
                        kNewerVersion)
        .with_offset(static_cast<std::int64_t>(start_));
  }

  Status check_single_records() {
    if (const char* name = whole_.missing()) return missing(name);
    if (image_.processes.empty()) return missing(Process::kName);
    return check_section();
  }

  // The section that ends here, if there is one, is complete.
  Status check_section() {
    if (image_.processes.empty()) return {};
    const char* name = section_.missing();
    const bool added = name != nullptr && version() == 1 && std::string_view(name) == Descriptors::kName;
    return name == nullptr || added ? Status{} : Status(missing(name));
  }

  Error missing(const char* name) const {
    return damaged(std::string("reading the records: there is no record ") + name, position_);
  }

  std::uint32_t version() const { return image_.header.format_version; }

  std::string subject() const {
    return "record " + std::to_string(count_) + (frame_.name.empty() ? "" : " (" + printable(frame_.name) + ")");
  }

  Error wrong(const std::string& problem, std::size_t offset_in_record) const {
    return damaged("reading " + subject() + ": " + problem, start_ + offset_in_record);
  }

  std::span<const std::uint8_t> file_;
  Image& image_;
  std::size_t position_ = kHeaderBytes;  // of the next frame
  std::size_t start_ = 0;                // of this frame
  Frame frame_;
  std::span<const std::uint8_t> data_;
  std::uint32_t count_ = 0;  // records before this one
  Seen<ImageSlots> whole_;
  Seen<SectionSlots> section_;  // of the last process
  bool ended_ = false;
};

}  // namespace

std::vector<std::uint8_t> encode(const Image& image) {
  std::vector<std::uint8_t> out(kHeaderBytes);
  std::uint32_t count = 0;
  for_each_record(image, [&](const auto& record) {
    write_record(out, record);
    ++count;
  });
  for (const UnknownRecord& record : image.unknown) {
    write_frame(out, {record.type, record.flags, record.data.size(), record.name}, record.data);
    ++count;
  }
  write_record(out, End{count});

  Header header = image.header;
  if (header.format_version < kFormatVersion) header.format_version = kFormatVersion;  // it has been upgraded
  header.image_bytes = out.size();
  header.records_bytes = out.size() - kHeaderBytes;
  header.records_checksum = checksum(std::span(out).subspan(kHeaderBytes));
  std::vector<std::uint8_t> front(std::begin(kMagic), std::end(kMagic));
  Encoder encoder(front);
  Header::describe(encoder, header);
  STASIS_CHECK(front.size() == kChecksumAt);
  encoder.write(checksum(front));
  std::memcpy(out.data(), front.data(), kHeaderBytes);
  return out;
}

Result<Header> decode_header(std::span<const std::uint8_t> bytes) {
  if (!std::equal(bytes.begin(), bytes.begin() + std::min(bytes.size(), sizeof kMagic), kMagic)) {
    return damaged("reading the image's header: not a Stasis image", 0);
  }
  if (bytes.size() < kHeaderBytes) return damaged("reading the image's header: truncated", bytes.size());
  // The checksum covers the first 256 bytes in every version, so that a damaged version number is not taken for a newer
  // format.
  std::uint64_t stored;
  std::memcpy(&stored, bytes.data() + kChecksumAt, sizeof stored);
  if (stored != checksum(bytes.first(kChecksumAt))) {
    return damaged("reading the image's header: the checksum does not match", kChecksumAt);
  }
  std::uint32_t version;
  std::memcpy(&version, bytes.data() + sizeof kMagic, sizeof version);
  if (version > kFormatVersion) {
    return Error::plain(ErrorKind::Incompatible,
                        "reading the image's header: the image has format version " + std::to_string(version) +
                            ", this version of Stasis reads versions up to " + std::to_string(kFormatVersion),
                        kNewerVersion);
  }
  if (version == 0) return damaged("reading the image's header: there is no format version 0", sizeof kMagic);
  Header header;
  Decoder decoder(bytes.subspan(sizeof kMagic, kChecksumAt - sizeof kMagic), sizeof kMagic);
  Header::describe(decoder, header);
  STASIS_TRY(decoder.finish([] { return std::string("the image's header"); }));
  if (header.architecture != kArchitecture) {
    return Error::plain(ErrorKind::Incompatible,
                        "reading the image's header: the image was made for another architecture (ELF machine " +
                            std::to_string(header.architecture) + ")");
  }
  return header;
}

Result<Image> decode_unchecked(std::span<const std::uint8_t> bytes) {
  Image image;
  image.header = STASIS_TRY(decode_header(bytes));
  const Header& header = image.header;
  if (header.image_bytes > bytes.size()) {
    return damaged("reading the image: truncated, " + std::to_string(bytes.size()) + " of " +
                       std::to_string(header.image_bytes) + " bytes are there",
                   bytes.size());
  }
  if (header.image_bytes < bytes.size()) return damaged("reading the image: bytes behind its end", header.image_bytes);
  if (header.records_bytes != bytes.size() - kHeaderBytes) {
    return damaged("reading the image: the records' length does not fit the image's", kHeaderBytes);
  }
  if (header.records_checksum != checksum(bytes.subspan(kHeaderBytes))) {
    return damaged("reading the image: the records' checksum does not match", kHeaderBytes);
  }
  STASIS_TRY(RecordReader(bytes, image).read());
  if (header.format_version == 1) upgrade_from_version_1(image);
  return image;
}

Result<Image> decode(std::span<const std::uint8_t> bytes) {
  Image image = STASIS_TRY(decode_unchecked(bytes));
  STASIS_TRY(validate(image));
  return image;
}

}  // namespace stasis::image
