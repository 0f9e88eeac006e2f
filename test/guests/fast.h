// What the guests of fast calls share: whether a function's call site has been rewritten, and where a signal may find the program.
#pragma once

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <ucontext.h>

#include "ids.h"

// The first bytes of a function of libc's, as they are in memory now.
struct guest_code {
  uint8_t bytes[64];
};

__attribute__((unused)) static struct guest_code guest_code_of(const char* function) {
  struct guest_code code;
  const void* address = dlsym(RTLD_DEFAULT, function);
  CHECK(address);
  memcpy(code.bytes, address, sizeof code.bytes);
  return code;
}

// True if a jump stands in front of the first system call of the function, in place of what loads the number.
__attribute__((unused)) static int guest_is_rewritten(const char* function) {
  const struct guest_code code = guest_code_of(function);
  for (size_t i = 5; i + 1 < sizeof code.bytes; i++)
    if (code.bytes[i] == 0x0f && code.bytes[i + 1] == 0x05) return code.bytes[i - 5] == 0xe9;
  CHECK(!"a system call in the function");
  return 0;
}

// Text that belongs to the program: of its own file and of libraries.
struct guest_text {
  uintptr_t begin, end;
};
static struct guest_text guest_texts[64];
static int guest_text_count;

__attribute__((unused)) static int guest_note_text(struct dl_phdr_info* info, size_t bytes, void* unused) {
  (void)bytes, (void)unused;
  const uintptr_t window = 0x7e9000000000;  // of the runtime; its own vdso in there is the program's
  if (info->dlpi_addr >= window && info->dlpi_addr < window + 0x8000000) return 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr)* header = &info->dlpi_phdr[i];
    if (header->p_type != PT_LOAD || !(header->p_flags & PF_X) || guest_text_count == 64) continue;
    guest_texts[guest_text_count].begin = info->dlpi_addr + header->p_vaddr;
    guest_texts[guest_text_count++].end = info->dlpi_addr + header->p_vaddr + header->p_memsz;
  }
  return 0;
}

// In a handler: the signal has to find the program in its own text, wherever the thread really was.
__attribute__((unused)) static void guest_check_place(const void* context) {
  const uintptr_t at = (uintptr_t)((const ucontext_t*)context)->uc_mcontext.gregs[REG_RIP];
  for (int i = 0; i < guest_text_count; i++)
    if (at >= guest_texts[i].begin && at < guest_texts[i].end) return;
  dprintf(1, "the signal found the program at %#lx\n", (unsigned long)at);
  CHECK(!"in the program's text");
}
