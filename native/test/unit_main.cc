// unit_tests [--root DIRECTORY] [PART-OF-A-NAME]: runs the tests, one line for each failure, then "N passed, N failed".
#include <cstdio>
#include <cstring>
#include <vector>

#include "test/check.h"

namespace stasis::test {

namespace {

struct Test {
  const char* name;
  void (*function)();
};

// A function's static, since registrations run before main in no particular order.
std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

const char* running = "";
int failures = 0;  // of the running test
std::string root = ".";

}  // namespace

Registration::Registration(const char* name, void (*function)()) { tests().push_back({name, function}); }

bool check(bool holds, const char* file, int line, const std::string& what) {
  if (holds) return true;
  ++failures;
  std::printf("%s:%d: %s: %s\n", file, line, running, what.c_str());
  return false;
}

const std::string& source_root() { return root; }

int run_all(const char* part) {
  int passed = 0, failed = 0;
  for (const Test& test : tests()) {
    if (std::strstr(test.name, part) == nullptr) continue;
    running = test.name;
    failures = 0;
    test.function();
    ++(failures == 0 ? passed : failed);
    std::fflush(stdout);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace stasis::test

int main(int argc, char** argv) {
  const char* part = "";
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--root") == 0 && i + 1 < argc) {
      stasis::test::root = argv[++i];
    } else {
      part = argv[i];
    }
  }
  return stasis::test::run_all(part);
}
