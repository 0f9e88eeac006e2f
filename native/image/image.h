// An image in memory and on disk.
//
//   SNAPSHOT/image.stasis   header (256 bytes, readable alone), then framed records: what the application has as a whole, then a
//                           section for each process, which its record `process` begins
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
#include "image/records_files.h"
#include "image/records_ipc.h"
#include "image/records_process.h"
#include "image/records_sockets.h"

namespace stasis::image {

inline constexpr const char* kImageFileName = "image.stasis";
inline constexpr const char* kRuntimeFileName = "runtime";
inline constexpr std::size_t kHeaderBytes = 256;
inline constexpr std::uint32_t kChunkBytes = 1 << 20;

// The CPU features the program may have chosen code paths by: what cpuid reported where the image was made.
struct CpuFeatures {
  std::uint32_t leaf1_ecx = 0, leaf1_edx = 0, leaf7_ebx = 0, leaf7_ecx = 0, leaf7_edx = 0, extended_ecx = 0;
  std::uint64_t xcr0 = 0;  // state components in use
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.hex("leaf1_ecx", r.leaf1_ecx, "cpuid leaf 1, ecx");
    v.hex("leaf1_edx", r.leaf1_edx, "cpuid leaf 1, edx");
    v.hex("leaf7_ebx", r.leaf7_ebx, "cpuid leaf 7.0, ebx");
    v.hex("leaf7_ecx", r.leaf7_ecx, "cpuid leaf 7.0, ecx");
    v.hex("leaf7_edx", r.leaf7_edx, "cpuid leaf 7.0, edx");
    v.hex("extended_ecx", r.extended_ecx, "cpuid leaf 0x80000001, ecx");
    v.hex("xcr0", r.xcr0, "XSAVE state components in use");
  }
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
  // What stands between the magic and the header's checksum. The visitor has three methods more than for records: constant(name,
  // u32, meaning), text(name, string, bytes, meaning) for text padded with zeros, reserved(bytes) for zeros.
  template <class V, class H>
  static void describe(V& v, H& h) {
    v.field("format_version", h.format_version, "version of this format");
    v.constant("header_bytes", static_cast<std::uint32_t>(kHeaderBytes), "length of the header");
    v.field("architecture", h.architecture, "ELF machine number; 62 is x86-64");
    v.reserved(4);
    v.field("image_bytes", h.image_bytes, "length of image.stasis");
    v.field("records_bytes", h.records_bytes, "length of the records, header excluded");
    v.hex("records_checksum", h.records_checksum, "XXH64 (seed 0) of the records");
    v.field("created_ns", h.created_ns, "when the image was made, ns since the epoch");
    v.text("runtime_build_id", h.runtime_build_id, 40, "GNU build id of the runtime, hex");
    v.text("kernel_release", h.kernel_release, 64, "uname -r where the image was made");
    v.text("creator", h.creator, 32, "version of Stasis that made the image");
    v.field("cpu", h.cpu, "CPU features the program may have chosen code paths by");
    v.reserved(24);
  }
};

// A record whose type this version does not know and which is not required: kept, shown, written back.
struct UnknownRecord {
  std::uint32_t type = 0, flags = 0;
  std::string name;
  std::vector<std::uint8_t> data;
};

// The section of one process: what is its own. Of a zombie only `process` says anything.
struct ProcessImage {
  Process process;
  MemoryLayout memory;
  std::vector<Mapping> mappings;  // ascending, not overlapping
  std::vector<Thread> threads;    // the first is the main thread
  std::vector<Action> actions;
  std::vector<QueuedSignal> queued_signals;
  Itimers itimers;
  std::vector<PosixTimer> posix_timers;
  std::vector<Credentials> credentials;  // one, or none in images of version 1, as of limits
  std::vector<Limits> limits;
  std::vector<Scheduling> scheduling;  // of each thread, or of none
  std::vector<OwnFilter> own_filters;  // the oldest first
  std::vector<SemaphoreUndo> semaphore_undo;
  Descriptors descriptors;
};

// One application at one instant. What processes share stands here once, as an object with a number (from 1) that is unique in the
// image; processes refer to it by that number.
struct Image {
  Header header;
  Runtime runtime;
  std::vector<PageFile> page_files;
  Clock clock;
  std::vector<KnownIds> known_ids;  // one, or none
  std::vector<SharedMemory> shared_memory;
  std::vector<OpenFile> open_files;
  std::vector<Stdio> stdio;
  std::vector<Pipe> pipes;
  std::vector<SocketPair> socket_pairs;
  std::vector<Eventfd> eventfds;
  std::vector<Timerfd> timerfds;
  std::vector<Epoll> epolls;
  std::vector<ListeningSocket> listening_sockets;
  std::vector<TcpConnection> tcp_connections;
  std::vector<Inotify> inotifies;
  std::vector<Socket> sockets;
  std::vector<Signalfd> signalfds;
  std::vector<Pidfd> pidfds;
  std::vector<Terminal> terminals;
  std::vector<PosixQueue> posix_queues;
  std::vector<Semaphores> semaphores;
  std::vector<MessageQueue> message_queues;
  std::vector<ProcessImage> processes;  // the first is the application's first; parents stand before their children
  std::vector<UnknownRecord> unknown;

  const ProcessImage& first() const { return processes.front(); }
};

// Fills the header's lengths and checksums; text too long for the header is cut. A file is encoded as it is, checked or not.
std::vector<std::uint8_t> encode(const Image& image);

// Header alone, from at least kHeaderBytes. Damaged (with offset) or Incompatible (foreign architecture, newer version).
Result<Header> decode_header(std::span<const std::uint8_t> bytes);

// The whole image: checksums, framing, bounds, then validate(). Never reads outside `bytes`, never allocates more than a small
// multiple of bytes.size(), whatever the input.
Result<Image> decode(std::span<const std::uint8_t> bytes);

// decode without validate(), for the inspector and the tests: what the image says, sensible or not.
Result<Image> decode_unchecked(std::span<const std::uint8_t> bytes);

// Gives what an image of version 1 holds the form of version 2: objects with numbers, and the one process's descriptors. decode() has
// done it.
void upgrade_from_version_1(Image& image);

// Semantic checks that make the plan safe to compute: page alignment, ascending mappings that lie in user space and outside the
// runtime's window, runs inside their mapping and page file, one main thread, sane fd numbers, no fd twice, every reference to an
// object that exists, XSAVE sizes, a tree of processes.
Status validate(const Image& image);

// Every record as JSON (u64 beyond 2^53 and addresses as "0x..." strings) or as indented text.
// Bytes are written as hex, in full in JSON and cut in text; bytes of a string that are no UTF-8 become \udcXX in JSON.
std::string to_json(const Image& image);
std::string to_text(const Image& image);
// The header alone, as JSON.
std::string to_json(const Header& header);

// XXH64, seed 0.
std::uint64_t checksum(std::span<const std::uint8_t> bytes);

}  // namespace stasis::image
