// Strings, numbers and memory without a library (see text.h).
#include "runtime/text.h"

extern "C" {

void* memcpy(void* to, const void* from, unsigned long bytes) {
  void* result = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
  return result;
}

void* memset(void* to, int value, unsigned long bytes) {
  void* result = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
  return result;
}

void* memmove(void* to, const void* from, unsigned long bytes) {
  auto* target = static_cast<unsigned char*>(to);
  const auto* source = static_cast<const unsigned char*>(from);
  if (target <= source || target >= source + bytes) return memcpy(to, from, bytes);
  while (bytes-- > 0) target[bytes] = source[bytes];
  return to;
}

int memcmp(const void* a, const void* b, unsigned long bytes) {
  const auto* left = static_cast<const unsigned char*>(a);
  const auto* right = static_cast<const unsigned char*>(b);
  for (unsigned long i = 0; i < bytes; i++) {
    if (left[i] != right[i]) return left[i] < right[i] ? -1 : 1;
  }
  return 0;
}

}  // extern "C"

namespace stasis::runtime {

u64 string_length(const char* text) {
  u64 length = 0;
  while (text[length] != 0) length++;
  return length;
}

bool string_equal(const char* a, const char* b) {
  while (*a != 0 && *a == *b) a++, b++;
  return *a == *b;
}

bool starts_with(const char* text, const char* prefix) {
  while (*prefix != 0) {
    if (*text++ != *prefix++) return false;
  }
  return true;
}

const char* base_name(const char* path) {
  const char* name = path;
  for (; *path != 0; path++) {
    if (*path == '/') name = path + 1;
  }
  return name;
}

u64 copy_string(char* to, u64 capacity, const char* from) {
  if (capacity == 0) return 0;
  u64 length = 0;
  while (length + 1 < capacity && from[length] != 0) {
    to[length] = from[length];
    length++;
  }
  to[length] = 0;
  return length;
}

u64 text_hash(const char* text) {
  u64 hash = 0xcbf29ce484222325;
  for (; *text != 0; text++) hash = (hash ^ static_cast<u8>(*text)) * 0x100000001b3;
  return hash != 0 ? hash : 1;
}

char* write_decimal(char* to, u64 value) {
  char digits[20];
  u32 count = 0;
  do {
    digits[count++] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  while (count > 0) *to++ = digits[--count];
  *to = 0;
  return to;
}

char* write_signed(char* to, i64 value) {
  if (value >= 0) return write_decimal(to, static_cast<u64>(value));
  *to++ = '-';
  return write_decimal(to, 0 - static_cast<u64>(value));
}

char* write_text(char* to, const char* from) {
  while (*from != 0) *to++ = *from++;
  *to = 0;
  return to;
}

u64 read_decimal(const char*& text) {
  u64 value = 0;
  while (*text >= '0' && *text <= '9') value = value * 10 + static_cast<u64>(*text++ - '0');
  return value;
}

u64 read_hex(const char*& text) {
  u64 value = 0;
  for (;; text++) {
    char c = *text;
    if (c >= '0' && c <= '9') {
      value = value << 4 | static_cast<u64>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      value = value << 4 | static_cast<u64>(c - 'a' + 10);
    } else {
      return value;
    }
  }
}

i64 read_signed(const char*& text) {
  bool negative = *text == '-';
  if (negative) text++;
  u64 value = read_decimal(text);
  return static_cast<i64>(negative ? 0 - value : value);
}

}  // namespace stasis::runtime
