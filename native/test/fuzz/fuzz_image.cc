// Fuzzing the decoder: decode, validate, encode and both inspectors on hostile bytes. Two programs from this file:
//
//   with clang's libFuzzer (-fsanitize=fuzzer), guided by coverage; seeds: test/images
//   with -DSTASIS_FUZZ_DRIVER, a driver of its own that mutates the golden images, the same way each time:
//       fuzz_image_driver [--iterations N] [--seconds N] [--seed N] [IMAGE...]
//
// Each input is tried as it is and once more with lengths and checksums made right, since random bytes never pass
// those.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "image/codec.h"
#include "image/frame.h"
#include "image/image.h"

namespace {

using namespace stasis::image;
using Bytes = std::vector<std::uint8_t>;

#define FUZZ_CHECK(condition)                                                            \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      std::fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (0)

void try_bytes(const Bytes& bytes) {
  (void)decode_header(bytes);
  const auto unchecked = decode_unchecked(bytes);
  const auto checked = decode(bytes);
  if (!unchecked.ok()) {
    FUZZ_CHECK(!checked.ok());
    FUZZ_CHECK(unchecked.error().kind == stasis::ErrorKind::Damaged ||
               unchecked.error().kind == stasis::ErrorKind::Incompatible);
    FUZZ_CHECK(unchecked.error().offset <= static_cast<std::int64_t>(bytes.size()));
    return;
  }
  // What was understood is not lost: encoded and decoded again, it reads the same.
  const std::string json = to_json(unchecked.value());
  (void)to_text(unchecked.value());
  const auto again = decode_unchecked(encode(unchecked.value()));
  FUZZ_CHECK(again.ok());
  const auto records_of = [](const std::string& text) { return text.substr(text.find("\"records\":[")); };
  FUZZ_CHECK(records_of(to_json(again.value())) == records_of(json));
}

void set_u64(Bytes& bytes, std::size_t at, std::uint64_t value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

void repair(Bytes& bytes) {
  if (bytes.size() < kHeaderBytes) return;
  std::memcpy(bytes.data(), kMagic, sizeof kMagic);
  set_u64(bytes, 24, bytes.size());
  set_u64(bytes, 32, bytes.size() - kHeaderBytes);
  set_u64(bytes, 40, checksum(std::span(bytes).subspan(kHeaderBytes)));
  set_u64(bytes, kHeaderBytes - 8, checksum(std::span(bytes).first(kHeaderBytes - 8)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(data, data + size);
  try_bytes(bytes);
  repair(bytes);
  try_bytes(bytes);
  return 0;
}

#ifdef STASIS_FUZZ_DRIVER

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

namespace {

// One to eight changes of the kinds that matter to a reader of framed, counted data.
void mutate(Bytes& bytes, const std::vector<Bytes>& seeds, std::mt19937_64& random) {
  static constexpr std::uint32_t kInteresting[] = {0,   1,   2,    4,    16,    18,         32,         127,       128,
                                                   255, 256, 4095, 4096, 65535, 0x7fffffff, 0x80000000, 0xffffffff};
  const auto below = [&](std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(random() % n); };
  for (std::size_t left = 1 + below(8); left > 0; --left) {
    const std::size_t at = below(bytes.size());
    switch (below(7)) {
      case 0:  // a bit
        if (!bytes.empty()) bytes[at] ^= 1 << below(8);
        break;
      case 1:  // a byte
        if (!bytes.empty()) bytes[at] = static_cast<std::uint8_t>(random());
        break;
      case 2: {  // a count or number, aligned as most are
        const std::uint32_t value = kInteresting[below(std::size(kInteresting))];
        if (bytes.size() >= 4) std::memcpy(bytes.data() + below(bytes.size() / 4) * 4, &value, sizeof value);
        break;
      }
      case 3:  // cut
        bytes.resize(at);
        break;
      case 4:  // drop a piece, of whole words more often than not
        bytes.erase(bytes.begin() + at, bytes.begin() + at + std::min(bytes.size() - at, below(16) * 8 + below(2)));
        break;
      case 5: {  // insert zeros
        bytes.insert(bytes.begin() + at, below(64), 0);
        break;
      }
      case 6: {  // a piece of another image
        const Bytes& other = seeds[below(seeds.size())];
        const std::size_t from = below(other.size() / 8) * 8, count = std::min(other.size() - from, below(512));
        bytes.insert(bytes.begin() + at, other.begin() + from, other.begin() + from + count);
        break;
      }
    }
  }
  if (bytes.size() > 1 << 16) bytes.resize(1 << 16);
}

Bytes read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<Bytes> seeds_from(std::vector<std::string> paths) {
  if (paths.empty()) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator("test/images")) {
      if (entry.path().filename() == kImageFileName) paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> seeds;
  for (const std::string& path : paths) seeds.push_back(read_file(path));
  return seeds;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t iterations = ~0ull, seconds = ~0ull, seed = 1;
  std::vector<std::string> paths;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    std::uint64_t* number = argument == "--iterations" ? &iterations
                            : argument == "--seconds"  ? &seconds
                            : argument == "--seed"     ? &seed
                                                       : nullptr;
    if (number == nullptr) {
      paths.push_back(argument);
    } else if (++i < argc) {
      *number = std::strtoull(argv[i], nullptr, 10);
    }
  }
  if (iterations == ~0ull && seconds == ~0ull) iterations = 20'000;
  const std::vector<Bytes> seeds = seeds_from(std::move(paths));
  if (seeds.empty()) {
    std::fprintf(stderr, "fuzz_image_driver: no image to start from (run it in the repository's root or name one)\n");
    return 2;
  }
  std::mt19937_64 random(seed);
  const auto start = std::chrono::steady_clock::now();
  std::uint64_t done = 0;
  for (; done < iterations; ++done) {
    if (done % 64 == 0 &&
        std::chrono::steady_clock::now() - start >= std::chrono::seconds(std::min<std::uint64_t>(seconds, 1 << 20)))
      break;
    Bytes bytes = seeds[random() % seeds.size()];
    mutate(bytes, seeds, random);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::printf("%llu inputs, no fault\n", static_cast<unsigned long long>(done));
  return 0;
}

#endif
