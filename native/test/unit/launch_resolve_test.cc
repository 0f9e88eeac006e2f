// Which program a command means, and what is refused before anything is started.
#include <elf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "launch/resolve.h"
#include "test/check.h"

namespace stasis::launch {
namespace {

// A directory with a few files, removed at the end.
class Programs {
 public:
  Programs() {
    char name[] = "/tmp/stasis-resolve-XXXXXX";
    root = mkdtemp(name);
    mkdir((root + "/first").c_str(), 0700);
    mkdir((root + "/second").c_str(), 0700);
  }
  ~Programs() {
    std::string command = "rm -rf '" + root + "'";
    if (std::system(command.c_str()) != 0) std::perror("rm");
  }
  void write(const std::string& name, const std::string& content, mode_t mode = 0755) {
    std::FILE* file = std::fopen((root + "/" + name).c_str(), "w");
    std::fwrite(content.data(), 1, content.size(), file);
    std::fclose(file);
    chmod((root + "/" + name).c_str(), mode);
  }
  std::vector<std::string> environment() const { return {"A=b", "PATH=" + root + "/first:" + root + "/second", "Z="}; }

  std::string root;
};

std::string elf_head(unsigned char elf_class, Elf64_Half machine) {
  std::string head(64, '\0');
  std::memcpy(head.data(), ELFMAG, SELFMAG);
  head[EI_CLASS] = static_cast<char>(elf_class);
  std::memcpy(head.data() + offsetof(Elf64_Ehdr, e_machine), &machine, sizeof machine);
  return head;
}

const std::string kNative = elf_head(ELFCLASS64, EM_X86_64);

TEST(resolve_classifies_heads) {
  CHECK(classify(kNative).kind == ProgramKind::Elf64);
  CHECK(classify(elf_head(ELFCLASS32, EM_386)).kind == ProgramKind::Elf32);
  CHECK_EQUAL(classify(elf_head(ELFCLASS32, EM_386)).machine, "i386");
  CHECK_EQUAL(classify(elf_head(ELFCLASS32, EM_X86_64)).machine, "x32");
  CHECK(classify(elf_head(ELFCLASS64, EM_AARCH64)).kind == ProgramKind::Foreign);
  CHECK(classify("").kind == ProgramKind::Text);
  CHECK(classify("\x7f"
                 "ELF")
            .kind == ProgramKind::Text);
  CHECK(classify("echo hi\n").kind == ProgramKind::Text);
  CHECK_EQUAL(classify("#!/bin/sh\necho").interpreter, "/bin/sh");
  CHECK_EQUAL(classify("#! \t/usr/bin/env node\n").interpreter, "/usr/bin/env");
  CHECK_EQUAL(classify("#!/bin/sh").interpreter, "/bin/sh");
  CHECK_EQUAL(classify("#!\n/bin/sh").interpreter, "");
  CHECK_EQUAL(classify("#!").interpreter, "");
}

TEST(resolve_searches_path_as_execvp_does) {
  Programs programs;
  programs.write("second/tool", kNative);
  programs.write("first/tool", kNative, 0644);  // not executable: the search goes on
  auto found = resolve_program({"tool", "x"}, programs.environment(), "/");
  if (!CHECK(found.ok())) return;
  CHECK_EQUAL(found.value().path, programs.root + "/second/tool");
  CHECK(found.value().arguments == (std::vector<std::string>{"tool", "x"}));

  programs.write("second/tool", kNative, 0644);
  auto denied = resolve_program({"tool"}, programs.environment(), "/");
  CHECK(!denied.ok() && denied.error().kind == ErrorKind::Permission);
  auto missing = resolve_program({"no-such-tool"}, programs.environment(), "/");
  CHECK(!missing.ok() && missing.error().kind == ErrorKind::NotFound);
  auto empty = resolve_program({""}, programs.environment(), "/");
  CHECK(!empty.ok() && empty.error().kind == ErrorKind::NotFound);
}

TEST(resolve_takes_relative_paths_from_the_working_directory) {
  Programs programs;
  programs.write("first/tool", kNative);
  auto direct = resolve_program({"first/tool"}, {}, programs.root);
  CHECK(direct.ok() && direct.value().path == "first/tool");
  auto by_empty_entry = resolve_program({"tool"}, {"PATH=/nowhere:"}, programs.root + "/first");
  CHECK(by_empty_entry.ok() && by_empty_entry.value().path == "./tool");
  auto directory = resolve_program({"./first"}, {}, programs.root);
  CHECK(!directory.ok() && directory.error().kind == ErrorKind::Permission);
  auto missing = resolve_program({"./nothing"}, {}, programs.root);
  CHECK(!missing.ok() && missing.error().kind == ErrorKind::NotFound);
}

TEST(resolve_follows_interpreters) {
  Programs programs;
  programs.write("first/interpreter", kNative);
  programs.write("first/script", "#!" + programs.root + "/first/interpreter -x\n");
  auto script = resolve_program({"script", "a"}, programs.environment(), "/");
  CHECK(script.ok() && script.value().path == programs.root + "/first/script");

  programs.write("first/orphan", "#!/no/such/interpreter\n");
  auto orphan = resolve_program({"orphan"}, programs.environment(), "/");
  CHECK(!orphan.ok() && orphan.error().kind == ErrorKind::NotFound && orphan.error().path == "/no/such/interpreter");

  programs.write("first/endless", "#!" + programs.root + "/first/endless\n");
  auto endless = resolve_program({"endless"}, programs.environment(), "/");
  CHECK(!endless.ok() && endless.error().error == ELOOP);

  programs.write("first/plain", "echo hi\n");
  auto plain = resolve_program({"plain", "a"}, programs.environment(), "/");
  if (!CHECK(plain.ok())) return;
  CHECK_EQUAL(plain.value().path, "/bin/sh");
  CHECK(plain.value().arguments == (std::vector<std::string>{"/bin/sh", programs.root + "/first/plain", "a"}));
}

TEST(resolve_refuses_other_architectures) {
  Programs programs;
  programs.write("first/old", elf_head(ELFCLASS32, EM_386));
  programs.write("first/script", "#!" + programs.root + "/first/old\n");
  for (const char* name : {"old", "script"}) {
    auto refused = resolve_program({name}, programs.environment(), "/");
    if (!CHECK(!refused.ok())) return;
    CHECK(refused.error().kind == ErrorKind::Unsupported);
    CHECK(refused.error().message().find("first/old is a 32-bit program (i386)") != std::string::npos);
  }
}

TEST(resolve_reads_the_environment) {
  const std::vector<std::string> environment = {"PATHS=/x", "PATH=/y", "PATH=/z", "E="};
  CHECK_EQUAL(std::string(environment_value(environment, "PATH")), "/y");
  CHECK_EQUAL(std::string(environment_value(environment, "E")), "");
  CHECK(environment_value(environment, "PAT") == nullptr);
}

}  // namespace
}  // namespace stasis::launch
