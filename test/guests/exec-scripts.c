// `#!`: the interpreter's arguments, nesting, its limit, and what the kernel takes for a script.
// build: static musl
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "guest.h"

static char self[512];

static void write_file(const char* name, const char* text, size_t bytes, int mode) {
  char path[512];
  int fd = open(guest_path(&path, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0 && write(fd, text, bytes) == (ssize_t)bytes && fchmod(fd, (mode_t)mode) == 0 && close(fd) == 0);
}

static void write_script(const char* name, const char* format, const char* argument) {
  char text[1200];
  int bytes = snprintf(text, sizeof text, format, argument);
  write_file(name, text, (size_t)bytes, 0755);
}

// Runs a script of the guest's directory with arguments a and b; what the interpreter (this program) printed, or "errno
// N".
static const char* output(const char* name) {
  static char text[4096];
  char path[512];
  int ends[2];
  CHECK(pipe(ends) == 0);
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 1);
    execl(guest_path(&path, name), "ignored", "a", "b", (char*)NULL);
    dprintf(1, "errno %d", errno);
    _exit(0);
  }
  close(ends[1]);
  size_t length = 0;
  for (ssize_t n; (n = read(ends[0], text + length, sizeof text - 1 - length)) > 0;) length += (size_t)n;
  text[length] = 0;
  close(ends[0]);
  CHECK(waitpid(child, NULL, 0) == child);
  return text;
}

static void expect(const char* name, const char* format, const char* a, const char* b) {
  char wanted[4096];
  snprintf(wanted, sizeof wanted, format, a, b);
  const char* got = output(name);
  if (strcmp(got, wanted) != 0) dprintf(1, "%s: got  %s\nwanted %s\n", name, got, wanted);
  CHECK(strcmp(got, wanted) == 0);
}

static int print(int count, char** words) {
  char name[32] = "";
  int fd = open("/proc/self/comm", O_RDONLY);
  ssize_t n = read(fd, name, sizeof name - 1);
  CHECK(n > 0);
  name[n - 1] = 0;
  for (int i = 1; i < count; i++) printf("[%s]", words[i]);
  const char* file = strrchr((const char*)getauxval(AT_EXECFN), '/');
  printf(" %s %s", name, file ? file + 1 : "?");
  return 0;
}

int main(int count, char** words) {
  if (count > 1) return print(count, words);
  CHECK(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
  char plain[512], outer[512], third[512];
  guest_path(&plain, "plain");
  write_script("plain", "#!%s\nrest", self);
  expect("plain", "[%s][a][b] plain plain%s", plain, "");
  write_script("blank", "#! \t%s  \t one  two \t \n", self);
  expect("blank", "[one  two][%s][a][b] blank blank%s", guest_path(&outer, "blank"), "");
  write_script("unended", "#!%s -x", self);
  expect("unended", "[-x][%s][a][b] unended unended%s", guest_path(&outer, "unended"), "");
  // An interpreter that is a script itself.
  write_script("outer", "#!%s extra\n", plain);
  guest_path(&outer, "outer");
  expect("outer", "[%s][extra][%s][a][b] outer outer", plain, outer);
  write_script("third", "#!%s\n", outer);
  guest_path(&third, "third");
  const char* got = output("third");
  char wanted[2048];
  snprintf(wanted, sizeof wanted, "[%s][extra][%s][%s][a][b] third third", plain, outer, third);
  CHECK(strcmp(got, wanted) == 0);
  // Five levels are the most.
  write_script("fourth", "#!%s\n", third);
  write_script("fifth", "#!%s\n", guest_path(&third, "fourth"));
  write_script("sixth", "#!%s\n", guest_path(&third, "fifth"));
  CHECK(strncmp(output("fifth"), "[", 1) == 0);
  expect("sixth", "errno %s%s", "40", "");
  write_script("circle", "#!%s\n", guest_path(&third, "circle"));
  expect("circle", "errno %s%s", "40", "");
  // Not scripts, or no interpreter.
  write_script("empty", "#!%s", "");  // the interpreter is "", which is the working directory
  expect("empty", "errno %s%s", "13", "");
  write_script("spaces", "#!   %s\n", "");
  expect("spaces", "errno %s%s", "8", "");
  write_script("missing", "#!%s\n", "/nonexistent/interpreter");
  expect("missing", "errno %s%s", "2", "");
  write_script("closed", "#!%s\n", "/etc/passwd");
  expect("closed", "errno %s%s", "13", "");
  write_script("text", "%s\n", "echo hello");
  expect("text", "errno %s%s", "8", "");
  write_file("nothing", "", 0, 0755);
  expect("nothing", "errno %s%s", "8", "");
  char line[700] = "#!/";
  memset(line + 3, 'x', 600);
  write_file("long", line, 603, 0755);
  expect("long", "errno %s%s", "8", "");
  return guest_pass();
}
