// Copies of procfs texts with virtual ids (see proc_text.h).
//
// A text is a row of words and blanks. A Translator decides for each word, from the file and the words before it on the
// line, whether it is an id; all else is copied byte for byte. So texts of any length pass through two small buffers. In
// stat and sched a program's name, which may hold anything, stands in front: these are short, and looked at whole.
#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/time.h>

#include "runtime/clock.h"
#include "runtime/ids.h"
#include "runtime/ids_kinds.h"
#include "runtime/proc_text.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

constexpr u64 kBufferBytes = 16384;
constexpr u64 kMaxWord = 24;  // longer words are no numbers

enum class Word : u8 { Plain, Process, Group, Session, SharedMemory, Semaphore, MessageQueue, Mask };

// Where the copy goes: a buffer, and once that is full a memory file.
class Copy {
 public:
  Copy(char* buffer, bool close_on_exec) : buffer_(buffer), close_on_exec_(close_on_exec) {}

  void put(const char* text, u64 length) {
    for (u64 i = 0; i < length; i++) {
      if (used_ == kBufferBytes) flush();
      buffer_[used_++] = text[i];
    }
  }
  void put_translated(const char* text, u64 length, i64 translated) {
    char digits[24];
    const u64 bytes = static_cast<u64>(write_signed(digits, translated) - digits);
    if (bytes != length || memcmp(digits, text, length) != 0) changed_ = true;
    put(digits, bytes);
  }

  void put_changed(const char* text, u64 length) {
    changed_ = true;
    put(text, length);
  }

  void put_mask(u64 mask) {
    changed_ = true;
    for (i32 shift = 60; shift >= 0; shift -= 4) put(&"0123456789abcdef"[mask >> shift & 15], 1);
  }

  // Puts the copy in the place of `fd`, unless it is the same text. 0 or -errno.
  i64 finish(i32 fd) {
    if (changed_ && error_ == 0) flush();
    i64 result = error_;
    if (result == 0) result = changed_ ? replace(fd) : rewind(fd);
    if (file_ >= 0) raw_syscall(__NR_close, file_);
    return result;
  }

 private:
  void flush() {
    if (file_ < 0) file_ = raw_syscall(__NR_memfd_create, "proc", MFD_CLOEXEC);
    i64 written = file_;
    for (u64 done = 0; file_ >= 0 && done < used_; done += static_cast<u64>(written)) {
      written = raw_syscall(__NR_write, file_, buffer_ + done, used_ - done);
      if (written <= 0) break;
    }
    if (written < 0) error_ = written;
    used_ = 0;
  }

  static i64 rewind(i32 fd) {
    const i64 at = raw_syscall(__NR_lseek, fd, 0, 0 /* SEEK_SET */);
    return at < 0 ? at : 0;
  }

  // Opened again, so that it cannot be written to and stands at its start, as a file just opened.
  i64 replace(i32 fd) {
    char link[40];
    write_decimal(write_text(link, "/proc/thread-self/fd/"), static_cast<u64>(file_));
    const i64 again = raw_syscall(__NR_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
    if (again < 0) return again;
    const i64 result = raw_syscall(__NR_dup3, again, fd, close_on_exec_ ? O_CLOEXEC : 0);
    raw_syscall(__NR_close, again);
    return result < 0 ? result : 0;
  }

  char* buffer_;
  bool close_on_exec_;
  u64 used_ = 0;
  bool changed_ = false;
  i64 file_ = -1, error_ = 0;
};

bool is_signed_number(const char* word, u64 length) {
  const u64 digits = length > 0 && word[0] == '-' ? 1 : 0;
  if (length == digits || length > 11) return false;
  for (u64 i = digits; i < length; i++) {
    if (word[i] < '0' || word[i] > '9') return false;
  }
  return true;
}

// An object that the application meets here first gets its number here. Without room it is none that exists.
i64 translated_object(wire::IdKind kind, i64 id) {
  const i64 found = virtual_object(kind, static_cast<i32>(id));
  return found < 0 ? -1 : found;
}

i64 translated(Word what, i64 id) {
  switch (what) {
    case Word::SharedMemory:
      return translated_object(wire::IdKind::SharedMemory, id);
    case Word::Semaphore:
      return translated_object(wire::IdKind::Semaphore, id);
    case Word::MessageQueue:
      return translated_object(wire::IdKind::MessageQueue, id);
    default:
      break;
  }
  const IdFor as = what == Word::Group ? IdFor::Group : what == Word::Session ? IdFor::Session : IdFor::Process;
  return id > 0 ? virtual_of(static_cast<u32>(id), as) : id;
}

// What the words of one line are.
class Line {
 public:
  explicit Line(ProcPlace place) : place_(place) {}

  void end() {
    index_ = 0;
    key_ = Key::None;
    found_ = false;
  }

  Word next(const char* word, u64 length) {
    const u32 index = index_++;
    const bool number = is_signed_number(word, length);
    switch (place_) {
      case ProcPlace::Children:
        return number ? Word::Process : Word::Plain;
      case ProcPlace::Locks:
        return first_number(number);
      case ProcPlace::SharedMemory:  // key shmid perms size cpid lpid
        if (!number) return Word::Plain;
        return index == 1 ? Word::SharedMemory : index == 4 || index == 5 ? Word::Process : Word::Plain;
      case ProcPlace::Semaphores:  // key semid
        return number && index == 1 ? Word::Semaphore : Word::Plain;
      case ProcPlace::MessageQueues:  // key msqid perms cbytes qnum lspid lrpid
        if (!number) return Word::Plain;
        return index == 1 ? Word::MessageQueue : index == 5 || index == 6 ? Word::Process : Word::Plain;
      case ProcPlace::Status:
      case ProcPlace::DescriptorInfo:
        if (index == 0) key_ = key_of(word, length);
        return index == 0 ? Word::Plain : of_key(number, word);
      default:
        return Word::Plain;
    }
  }

 private:
  enum class Key : u8 { None, Process, Group, Session, Lock, Task, Blocked };

  // "1: POSIX  ADVISORY  WRITE 1234 08:02:77 0 EOF": the owner is the first word that is a number and nothing else.
  Word first_number(bool number) {
    if (!number || found_) return Word::Plain;
    found_ = true;
    return Word::Process;
  }

  // NSpid and its like go on with the numbers in namespaces below, which nobody translates.
  Word of_key(bool number, const char* word) {
    if (key_ == Key::None) return Word::Plain;
    if (key_ == Key::Blocked) return own_ ? Word::Mask : Word::Plain;
    const Word found = first_number(number);
    if (found == Word::Plain) return found;
    if (key_ == Key::Task) own_ = read_signed(word) == raw_syscall(__NR_gettid);
    if (key_ == Key::Group) return Word::Group;
    return key_ == Key::Session ? Word::Session : Word::Process;
  }

  Key key_of(const char* word, u64 length) const {
    const auto is = [word, length](const char* name) {
      return string_length(name) == length && memcmp(word, name, length) == 0;
    };
    if (place_ == ProcPlace::DescriptorInfo) {
      if (is("lock:")) return Key::Lock;
      return is("Pid:") || is("NSpid:") ? Key::Process : Key::None;
    }
    if (is("Pid:")) return Key::Task;
    if (is("SigBlk:")) return Key::Blocked;
    if (is("NSpgid:")) return Key::Group;
    if (is("NSsid:")) return Key::Session;
    // Ngid is a group of the NUMA balancer and bears the id of a task.
    static constexpr const char* kProcess[] = {"Tgid:", "Ngid:", "PPid:", "TracerPid:", "NStgid:", "NSpid:"};
    for (const char* name : kProcess) {
      if (is(name)) return Key::Process;
    }
    return Key::None;
  }

  ProcPlace place_;
  u32 index_ = 0;
  Key key_ = Key::None;
  bool found_ = false;
  bool own_ = false;  // the calling thread's
};

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n'; }

// Words across the borders of pieces are put together in word_.
class Translator {
 public:
  Translator(ProcPlace place, u64 own_mask, Copy* copy) : line_(place), own_mask_(own_mask), copy_(copy) {}

  void feed(const char* text, u64 bytes) {
    for (u64 i = 0; i < bytes; i++) {
      const char c = text[i];
      if (is_blank(c)) {
        end_word();
        copy_->put(&c, 1);
        if (c == '\n') line_.end();
      } else if (length_ < kMaxWord) {
        word_[length_++] = c;
      } else {
        if (!overlong_) copy_->put(word_, length_);
        overlong_ = true;
        copy_->put(&c, 1);
      }
    }
  }

  void end_word() {
    if (length_ == 0) return;
    word_[length_] = 0;
    const Word what = line_.next(word_, overlong_ ? 0 : length_);
    if (what == Word::Mask) {
      copy_->put_mask(own_mask_);
    } else if (what != Word::Plain) {
      const char* digits = word_;
      copy_->put_translated(word_, length_, translated(what, read_signed(digits)));
    } else if (!overlong_) {
      copy_->put(word_, length_);
    }
    length_ = 0;
    overlong_ = false;
  }

 private:
  Line line_;
  u64 own_mask_;
  Copy* copy_;
  char word_[kMaxWord + 1];
  u64 length_ = 0;
  bool overlong_ = false;
};

// The number at `*at`, which is moved behind it.
void put_number(const char** at, Word what, Copy* copy) {
  const char* digits = *at;
  const i64 id = read_signed(*at);
  copy->put_translated(digits, static_cast<u64>(*at - digits), translated(what, id));
}

void put_until(const char** at, const char* end, Copy* copy) {
  copy->put(*at, static_cast<u64>(end - *at));
  *at = end;
}

const char* find(const char* from, char wanted) {
  while (*from != 0 && *from != wanted) from++;
  return from;
}

// pid (name) state ppid pgrp session tty_nr tpgid ... and as field 32 the signals blocked, of the first 31.
void translate_stat(const char* text, const char* end, u64 own_mask, Copy* copy) {
  const char* at = text;
  const char* first = text;
  const bool own = read_signed(first) == raw_syscall(__NR_gettid);
  put_number(&at, Word::Process, copy);
  const char* name_end = end;
  while (name_end > at && *name_end != ')') name_end--;
  constexpr Word kFields[] = {Word::Plain, Word::Process, Word::Group, Word::Session, Word::Plain, Word::Group};
  put_until(&at, find(name_end, ' '), copy);
  for (Word field : kFields) {
    if (*at != ' ') break;
    put_until(&at, at + 1, copy);
    if (field == Word::Plain) {
      put_until(&at, find(at, ' '), copy);
    } else {
      put_number(&at, field, copy);
    }
  }
  constexpr u32 kTranslated = 8, kBlocked = 32;
  for (u32 field = kTranslated + 1; own && field <= kBlocked && *at == ' '; field++) {
    put_until(&at, at + 1, copy);
    const char* next = find(at, ' ');
    if (field == kBlocked) {
      copy->put_translated(at, static_cast<u64>(next - at), static_cast<i64>(own_mask & 0x7fffffff));
      at = next;
    } else {
      put_until(&at, next, copy);
    }
  }
  put_until(&at, end, copy);
}

// Seconds since the boot and seconds of idle processors, with two digits behind the point.
void translate_uptime(const char* text, const char* end, Copy* copy) {
  constexpr i64 kHundredth = 10'000'000;
  if (clock_offset(CLOCK_BOOTTIME) == 0) return copy->put(text, static_cast<u64>(end - text));
  const char* at = text;
  const u64 seconds = read_decimal(at);
  if (*at != '.') return copy->put(text, static_cast<u64>(end - text));
  const char* point = ++at;
  const u64 hundredths = read_decimal(at);
  if (at - point != 2) return copy->put(text, static_cast<u64>(end - text));
  i64 since = static_cast<i64>(seconds * 100 + hundredths) + clock_offset(CLOCK_BOOTTIME) / kHundredth;
  if (since < 0) since = 0;
  char digits[32];
  char* place = write_text(write_decimal(digits, static_cast<u64>(since) / 100), ".");
  *place++ = static_cast<char>('0' + since / 10 % 10);
  *place++ = static_cast<char>('0' + since % 10);
  copy->put_changed(digits, static_cast<u64>(place - digits));
  copy->put(at, static_cast<u64>(end - at));
}

// name (pid, #threads: n)
void translate_scheduling(const char* text, const char* end, Copy* copy) {
  const char* at = text;
  const char* number = find(text, '\n');
  while (number > text && *number != '(') number--;
  put_until(&at, *number == '(' ? number + 1 : number, copy);
  if (*at >= '0' && *at <= '9') put_number(&at, Word::Process, copy);
  put_until(&at, end, copy);
}

// All of a short text, ending in NUL. Its length, or -errno.
i64 read_whole(i32 fd, char* buffer, u64 capacity) {
  u64 length = 0;
  while (length + 1 < capacity) {
    const i64 bytes = raw_syscall(__NR_read, fd, buffer + length, capacity - 1 - length);
    if (bytes < 0) return bytes;
    if (bytes == 0) break;
    length += static_cast<u64>(bytes);
  }
  buffer[length] = 0;
  return static_cast<i64>(length);
}

i64 translate_words(i32 fd, ProcPlace place, u64 own_mask, char* buffer, Copy* copy) {
  Translator translator(place, own_mask, copy);
  for (;;) {
    const i64 bytes = raw_syscall(__NR_read, fd, buffer, kBufferBytes);
    if (bytes < 0) return bytes;
    if (bytes == 0) break;
    translator.feed(buffer, static_cast<u64>(bytes));
  }
  translator.end_word();
  return 0;
}

}  // namespace

i64 translate_text(Scratch* scratch, i32 fd, ProcPlace place, bool close_on_exec, u64 own_mask) {
  static_assert(sizeof scratch->pointers >= 2 * kBufferBytes);
  char* text = reinterpret_cast<char*>(scratch->pointers);
  Copy copy(text + kBufferBytes, close_on_exec);
  i64 result;
  if (place == ProcPlace::Stat || place == ProcPlace::Scheduling || place == ProcPlace::Uptime) {
    result = read_whole(fd, text, kBufferBytes);
    const char* end = text + (result > 0 ? result : 0);
    if (result > 0 && place == ProcPlace::Stat) translate_stat(text, end, own_mask, &copy);
    if (result > 0 && place == ProcPlace::Uptime) translate_uptime(text, end, &copy);
    if (result > 0 && place == ProcPlace::Scheduling) translate_scheduling(text, end, &copy);
  } else {
    result = translate_words(fd, place, own_mask, text, &copy);
  }
  const i64 finished = copy.finish(fd);
  if (result == -ESRCH) return 0;  // the process has ended: the program's own read says so
  return result < 0 ? result : finished;
}

}  // namespace stasis::runtime
