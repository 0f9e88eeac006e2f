// The whole test framework of the native unit tests: TEST registers a function, CHECK notes a failure and goes on.
// Test-only, so its macros have short names.
//
//     TEST(pipes_keep_their_bytes) {
//       CHECK(count == 3);
//       CHECK_EQUAL(name, "x");
//       if (!CHECK(result.ok())) return;   // both give the truth of what they checked
//     }
#pragma once

#include <sstream>
#include <string>

namespace stasis::test {

// Registers a test at start-up.
struct Registration {
  Registration(const char* name, void (*function)());
};

// Counts a failure of the running test and says where; returns `holds`.
bool check(bool holds, const char* file, int line, const std::string& what);

template <class A, class B>
bool check_equal(const A& actual, const B& expected, const char* file, int line, const char* what) {
  if (actual == expected) return true;
  std::ostringstream text;
  text << what << "\n    is       " << actual << "\n    expected " << expected;
  return check(false, file, line, text.str());
}

// The repository's root, where test/images and docs are found: the current directory, or what --root names.
const std::string& source_root();

}  // namespace stasis::test

#define TEST(name)                                                          \
  static void name();                                                       \
  static const ::stasis::test::Registration registered_##name(#name, name); \
  static void name()
#define CHECK(condition) ::stasis::test::check(static_cast<bool>(condition), __FILE__, __LINE__, #condition)
#define CHECK_EQUAL(actual, expected) \
  ::stasis::test::check_equal((actual), (expected), __FILE__, __LINE__, #actual " == " #expected)
