// Also the content of files that a restore may need: all of those in /dev/shm (shm_open(3), sem_open(3)), which are gone with the host's next
// boot, and what --save-files asks for. They are found again by their names; the content is for where they are gone or have changed.
//
// Memory that is not one mapping's own: shared anonymous memory, memory files (memfd), deleted files that are mapped, each once, however many mappings of
// however many processes show it and however many descriptors stand for it.
//
// What is one piece of memory is told by device and inode, which maps and stat(2) show for both kinds: the kernel backs both
// with files of a tmpfs that has no name. The bytes are read from a descriptor where there is one, else through mappings;
// what neither shows nobody can reach any more.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/copy_room.h"
#include "checkpoint/objects.h"
#include "checkpoint/pages.h"
#include "checkpoint/present_pages.h"
#include "checkpoint/subject.h"
#include "image/files.h"
#include "image/image.h"
#include "os/process_memory.h"
#include "os/procfs.h"
#include "tracer/threads.h"

namespace stasis::checkpoint {

class SharedMemories {
 public:
  // `next` gives numbers to objects.
  explicit SharedMemories(std::function<std::uint32_t()> next) : next_(std::move(next)) {}

  // The object that a mapping shows. The subject must outlive this.
  std::uint32_t show(const Subject& subject, const procfs::MapLine& line);

  // Takes the descriptors of memory files and of deleted files: an open file each, and the memory behind it. Contents and
  // seals are looked at
  // only when the application is stopped.
  Status save_descriptors(Objects& objects, image::Image& image, Findings& findings);

  // The file's content is stored, under its path. `where` is for findings.
  void keep_content(const std::string& path, std::uint64_t device, std::uint64_t inode, const std::string& where);
  // As keep_content, if the mapping is one whose file's content is stored. `file` has the file's name.
  void keep_mapped_content(const Subject& subject, const procfs::MapLine& file);
  // After all mappings are known. Content that cannot be stored; and, while the application still runs, files in /dev/shm that processes other
  // than `relatives` use, too.
  void refuse_contents(Findings& findings) const;
  void refuse_users(const Subject& subject, const std::set<pid_t>& relatives, Findings& findings) const;

  // While the application is held, which is then let go before store(): notes what each mapping in `lines` shows, a list for each subject;
  // `known` has what each has answered already. The results ask each process's first thread which other pages there are (mincore(2)),
  // null where there is nothing to be asked; valid as long as this is.
  std::vector<tracer::Question*> show_all(Members subjects, const std::vector<std::vector<procfs::MapLine>>& lines,
                                          const std::vector<std::unique_ptr<PresentPages>>& known);
  // Once the questions are answered: makes room for all bytes.
  Status plan_copy(CopyRoom& room);
  // Then reads them. Several threads may do that together; all is there when all have returned.
  Status copy();
  // Or, if the application is not let go after all, takes the notes back.
  void forget_views();
  void keep_copies() { copied_ = true; }
  // After all mappings are known: what the kernel tells of System V segments. `copies` counts the processes that have them
  // attached for each that is a member.
  Status describe_segments(std::uint64_t copies, Findings& findings);

  std::uint64_t bytes() const;  // of all that was shown

  // Stores the bytes of all and gives their records to the image. Returns the number of runs.
  Result<std::uint64_t> store(image::PageFileWriter& writer, image::Image& image);

 private:
  struct View {
    const Subject* subject;
    std::uint64_t address, length, offset;
    const PresentPages* present = nullptr;
  };
  struct Memory {
    std::uint64_t device = 0, inode = 0;
    image::SharedMemory record;
    std::vector<View> views;  // those whose pages were asked for first, then the other shared mappings
    std::size_t shared_views = 0, asked_views = 0;
    std::vector<Range> asked;
    std::optional<UniqueFd> fd;
    std::vector<CopiedPages::Part> copied;
  };

  // A part of the copying that is worth a thread's while.
  struct Piece {
    const PageSource* source;
    ProcessMemory::Transfer transfer;
  };

  void keep_open_content(const Options& options, const Fd& fd);
  Memory& find(std::uint64_t device, std::uint64_t inode);
  Status plan_copy(Memory& memory, CopyRoom& room);
  Status store_views(Memory& memory, image::PageFileWriter& writer);
  Status store_file(Memory& memory, image::PageFileWriter& writer);

  std::function<std::uint32_t()> next_;
  std::vector<Memory> memories_;
  struct Unkept {
    std::string where, path;
    std::uint64_t bytes;  // of a file that is too long; 0: it cannot be read
  };
  std::vector<Unkept> unkept_;
  std::vector<std::unique_ptr<PresentPages>> questions_;
  std::vector<std::unique_ptr<ProcessMemory>> processes_;  // that sources_ read
  std::vector<std::unique_ptr<PageSource>> sources_;
  std::vector<Piece> pieces_;
  std::atomic<std::size_t> next_piece_ = 0;
  const bool swap_ = has_swap();
  bool copied_ = false;
  std::uint64_t most_bytes_ = 0;  // of a file elsewhere than in /dev/shm whose content is stored
};

// Whether the name that maps shows is that of shared anonymous memory: the kernel's, or what stands for it in a restored
// process (a memory file of the runtime's).
bool is_shared_anonymous(const procfs::MapLine& line);
bool is_memory_file(const std::string& name);
bool is_in_window(const procfs::MapLine& line);
// A shared mapping of a file without a name.
bool is_deleted_mapping(const procfs::MapLine& line);
// Memory that has no file where it could be found again.
bool is_nameless(const procfs::MapLine& line);

// The path of a file in /dev/shm, by the name that /proc shows: where that one is gone, as sem_open(3) leaves it, another name of the same
// file. Empty if it has none, or is elsewhere.
std::string shared_file_path(const std::string& name, std::uint64_t device, std::uint64_t inode);

}  // namespace stasis::checkpoint
