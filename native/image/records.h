// The records of an image: one C++ struct per kind of state, each described once by `describe`, from which the encoder, the
// bounds-checked decoder, the inspector (JSON) and the tables of docs/image-format.md are derived (image/codec.h).
//
// Rules of the place:
//  - integers are little-endian and fixed in size; strings and lists carry a u32 count; nothing is padded inside a record;
//  - a field is never removed or given another meaning; new ones come at the end, or a new record type is made;
//  - values are the program's (virtual) view, never the runtime's own: no thunk, no runtime frame, no host offset;
//  - the text behind a field is its documentation, unit included.
//
// describe is called as `describe(visitor, record)` where record is const when encoding. A visitor has three methods:
//     visitor.field("name", value, "meaning, unit")
//     visitor.hex("name", value, "meaning")            an address, a checksum or a set of bits: shown to people in hexadecimal
//     visitor.since(N, "name", value, "meaning")       a field that images of versions before N have not: it keeps its default
// and understands integers, bool, enums, std::string, std::vector<std::uint8_t> (bytes), std::vector of the former or of described
// structs, std::array of integers, and described structs. hex takes unsigned integers and vectors of them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace stasis::image {

// 1: one process, whose numbers stand in the records of its open files. 2: sections and objects (image/image.h).
inline constexpr std::uint32_t kFormatVersion = 2;

enum class RecordType : std::uint32_t {
  Runtime = 1,
  PageFile = 2,
  Process = 16,
  Memory = 17,  // MemoryLayout
  Mapping = 18,
  Thread = 19,
  Action = 20,
  QueuedSignal = 21,
  Itimers = 22,
  Clock = 23,
  KnownIds = 24,
  Descriptors = 25,
  PosixTimer = 26,
  Credentials = 27,
  Limits = 28,
  Scheduling = 29,
  OpenFile = 32,
  Stdio = 33,
  Pipe = 34,
  SocketPair = 35,
  Eventfd = 36,
  Timerfd = 37,
  Epoll = 38,
  ListeningSocket = 39,
  OwnFilter = 31,
  SharedMemory = 40,
  TcpConnection = 41,
  Socket = 42,
  Signalfd = 44,
  Pidfd = 46,
  Terminal = 47,
  Semaphores = 48,
  SemaphoreUndo = 49,
  MessageQueue = 50,
  PosixQueue = 51,
  Inotify = 45,
  End = 255,
};

// Frame flag: a reader that does not know the type must refuse the image, naming it. Without the flag it keeps the bytes.
inline constexpr std::uint32_t kFrameRequired = 1;

// The runtime binary that the image was made under; a copy lies beside the image as file `runtime`.
struct Runtime {
  static constexpr RecordType kType = RecordType::Runtime;
  static constexpr const char* kName = "runtime";
  std::string build_id;  // hex
  std::uint32_t descriptor_version = 0;
  std::uint64_t vdso_address = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t file_checksum = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("build_id", r.build_id, "GNU build id of the runtime's file, hex");
    v.field("descriptor_version", r.descriptor_version, "version of the runtime's descriptor");
    v.hex("vdso_address", r.vdso_address, "address of the runtime's own vdso page, which the program calls");
    v.field("file_bytes", r.file_bytes, "length of the file `runtime`, bytes");
    v.hex("file_checksum", r.file_checksum, "XXH64 (seed 0) of that file");
  }
};

// One file of raw pages beside the image. Its bytes are page-aligned and mapped as they are.
struct PageFile {
  static constexpr RecordType kType = RecordType::PageFile;
  static constexpr const char* kName = "page-file";
  std::string file_name;
  std::uint64_t file_bytes = 0;
  std::uint32_t chunk_bytes = 0;
  std::vector<std::uint64_t> chunk_checksums;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("file_name", r.file_name, "name inside the image's directory, without a slash");
    v.field("file_bytes", r.file_bytes, "length, bytes, a multiple of 4096");
    v.field("chunk_bytes", r.chunk_bytes, "bytes covered by one checksum; the last chunk may be shorter");
    v.hex("chunk_checksums", r.chunk_checksums, "XXH64 (seed 0) of each chunk");
  }
};

enum class ProcessState : std::uint32_t {
  Running = 1,
  Stopped,    // by a stop signal (signal(7)); SIGCONT lets it go on
  Zombie,     // has ended, and its parent has not waited for it: a section of this record alone
  MainEnded,  // its main thread has ended, others run
};

struct Process {
  static constexpr RecordType kType = RecordType::Process;
  static constexpr const char* kName = "process";
  std::int32_t pid = 0, parent_pid = 0, group_id = 0, session_id = 0;
  std::string exe_path;
  std::string cwd;
  std::uint32_t umask = 0;
  std::vector<std::string> arguments;  // for people: what the process was started as
  ProcessState state = ProcessState::Running;
  std::int32_t exit_signal = 17;  // SIGCHLD
  std::int32_t exit_status = 0;
  std::uint32_t stop_signal = 0;
  std::string name;
  bool orphan = false;
  bool subreaper = false;
  std::uint32_t parent_death_signal = 0;
  bool dumpable = true;
  std::uint32_t terminal = 0;
  std::int32_t foreground_group = 0;
  std::string root = "/";
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("pid", r.pid, "process id, as the program knows it");
    v.field("parent_pid", r.parent_pid, "parent's process id, 0 if the program does not know it");
    v.field("group_id", r.group_id, "process group id, likewise");
    v.field("session_id", r.session_id, "session id, likewise");
    v.field("exe_path", r.exe_path, "program file, as /proc/self/exe names it to the program");
    v.field("cwd", r.cwd, "working directory, absolute path");
    v.field("umask", r.umask, "file mode creation mask");
    v.field("arguments", r.arguments, "argument vector at the checkpoint, for display");
    v.since(2, "state", r.state, "1 running, 2 stopped, 3 zombie, 4 main thread ended");
    v.since(2, "exit_signal", r.exit_signal, "what its parent is sent at its end, as clone(2) was told");
    v.since(2, "exit_status", r.exit_status, "of a zombie: status word of wait(2)");
    v.since(2, "stop_signal", r.stop_signal, "of a stopped process: the signal that stopped it");
    v.since(2, "name", r.name, "of a zombie: comm");
    v.since(2, "orphan", r.orphan,
            "its parent has ended: it is a child of the keeper, and parent_pid is what it knows as its parent now");
    v.since(2, "subreaper", r.subreaper, "PR_SET_CHILD_SUBREAPER");
    v.since(2, "parent_death_signal", r.parent_death_signal, "PR_SET_PDEATHSIG, 0 for none");
    v.since(2, "dumpable", r.dumpable, "PR_SET_DUMPABLE");
    v.since(2, "terminal", r.terminal,
            "controlling terminal of a session's leader: number of a terminal's object, 0 for none or the restorer's");
    v.since(2, "foreground_group", r.foreground_group, "its foreground process group");
    v.since(2, "root", r.root, "root directory, absolute path");
  }
};

struct MemoryLayout {
  static constexpr RecordType kType = RecordType::Memory;
  static constexpr const char* kName = "memory";
  std::uint64_t start_code = 0, end_code = 0, start_data = 0, end_data = 0, start_brk = 0, brk = 0, start_stack = 0,
                arg_start = 0, arg_end = 0, env_start = 0, env_end = 0;
  std::vector<std::uint8_t> auxv;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.hex("start_code", r.start_code, "address, as in prctl_mm_map");
    v.hex("end_code", r.end_code, "address");
    v.hex("start_data", r.start_data, "address");
    v.hex("end_data", r.end_data, "address");
    v.hex("start_brk", r.start_brk, "address");
    v.hex("brk", r.brk, "current program break, address");
    v.hex("start_stack", r.start_stack, "address");
    v.hex("arg_start", r.arg_start, "address of the argument strings");
    v.hex("arg_end", r.arg_end, "address");
    v.hex("env_start", r.env_start, "address of the environment strings");
    v.hex("env_end", r.env_end, "address");
    v.field("auxv", r.auxv, "auxiliary vector, pairs of u64");
  }
};

// Pages of a mapping that are stored: a run of the mapping and where it lies in a page file.
struct PageRun {
  std::uint64_t address = 0, length = 0;
  std::uint32_t page_file = 0;
  std::uint64_t file_offset = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.hex("address", r.address, "first address of the run");
    v.field("length", r.length, "bytes, a multiple of 4096");
    v.field("page_file", r.page_file, "index among the page-file records, from 0");
    v.field("file_offset", r.file_offset, "bytes from the start of that file");
  }
};

enum class MappingSource : std::uint32_t { Anonymous = 1, File = 2, Object = 3 };

// Advice given to a mapping, bits of Mapping::advice (VmFlags in parentheses).
inline constexpr std::uint32_t kAdviceDontFork = 1;     // dc
inline constexpr std::uint32_t kAdviceDontDump = 2;     // dd
inline constexpr std::uint32_t kAdviceHugePage = 4;     // hg
inline constexpr std::uint32_t kAdviceNoHugePage = 8;   // nh
inline constexpr std::uint32_t kAdviceMergeable = 16;   // mg
inline constexpr std::uint32_t kAdviceWipeOnFork = 32;  // wf
inline constexpr std::uint32_t kAdviceSequential = 64;  // sr
inline constexpr std::uint32_t kAdviceRandom = 128;     // rr
inline constexpr std::uint32_t kMappingGrowsDown = 1;   // bits of Mapping::traits
inline constexpr std::uint32_t kMappingNoReserve = 2;
inline constexpr std::uint32_t kMappingLocked = 4;

struct Mapping {
  static constexpr RecordType kType = RecordType::Mapping;
  static constexpr const char* kName = "mapping";
  std::uint64_t address = 0, length = 0;
  std::uint32_t protection = 0;
  bool shared = false;
  MappingSource source = MappingSource::Anonymous;
  std::uint32_t traits = 0;
  std::uint32_t advice = 0;
  std::string path;
  std::uint64_t file_offset = 0;
  std::uint64_t file_bytes = 0;
  std::int64_t file_modified_ns = 0;
  std::string file_build_id;
  std::vector<PageRun> runs;
  std::uint32_t object = 0;
  std::uint64_t object_offset = 0;
  std::uint64_t file_inode = 0;
  std::int64_t file_changed_ns = 0;
  std::uint64_t file_checksum = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.hex("address", r.address, "first address");
    v.field("length", r.length, "bytes");
    v.field("protection", r.protection, "PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4");
    v.field("shared", r.shared, "MAP_SHARED");
    v.field("source", r.source, "1 anonymous, 2 file, 3 a shared-memory object");
    v.field("traits", r.traits, "bits: 1 grows down, 2 no reserve, 4 locked");
    v.field("advice", r.advice,
            "bits: 1 dontfork, 2 dontdump, 4 hugepage, 8 nohugepage, 16 mergeable, 32 wipeonfork, 64 sequential, 128 "
            "random");
    v.field("path", r.path, "file, absolute path; empty for anonymous memory");
    v.field("file_offset", r.file_offset, "offset of the mapping in the file, bytes");
    v.field("file_bytes", r.file_bytes, "size of the file at the checkpoint, bytes");
    v.field("file_modified_ns", r.file_modified_ns, "modification time at the checkpoint, ns since the epoch");
    v.field("file_build_id", r.file_build_id, "GNU build id of an ELF file, hex; empty if none");
    v.field("runs", r.runs, "stored pages, ascending; pages in no run are zeros or the file's own");
    v.since(2, "object", r.object, "the shared-memory object that is mapped, 0 for none; its pages are stored with it");
    v.since(2, "object_offset", r.object_offset, "offset of the mapping in the object, bytes");
    v.since(2, "file_inode", r.file_inode, "inode of the file at the checkpoint, 0: not known");
    v.since(2, "file_changed_ns", r.file_changed_ns, "time of the last change of its inode, ns since the epoch");
    v.since(2, "file_checksum", r.file_checksum,
            "XXH64 of a file without a build id, 0: none, as of long files and of those that are written through");
  }
};

struct GeneralRegisters {
  std::uint64_t r15 = 0, r14 = 0, r13 = 0, r12 = 0, rbp = 0, rbx = 0, r11 = 0, r10 = 0, r9 = 0, r8 = 0, rax = 0,
                rcx = 0, rdx = 0, rsi = 0, rdi = 0, rip = 0, eflags = 0, rsp = 0, fs_base = 0, gs_base = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.hex("r15", r.r15, "");
    v.hex("r14", r.r14, "");
    v.hex("r13", r.r13, "");
    v.hex("r12", r.r12, "");
    v.hex("rbp", r.rbp, "");
    v.hex("rbx", r.rbx, "");
    v.hex("r11", r.r11, "");
    v.hex("r10", r.r10, "");
    v.hex("r9", r.r9, "");
    v.hex("r8", r.r8, "");
    v.hex("rax", r.rax, "");
    v.hex("rcx", r.rcx, "");
    v.hex("rdx", r.rdx, "");
    v.hex("rsi", r.rsi, "");
    v.hex("rdi", r.rdi, "");
    v.hex("rip", r.rip, "an interrupted system call is rewound: rip names its instruction again and rax its number");
    v.hex("eflags", r.eflags, "");
    v.hex("rsp", r.rsp, "");
    v.hex("fs_base", r.fs_base, "");
    v.hex("gs_base", r.gs_base, "");
  }
};

struct Thread {
  static constexpr RecordType kType = RecordType::Thread;
  static constexpr const char* kName = "thread";
  std::int32_t tid = 0;
  std::string name;
  GeneralRegisters registers;
  std::vector<std::uint8_t> xsave;
  std::uint64_t signal_mask = 0;
  std::uint64_t altstack_address = 0, altstack_bytes = 0;
  std::uint32_t altstack_flags = 0;
  std::uint64_t clear_child_tid = 0;
  std::uint64_t tid_word = 0;
  std::uint64_t robust_list = 0, robust_list_bytes = 0;
  std::uint64_t rseq_address = 0;
  std::uint32_t rseq_bytes = 0, rseq_signature = 0;
  std::uint64_t wait_ns = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("tid", r.tid, "thread id, as the program knows it");
    v.field("name", r.name, "comm, at most 15 bytes");
    v.field("registers", r.registers, "general registers");
    v.field("xsave", r.xsave, "XSAVE area, standard format, as PTRACE_GETREGSET NT_X86_XSTATE gives it");
    v.hex("signal_mask", r.signal_mask, "blocked signals, bit signal-1");
    v.hex("altstack_address", r.altstack_address, "sigaltstack, address");
    v.field("altstack_bytes", r.altstack_bytes, "sigaltstack, bytes");
    v.hex("altstack_flags", r.altstack_flags, "SS_DISABLE 2, SS_AUTODISARM 0x80000000");
    v.hex("clear_child_tid", r.clear_child_tid, "address cleared and woken at thread exit, 0 for none");
    v.hex("tid_word", r.tid_word,
          "address of the word in which the C library keeps the thread's id, 0 if none is known; used under runtimes "
          "that give new ids");
    v.hex("robust_list", r.robust_list, "head of the robust futex list, 0 for none");
    v.field("robust_list_bytes", r.robust_list_bytes, "its length argument");
    v.hex("rseq_address", r.rseq_address, "registered rseq area, 0 for none");
    v.field("rseq_bytes", r.rseq_bytes, "its length");
    v.hex("rseq_signature", r.rseq_signature, "its signature");
    v.since(2, "wait_ns", r.wait_ns,
            "of a thread about to make a call that waits for a relative time: what is left of it, ns, 0 for all");
  }
};

struct Action {
  static constexpr RecordType kType = RecordType::Action;
  static constexpr const char* kName = "action";
  std::uint32_t signal = 0;
  std::uint64_t handler = 0, flags = 0, restorer = 0, mask = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("signal", r.signal, "signal number");
    v.hex("handler", r.handler, "address, or 0 default, 1 ignore");
    v.hex("flags", r.flags, "sa_flags");
    v.hex("restorer", r.restorer, "sa_restorer");
    v.hex("mask", r.mask, "sa_mask, bit signal-1");
  }
};

struct QueuedSignal {
  static constexpr RecordType kType = RecordType::QueuedSignal;
  static constexpr const char* kName = "queued-signal";
  std::int32_t tid = 0;
  std::uint32_t signal = 0;
  std::vector<std::uint8_t> info;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("tid", r.tid, "thread it is queued to, 0 for the process");
    v.field("signal", r.signal, "signal number");
    v.field("info", r.info, "siginfo_t, 128 bytes");
  }
};

struct Itimers {
  static constexpr RecordType kType = RecordType::Itimers;
  static constexpr const char* kName = "itimers";
  std::array<std::int64_t, 12> values{};
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("values", r.values, "real, virtual, prof: each interval s, us and remaining s, us");
  }
};

struct Clock {
  static constexpr RecordType kType = RecordType::Clock;
  static constexpr const char* kName = "clock";
  std::int64_t monotonic_ns = 0, boottime_ns = 0, realtime_ns = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("monotonic_ns", r.monotonic_ns, "the program's CLOCK_MONOTONIC at the checkpoint");
    v.field("boottime_ns", r.boottime_ns, "the program's CLOCK_BOOTTIME at the checkpoint");
    v.field("realtime_ns", r.realtime_ns, "CLOCK_REALTIME at the checkpoint, for display and absolute timers");
  }
};

// Ids that the program may remember beside those of the process and its threads: restored, it never meets them as
// somebody else's.
struct KnownIds {
  static constexpr RecordType kType = RecordType::KnownIds;
  static constexpr const char* kName = "known-ids";
  std::vector<std::uint32_t> processes;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("processes", r.processes, "ids of processes and threads of the application that have ended, ascending");
  }
};

// A number that stands for an open file description, in images of version 1.
struct FdNumber {
  std::int32_t fd = -1;
  bool close_on_exec = false;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("fd", r.fd, "file descriptor number");
    v.field("close_on_exec", r.close_on_exec, "FD_CLOEXEC");
  }
};

// A number of one process, and the object (open file description) that it stands for.
struct Descriptor {
  std::int32_t fd = -1;
  std::uint32_t object = 0;
  std::uint32_t end = 0;
  bool close_on_exec = false;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("fd", r.fd, "file descriptor number");
    v.field("object", r.object, "number of the object, in whichever record it stands");
    v.field("end", r.end, "which end of a pipe (0 reads, 1 writes) or of a pair (0 first, 1 second); else 0");
    v.field("close_on_exec", r.close_on_exec, "FD_CLOEXEC");
  }
};

enum class LockKind : std::uint32_t {
  Process = 1,  // fcntl(2), F_SETLK
  Lease,        // F_SETLEASE
  Description,  // F_OFD_SETLK
};

// A lock on a file, or on a part of it.
struct FileLock {
  std::int32_t fd = -1;
  LockKind kind = LockKind::Process;
  std::uint32_t type = 0;
  std::int64_t start = 0, length = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("fd", r.fd, "the number it was taken by; -1 for an open file description's");
    v.field("kind", r.kind, "1 of the process, 2 lease, 3 of the open file description");
    v.field("type", r.type, "F_RDLCK 0, F_WRLCK 1");
    v.field("start", r.start, "first byte");
    v.field("length", r.length, "bytes, 0 to the end of the file however long it gets");
  }
};

struct Descriptors {
  static constexpr RecordType kType = RecordType::Descriptors;
  static constexpr const char* kName = "descriptors";
  std::vector<Descriptor> numbers;
  std::vector<FileLock> locks;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("numbers", r.numbers, "every fd of the process, ascending");
    v.field("locks", r.locks, "locks that belong to the process");
  }
};

// Last record: an image without it is truncated.
struct End {
  static constexpr RecordType kType = RecordType::End;
  static constexpr const char* kName = "end";
  std::uint32_t records = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("records", r.records, "records before this one");
  }
};

}  // namespace stasis::image
