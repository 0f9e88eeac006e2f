// An image in memory and on disk.
//
//   SNAPSHOT/image.stasis   header (256 bytes, readable alone), then framed records
//   SNAPSHOT/pages-N.raw    raw pages, page-aligned, mapped as they are at restore
//   SNAPSHOT/runtime        the runtime binary the processes ran under
//
// No kernel calls here: functions take and give bytes. Files are the business of image/files.h.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/records.h"

namespace stasis::image {

inline constexpr const char* kImageFileName = "image.stasis";
inline constexpr const char* kRuntimeFileName = "runtime";
inline constexpr std::size_t kHeaderBytes = 256;
inline constexpr std::uint32_t kChunkBytes = 1 << 20;

// The CPU features the program may have chosen code paths by: what cpuid reported where the image was made.
struct CpuFeatures {
  std::uint32_t leaf1_ecx = 0, leaf1_edx = 0, leaf7_ebx = 0, leaf7_ecx = 0, leaf7_edx = 0, extended_ecx = 0;
  std::uint64_t xcr0 = 0;  // state components in use
};

struct Header {
  std::uint32_t format_version = kFormatVersion;
  std::uint32_t architecture = 62;  // EM_X86_64
  std::uint64_t image_bytes = 0;    // length of image.stasis
  std::uint64_t records_bytes = 0;
  std::uint64_t records_checksum = 0;  // XXH64 of the records
  std::int64_t created_ns = 0;         // CLOCK_REALTIME
  std::string runtime_build_id;        // hex
  std::string kernel_release;
  std::string creator;  // version of Stasis
  CpuFeatures cpu;
};

// A record whose type this version does not know and which is not required: kept, shown, written back.
struct UnknownRecord {
  std::uint32_t type = 0, flags = 0;
  std::string name;
  std::vector<std::uint8_t> data;
};

struct Image {
  Header header;
  Runtime runtime;
  std::vector<PageFile> page_files;
  Process process;
  MemoryLayout memory;
  std::vector<Mapping> mappings;  // ascending, not overlapping
  std::vector<Thread> threads;    // the first is the main thread
  std::vector<Action> actions;
  std::vector<QueuedSignal> queued_signals;
  Itimers itimers;
  Clock clock;
  std::vector<OpenFile> open_files;
  std::vector<Stdio> stdio;
  std::vector<Pipe> pipes;
  std::vector<SocketPair> socket_pairs;
  std::vector<Eventfd> eventfds;
  std::vector<Timerfd> timerfds;
  std::vector<Epoll> epolls;
  std::vector<ListeningSocket> listening_sockets;
  std::vector<UnknownRecord> unknown;
};

// Fills the header's lengths and checksums.
std::vector<std::uint8_t> encode(const Image& image);

// Header alone, from at least kHeaderBytes. Damaged (with offset) or Incompatible (foreign architecture, newer version).
Result<Header> decode_header(std::span<const std::uint8_t> bytes);

// The whole image: checksums, framing, bounds, then validate(). Never reads outside `bytes`, never allocates more than a small
// multiple of bytes.size(), whatever the input.
Result<Image> decode(std::span<const std::uint8_t> bytes);

// Semantic checks that make the plan safe to compute: page alignment, ascending mappings that lie in user space and outside the
// runtime's window, runs inside their mapping and page file, one main thread, sane fd numbers, no fd twice, XSAVE sizes.
Status validate(const Image& image);

// Every record as JSON (u64 beyond 2^53 and addresses as "0x..." strings) or as indented text.
std::string to_json(const Image& image);
std::string to_text(const Image& image);
// The header alone, as JSON.
std::string to_json(const Header& header);

// XXH64, seed 0.
std::uint64_t checksum(std::span<const std::uint8_t> bytes);

}  // namespace stasis::image
