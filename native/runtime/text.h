// Strings, numbers and memory without a library. Also defines memcpy, memset, memmove and memcmp (text.cc), which the
// compiler calls.
#pragma once

#include "wire/types.h"

extern "C" {
void* memcpy(void* to, const void* from, unsigned long bytes);
void* memmove(void* to, const void* from, unsigned long bytes);
void* memset(void* to, int value, unsigned long bytes);
int memcmp(const void* a, const void* b, unsigned long bytes);
}

namespace stasis::runtime {

u64 string_length(const char* text);
bool string_equal(const char* a, const char* b);
bool starts_with(const char* text, const char* prefix);

// Text behind the last '/' of `path`, or all of it.
const char* base_name(const char* path);

// Copies with truncation; the result always ends in NUL if capacity > 0. Returns the length stored.
u64 copy_string(char* to, u64 capacity, const char* from);

// FNV-1a, never 0.
u64 text_hash(const char* text);

// Decimal digits of `value` and a NUL at `to` (21 bytes suffice); returns the address of the NUL.
char* write_decimal(char* to, u64 value);
char* write_signed(char* to, i64 value);
// Copies without the NUL but sets one behind; returns its address.
char* write_text(char* to, const char* from);

// Reads digits at `text`, which is moved behind them. No digits give 0.
u64 read_decimal(const char*& text);
u64 read_hex(const char*& text);
i64 read_signed(const char*& text);

}  // namespace stasis::runtime
