// Which bytes are taken for a call site, and how the instruction between is moved (runtime/site_code.h). The encodings were
// made with an assembler.
#include "runtime/site_code.h"

#include <cstring>
#include <vector>

#include "test/check.h"

namespace stasis::runtime {
namespace {

using Bytes = std::vector<u8>;

// `before`, then mov $257, %eax; padded in front with nops.
bool plain_behind(Bytes before, u64 number = 257) {
  Bytes code(8, 0x90);
  code.insert(code.end(), before.begin(), before.end());
  const std::size_t site = code.size();
  const Bytes mov = {0xb8, 0x01, 0x01, 0x00, 0x00, 0x0f, 0x05};
  code.insert(code.end(), mov.begin(), mov.end());
  return is_plain_site(code.data() + site, number);
}

u32 length_of(Bytes code) {
  code.resize(16, 0x90);
  return movable_instruction(code.data());
}

TEST(a_move_of_the_number_is_a_site) {
  CHECK(plain_behind({}));
  CHECK(plain_behind({0x31, 0xff}));              // xor %edi, %edi
  CHECK(plain_behind({0x41, 0xba, 8, 0, 0, 0}));  // mov $8, %r10d
  CHECK(!plain_behind({}, 258));                  // another number than was called
  const u8 other[] = {0x90, 0x90, 0x90, 0x90, 0x90, 0xbf, 1, 1, 0, 0};
  CHECK(!is_plain_site(other + 5, 257));  // mov to edi
}

TEST(look_alikes_are_none) {
  CHECK(!plain_behind({0x41}));                 // mov $257, %r8d
  CHECK(!plain_behind({0x66}));                 // a 16-bit move and more
  CHECK(!plain_behind({0x8d}));                 // lea 257(%rax), %edi
  CHECK(!plain_behind({0xc7, 0x45}));           // movl $257, -72(%rbp)
  CHECK(!plain_behind({0xc7, 0x44, 0x24}));     // movl $257, -72(%rsp)
  CHECK(!plain_behind({0x81, 0x7d}));           // cmpl $257, -72(%rbp)
  CHECK(!plain_behind({0x48, 0x69, 0x7b}));     // imul $257, -72(%rbx), %rdi
  CHECK(!plain_behind({0xf7, 0x44, 0x24}));     // testl $257, -72(%rsp)
  CHECK(!plain_behind({0x48, 0xbf, 1, 2, 3}));  // movabs $..., %rdi
  CHECK(!plain_behind({0x49, 0xb8, 1, 2, 3}));  // movabs $..., %r8
}

TEST(argument_loads_are_measured) {
  CHECK_EQUAL(length_of({0x48, 0x8d, 0xb3, 0xf0, 8, 0, 0}), 7u);        // lea 0x8f0(%rbx), %rsi
  CHECK_EQUAL(length_of({0x48, 0x8d, 0x35, 0xdd, 0x78, 0x11, 0}), 7u);  // lea 0x1178dd(%rip), %rsi
  CHECK_EQUAL(length_of({0x48, 0x8d, 0x74, 0x24, 0x10}), 5u);           // lea 16(%rsp), %rsi
  CHECK_EQUAL(length_of({0x48, 0x8d, 0xb4, 0x24, 0x90, 0, 0, 0}), 8u);  // lea 144(%rsp), %rsi
  CHECK_EQUAL(length_of({0x49, 0x8b, 0x7c, 0x24, 0x18}), 5u);           // mov 24(%r12), %rdi
  CHECK_EQUAL(length_of({0x48, 0x8b, 0x3f}), 3u);                       // mov (%rdi), %rdi
  CHECK_EQUAL(length_of({0x4c, 0x89, 0xf6}), 3u);                       // mov %r14, %rsi
  CHECK_EQUAL(length_of({0x89, 0xef}), 2u);                             // mov %ebp, %edi
  CHECK_EQUAL(length_of({0x48, 0x63, 0xff}), 3u);                       // movslq %edi, %rdi
  CHECK_EQUAL(length_of({0xbf, 2, 0, 0, 0}), 5u);                       // mov $2, %edi
  CHECK_EQUAL(length_of({0x41, 0xba, 8, 0, 0, 0}), 6u);                 // mov $8, %r10d
  CHECK_EQUAL(length_of({0x31, 0xd2}), 2u);                             // xor %edx, %edx
}

TEST(what_cannot_be_moved_is_left) {
  CHECK_EQUAL(length_of({0x48, 0x89, 0xf8}), 0u);                    // mov %rdi, %rax
  CHECK_EQUAL(length_of({0x48, 0x8d, 0x07}), 0u);                    // lea (%rdi), %rax
  CHECK_EQUAL(length_of({0xb8, 1, 0, 0, 0}), 0u);                    // mov $1, %eax
  CHECK_EQUAL(length_of({0x31, 0xc0}), 0u);                          // xor %eax, %eax
  CHECK_EQUAL(length_of({0x31, 0xfa}), 0u);                          // xor %edi, %edx
  CHECK_EQUAL(length_of({0x48, 0x8d, 0x34, 0xbe}), 0u);              // lea (%rsi,%rdi,4), %rsi
  CHECK_EQUAL(length_of({0x4a, 0x8d, 0x34, 0x24}), 0u);              // lea (%rsp,%r12), %rsi
  CHECK_EQUAL(length_of({0x48, 0x89, 0x37}), 0u);                    // mov %rsi, (%rdi): a store
  CHECK_EQUAL(length_of({0x48, 0xbf, 1, 2, 3, 4, 5, 6, 7, 8}), 0u);  // movabs
  CHECK_EQUAL(length_of({0xe8, 0, 0, 0, 0}), 0u);                    // call
  CHECK_EQUAL(length_of({0x74, 0x05}), 0u);                          // je
  CHECK_EQUAL(length_of({0xc3}), 0u);                                // ret
}

TEST(a_moved_instruction_means_the_same) {
  u8 from[16] = {0x48, 0x8d, 0x35, 0, 0, 0, 0}, to[16];  // lea x(%rip), %rsi
  const i32 displacement = 0x1000;
  std::memcpy(from + 3, &displacement, sizeof displacement);
  const u64 target = reinterpret_cast<u64>(from) + 7 + displacement;
  const u64 near = reinterpret_cast<u64>(from) + 0x12345, far = reinterpret_cast<u64>(from) + 0x1'8000'0000;
  CHECK(move_instruction(from, 7, to, near));
  i32 moved;
  std::memcpy(&moved, to + 3, sizeof moved);
  CHECK_EQUAL(near + 7 + static_cast<u64>(static_cast<i64>(moved)), target);
  CHECK(!move_instruction(from, 7, to, far));
  const u8 plain[] = {0x48, 0x8d, 0xb3, 0xf0, 8, 0, 0};
  CHECK(move_instruction(plain, sizeof plain, to, far));
  CHECK(std::memcmp(to, plain, sizeof plain) == 0);
}

}  // namespace
}  // namespace stasis::runtime
