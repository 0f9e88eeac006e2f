// Encoding and decoding: round trips, every truncation, every flipped bit, unknown records, versions.
#include <algorithm>
#include <cstring>
#include <functional>
#include <random>

#include "image/codec.h"
#include "image/frame.h"
#include "image/image.h"
#include "image/record_list.h"
#include "test/check.h"
#include "test/image_samples.h"

namespace stasis::test {

namespace {

using namespace image;
using Bytes = std::vector<std::uint8_t>;

std::string kind_of(const Error& error) { return name_of(error.kind); }

// Fills every field of a record with random values.
class Filler {
 public:
  explicit Filler(std::mt19937_64& random) : random_(random) {}
  template <class T>
  void field(const char*, T& value, const char*) {
    fill(value);
  }
  template <class T>
  void hex(const char*, T& value, const char*) {
    fill(value);
  }
  template <class T>
  void since(std::uint32_t, const char*, T& value, const char*) {
    fill(value);
  }

 private:
  template <class T>
  void fill(T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      value = random_() % 2 == 1;
    } else if constexpr (kIsScalar<T>) {
      value = static_cast<T>(random_());
    } else if constexpr (std::is_same_v<T, std::string> || kIsList<T>) {
      value.resize(random_() % 5);
      for (auto& element : value) fill(element);
    } else if constexpr (kIsArray<T>) {
      for (auto& element : value) fill(element);
    } else {
      T::describe(*this, value);
    }
  }
  std::mt19937_64& random_;
};

template <class Slots, class Owner>
void fill_records(std::mt19937_64& random, Owner& owner) {
  Filler filler(random);
  for_each_slot<Slots>([&](auto slot) {
    using S = decltype(slot);
    if constexpr (S::kMany) {
      S::of(owner).resize(random() % 4);
      for (auto& record : S::of(owner)) S::Record::describe(filler, record);
    } else {
      S::Record::describe(filler, S::of(owner));
    }
  });
}

Image random_image(std::mt19937_64& random) {
  Image image;
  image.header = sample("smallest").image.header;
  fill_records<ImageSlots>(random, image);
  image.processes.resize(1 + random() % 3);
  for (ProcessImage& section : image.processes) fill_records<SectionSlots>(random, section);
  for (std::size_t i = random() % 3; i > 0; --i) {
    image.unknown.push_back({static_cast<std::uint32_t>(1000 + i), 0, "unknown", Bytes(random() % 20, 0xaa)});
  }
  return image;
}

// The image's bytes after `change` to its records, with lengths and checksums made to fit.
template <class Function>
Bytes with_records(const Bytes& bytes, Function&& change) {
  Bytes records(bytes.begin() + kHeaderBytes, bytes.end());
  change(records);
  Image shell;
  shell.header = decode_header(bytes).value();
  shell.header.records_bytes = records.size();
  shell.header.image_bytes = records.size() + kHeaderBytes;
  shell.header.records_checksum = checksum(records);
  Bytes out(std::begin(kMagic), std::end(kMagic));
  Encoder encoder(out);
  Header::describe(encoder, shell.header);
  encoder.write(checksum(out));
  out.insert(out.end(), records.begin(), records.end());
  return out;
}

void set_u32(Bytes& bytes, std::size_t at, std::uint32_t value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

// Where the frame of the first record of a type stands among the records.
std::size_t frame_of(const Bytes& records, RecordType type) {
  for (std::size_t at = 0; at + kFrameBytes <= records.size();) {
    std::uint32_t found;
    std::uint64_t size;
    std::memcpy(&found, records.data() + at, sizeof found);
    if (found == static_cast<std::uint32_t>(type)) return at;
    std::memcpy(&size, records.data() + at + 8, sizeof size);
    at += kFrameBytes + (size + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
  }
  STASIS_CHECK(!"a record of that type");
}

TEST(image_checksum_is_xxh64) {
  CHECK_EQUAL(checksum({}), 0xef46db3751d8e999ull);  // the published value for no bytes, seed 0
  const std::string text = "Nobody inspects the spammish repetition";
  CHECK_EQUAL(checksum({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}), 0xfbcea83c8a378bf1ull);
}

TEST(image_samples_survive_encoding) {
  for (const Sample& s : samples()) {
    const Bytes bytes = encode(s.image);
    const auto decoded = decode(bytes);
    if (!CHECK(decoded.ok())) return (void)check(false, __FILE__, __LINE__, decoded.error().message());
    CHECK(encode(decoded.value()) == bytes);
  }
}

TEST(image_random_images_survive_encoding) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 200; ++round) {
    const Image image = random_image(random);
    const Bytes bytes = encode(image);
    const auto decoded = decode_unchecked(bytes);
    if (!CHECK(decoded.ok())) return (void)check(false, __FILE__, __LINE__, decoded.error().message());
    CHECK(encode(decoded.value()) == bytes);
    (void)decode(bytes);  // nonsense as a whole, refused or not
  }
}

// Each case decodes the whole image, so of a large one some are left out: odd steps, which come to every bit of a byte.
std::size_t stride_for(const Bytes& bytes) { return bytes.size() > 2000 ? 7 : 1; }

TEST(image_every_truncation_is_damaged) {
  for (const char* name : {"smallest", "every-record"}) {
    const Bytes bytes = encode(sample(name).image);
    for (std::size_t length = 0; length < bytes.size(); length += stride_for(bytes)) {
      // A copy of exactly this length, so that the sanitizer sees a read beyond it.
      const Bytes cut(bytes.begin(), bytes.begin() + length);
      const auto decoded = decode(cut);
      if (!CHECK(!decoded.ok()) || !CHECK_EQUAL(kind_of(decoded.error()), "DAMAGED")) return;
      CHECK_EQUAL(decoded.error().offset, static_cast<std::int64_t>(length));
    }
    Bytes longer = bytes;
    longer.push_back(0);
    CHECK(!decode(longer).ok());
  }
}

TEST(image_every_flipped_bit_is_damaged) {
  const Bytes bytes = encode(sample("smallest").image);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    Bytes flipped = bytes;
    flipped[bit / 8] ^= 1 << bit % 8;
    const auto decoded = decode(flipped);
    if (!CHECK(!decoded.ok()) || !CHECK_EQUAL(kind_of(decoded.error()), "DAMAGED")) return;
    CHECK(decoded.error().offset >= 0);
  }
}

// The same with checksums that fit, as a forger would have them: what is still accepted must be encodable again.
TEST(image_flipped_bits_with_right_checksums_do_no_harm) {
  const Bytes bytes = encode(sample("every-record").image);
  for (std::size_t bit = 0; bit < (bytes.size() - kHeaderBytes) * 8; bit += stride_for(bytes)) {
    const Bytes forged = with_records(bytes, [&](Bytes& records) { records[bit / 8] ^= 1 << bit % 8; });
    const auto decoded = decode(forged);
    if (decoded.ok()) {
      CHECK_EQUAL(encode(decoded.value()).size(), forged.size());
    } else {
      CHECK(decoded.error().kind == ErrorKind::Damaged || decoded.error().kind == ErrorKind::Incompatible);
    }
  }
}

TEST(image_truncated_records_with_right_checksums_are_damaged) {
  const Bytes bytes = encode(sample("every-record").image);
  for (std::size_t length = 0; length < bytes.size() - kHeaderBytes; length += stride_for(bytes)) {
    const auto decoded = decode(with_records(bytes, [&](Bytes& records) { records.resize(length); }));
    if (!CHECK(!decoded.ok())) return;
    CHECK_EQUAL(kind_of(decoded.error()), "DAMAGED");
  }
}

TEST(image_unknown_records_are_kept_or_refused_by_name) {
  const Bytes bytes = encode(sample("unknown-record").image);
  const auto kept = decode(bytes);
  if (!CHECK(kept.ok()) || !CHECK_EQUAL(kept.value().unknown.size(), 2u)) return;
  CHECK_EQUAL(kept.value().unknown[0].name, "weather");
  CHECK_EQUAL(kept.value().unknown[1].name, "sixteen-byte-nam");
  const auto refused = decode(with_records(bytes, [](Bytes& records) {
    set_u32(records, frame_of(records, static_cast<RecordType>(200)) + 4, kFrameRequired);
  }));
  if (!CHECK(!refused.ok())) return;
  CHECK_EQUAL(kind_of(refused.error()), "INCOMPATIBLE");
  CHECK(refused.error().message().find("weather") != std::string::npos);
}

TEST(image_newer_version_is_incompatible_and_foreign_file_is_damaged) {
  Image newer = sample("smallest").image;
  newer.header.format_version = kFormatVersion + 1;
  const auto incompatible = decode(encode(newer));
  if (CHECK(!incompatible.ok())) CHECK_EQUAL(kind_of(incompatible.error()), "INCOMPATIBLE");
  Image foreign_machine = sample("smallest").image;
  foreign_machine.header.architecture = 183;  // EM_AARCH64
  const auto other = decode(encode(foreign_machine));
  if (CHECK(!other.ok())) CHECK_EQUAL(kind_of(other.error()), "INCOMPATIBLE");
  const auto foreign = decode(Bytes(5000, 'x'));
  if (!CHECK(!foreign.ok())) return;
  CHECK_EQUAL(kind_of(foreign.error()), "DAMAGED");
  CHECK(foreign.error().message().find("not a Stasis image") != std::string::npos);
}

TEST(image_counts_beyond_the_data_are_damaged_and_say_where) {
  const Bytes bytes = encode(sample("every-record").image);
  std::size_t at = 0;
  const auto decoded = decode(with_records(bytes, [&](Bytes& records) {
    // Behind the count of runs, in a mapping without runs, stand the object, its offset, and the file's inode, time and checksum.
    const std::size_t frame = frame_of(records, RecordType::Mapping);
    std::uint64_t size;
    std::memcpy(&size, records.data() + frame + 8, sizeof size);
    at = frame + kFrameBytes + size - 40;
    set_u32(records, at, 0xffff'ffff);
  }));
  if (!CHECK(!decoded.ok())) return;
  CHECK_EQUAL(decoded.error().offset, static_cast<std::int64_t>(kHeaderBytes + at));
  CHECK(decoded.error().message().find("(mapping), field runs: a count of 4294967295") != std::string::npos);
}

// The records with one more, or one less, and a count that fits.
void change_count(Bytes& records, std::int32_t by) {
  const std::size_t at = frame_of(records, RecordType::End) + kFrameBytes;
  std::uint32_t count;
  std::memcpy(&count, records.data() + at, sizeof count);
  set_u32(records, at, count + static_cast<std::uint32_t>(by));
}

std::string refusal(const Bytes& bytes, const std::function<void(Bytes&)>& change) {
  const auto decoded = decode(with_records(bytes, change));
  return decoded.ok() ? "accepted" : decoded.error().message();
}

TEST(image_records_missing_or_doubled_are_damaged) {
  const Bytes bytes = encode(sample("smallest").image);
  const auto record = [](const Bytes& records, RecordType type, RecordType next) {
    return Bytes(records.begin() + frame_of(records, type), records.begin() + frame_of(records, next));
  };
  const auto twice = [&](Bytes& records) {
    const Bytes copy = record(records, RecordType::Clock, RecordType::Process);
    records.insert(records.begin() + frame_of(records, RecordType::End), copy.begin(), copy.end());
    change_count(records, 1);
  };
  CHECK(refusal(bytes, twice).find("a second record of this type") != std::string::npos);
  const auto without = [](RecordType type, RecordType next) {
    return [type, next](Bytes& records) {
      records.erase(records.begin() + frame_of(records, type), records.begin() + frame_of(records, next));
      change_count(records, -1);
    };
  };
  CHECK(refusal(bytes, without(RecordType::Clock, RecordType::Process)).find("there is no record clock") !=
        std::string::npos);
  CHECK(refusal(bytes, without(RecordType::Itimers, RecordType::Descriptors)).find("there is no record itimers") !=
        std::string::npos);
  CHECK(refusal(bytes, without(RecordType::Process, RecordType::Memory)).find("before the first process") !=
        std::string::npos);
  const auto unfinished = [&](Bytes& records) {
    const Bytes process = record(records, RecordType::Process, RecordType::Memory);
    records.insert(records.begin() + frame_of(records, RecordType::End), process.begin(), process.end());
    change_count(records, 1);
  };
  CHECK(refusal(bytes, unfinished).find("there is no record memory") != std::string::npos);
}

TEST(image_header_is_readable_alone) {
  const Bytes bytes = encode(sample("every-record").image);
  const auto header = decode_header(std::span(bytes).first(kHeaderBytes));
  if (!CHECK(header.ok())) return;
  CHECK_EQUAL(header.value().kernel_release, "6.1.0-13-amd64");
  CHECK_EQUAL(header.value().image_bytes, bytes.size());
}

}  // namespace

}  // namespace stasis::test
