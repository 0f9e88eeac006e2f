#include "launch/resolve.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "os/file.h"

namespace stasis::launch {

namespace {

constexpr std::size_t kHeadBytes = 256;  // BINPRM_BUF_SIZE since kernel 5.1
constexpr int kMaxInterpreters = 5;      // the kernel gives ELOOP beyond (fs/exec.c, exec_binprm)
// Where execvp(3) looks when PATH is not set: confstr(_CS_PATH).
constexpr const char* kDefaultPath = "/bin:/usr/bin";

std::string machine_name(unsigned machine) {
  switch (machine) {
    case EM_386:
      return "i386";
    case EM_X86_64:
      return "x32";
    case EM_ARM:
      return "arm";
    case EM_AARCH64:
      return "aarch64";
    case EM_RISCV:
      return "riscv";
    case EM_PPC64:
      return "ppc64";
    case EM_S390:
      return "s390";
    default:
      return "machine " + std::to_string(machine);
  }
}

std::string interpreter_of(std::string_view head) {
  std::string_view line = head.substr(2, head.find('\n') == std::string_view::npos ? head.npos : head.find('\n') - 2);
  const char* blanks = " \t";
  std::size_t begin = line.find_first_not_of(blanks);
  if (begin == line.npos) return {};
  line.remove_prefix(begin);
  std::string_view name = line.substr(0, line.find_first_of(blanks));
  return std::string(name.substr(0, name.find('\0')));
}

// Errors after which execvp(3) looks at the next directory.
bool is_absence(int error) {
  return error == ENOENT || error == ENOTDIR || error == ESTALE || error == ENODEV || error == ETIMEDOUT ||
         error == ENAMETOOLONG;
}

// 0 or the errno that execve(2) would give for the file itself.
int check_executable(int directory, const std::string& path) {
  struct stat status{};
  if (fstatat(directory, path.c_str(), &status, 0) != 0) return errno;
  if (!S_ISREG(status.st_mode)) return EACCES;
  return faccessat(directory, path.c_str(), X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

Result<std::string> find_program(const std::string& name, const std::vector<std::string>& environment, int directory) {
  auto failed = [&](int error) {
    if (error == EACCES) {
      return Error::of_errno(error, "execve", "the program may not be executed")
          .with_path(name)
          .with_remedy("check its permissions");
    }
    return Error::of_errno(error, "execve", "looking for the program").with_path(name);
  };
  if (name.find('/') != std::string::npos) {
    int error = check_executable(directory, name);
    if (error != 0) return failed(error);
    return name;
  }
  const char* path = environment_value(environment, "PATH");
  std::string_view rest = path != nullptr ? path : kDefaultPath;
  int denied = 0;
  for (;;) {
    std::size_t colon = rest.find(':');
    std::string candidate(rest.substr(0, colon));
    if (!candidate.empty()) candidate += '/';  // an empty entry means the working directory
    candidate += name;
    int error = name.empty() ? ENOENT : check_executable(directory, candidate);
    // A name without a slash would be searched for again by whoever runs it, the shell for one.
    if (error == 0) return candidate == name ? "./" + name : candidate;
    if (error == EACCES) denied = EACCES;
    if (error != EACCES && !is_absence(error)) return failed(error);
    if (colon == rest.npos) break;
    rest.remove_prefix(colon + 1);
  }
  if (denied != 0) return failed(denied);
  return Error::plain(ErrorKind::NotFound, "there is no program '" + name + "' in PATH",
                      "check the name, or give the program's path");
}

Result<ProgramHead> read_head(int directory, const std::string& path) {
  UniqueFd fd(openat(directory, path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    Error error = Error::of_errno("open", "reading the program").with_path(path);
    if (error.error == EACCES) error.remedy = "Stasis loads programs itself: make it readable for this user";
    return error;
  }
  std::uint8_t head[kHeadBytes];
  std::size_t length = STASIS_TRY(read_at(fd.get(), head, 0, path));
  return classify({reinterpret_cast<const char*>(head), length});
}

Error unsupported(const std::string& path, const std::string& what) {
  return Error::plain(ErrorKind::Unsupported, path + " is " + what, "only 64-bit x86-64 programs can be launched")
      .with_path(path);
}

}  // namespace

ProgramHead classify(std::string_view head) {
  ProgramHead result;
  if (head.starts_with("#!")) {
    result.kind = ProgramKind::Script;
    result.interpreter = interpreter_of(head);
    return result;
  }
  if (!head.starts_with(ELFMAG) || head.size() < offsetof(Elf64_Ehdr, e_machine) + sizeof(Elf64_Half)) return result;
  Elf64_Half machine = 0;  // at the same place in 32-bit headers
  std::memcpy(&machine, head.data() + offsetof(Elf64_Ehdr, e_machine), sizeof machine);
  bool is_64 = head[EI_CLASS] == ELFCLASS64;
  if (is_64 && machine == EM_X86_64) {
    result.kind = ProgramKind::Elf64;
    return result;
  }
  result.kind = is_64 ? ProgramKind::Foreign : ProgramKind::Elf32;
  result.machine = machine_name(machine);
  return result;
}

const char* environment_value(const std::vector<std::string>& environment, std::string_view name) {
  for (const std::string& word : environment) {
    if (word.size() > name.size() && word[name.size()] == '=' && word.starts_with(name))
      return word.c_str() + name.size() + 1;
  }
  return nullptr;
}

Result<ResolvedProgram> resolve_program(const std::vector<std::string>& command,
                                        const std::vector<std::string>& environment, const std::string& cwd) {
  UniqueFd directory = STASIS_TRY(open_directory(cwd, "opening the working directory"));
  std::string path = STASIS_TRY(find_program(command.front(), environment, directory.get()));
  ResolvedProgram resolved{path, command};

  for (int depth = 0;; ++depth) {
    ProgramHead head = STASIS_TRY(read_head(directory.get(), path));
    switch (head.kind) {
      case ProgramKind::Elf64:
        return resolved;
      case ProgramKind::Elf32:
        return unsupported(path, "a 32-bit program (" + head.machine + ")");
      case ProgramKind::Foreign:
        return unsupported(path, "a program for another architecture (" + head.machine + ")");
      case ProgramKind::Text:
        if (depth > 0)
          return Error::of_errno(ENOEXEC, "execve", "the script's interpreter is no program").with_path(path);
        resolved.path = "/bin/sh";
        resolved.arguments.insert(resolved.arguments.begin(), {"/bin/sh"});
        resolved.arguments[1] = path;
        path = resolved.path;
        continue;
      case ProgramKind::Script:
        break;
    }
    if (depth + 1 >= kMaxInterpreters)
      return Error::of_errno(ELOOP, "execve", "following the script's interpreters").with_path(path);
    if (head.interpreter.empty())
      return Error::of_errno(ENOEXEC, "execve", "the script names no interpreter").with_path(path);
    if (int error = check_executable(directory.get(), head.interpreter); error != 0) {
      return Error::of_errno(error, "execve", "looking for the interpreter that " + path + " names")
          .with_path(head.interpreter);
    }
    path = head.interpreter;
  }
}

}  // namespace stasis::launch
