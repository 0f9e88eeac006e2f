// The runtime's own vdso: a shared object laid out by hand in the page at wire::kOwnVdsoAddress, named to programs by AT_SYSINFO_EHDR.
//
// What its readers insist on: glibc wants one PT_LOAD and relocates PT_DYNAMIC in place unless it is read-only; Go and musl want
// vaddr == file offset; all look for DT_HASH and symbol version LINUX_2.6 (hash 0x3ae75f6).
//
// ABI. Programs keep addresses of entry points, also across a checkpoint, so these offsets never change; new ones are appended:
//
//     +0x800  __vdso_clock_gettime      +0x830  __vdso_getcpu
//     +0x810  __vdso_gettimeofday       +0x840  __vdso_clock_getres
//     +0x820  __vdso_time
//
// __vdso_getrandom is left out on purpose: its state would make restored copies share random bytes; libraries then use getrandom(2).
    .section .vdso, "ax", @progbits
vdso_page:
    .byte 0x7f, 'E', 'L', 'F', 2, 1, 1, 0
    .quad 0
    .short 3, 62                    // ET_DYN, EM_X86_64
    .long 1
    .quad 0                         // entry
    .quad 64                        // program headers
    .quad 0                         // no section headers
    .long 0
    .short 64, 56, 2, 64, 0, 0

    .long 1, 5                      // PT_LOAD, read and execute
    .quad 0, 0, 0, 0x1000, 0x1000, 0x1000
    .long 2, 4                      // PT_DYNAMIC, read
    .quad dynamic - vdso_page, dynamic - vdso_page, dynamic - vdso_page
    .quad dynamic_end - dynamic, dynamic_end - dynamic, 8

    .balign 8
dynamic:
    .quad 14, name_soname - strings         // DT_SONAME
    .quad 4, hash - vdso_page               // DT_HASH
    .quad 5, strings - vdso_page            // DT_STRTAB
    .quad 6, symbols - vdso_page            // DT_SYMTAB
    .quad 10, strings_end - strings         // DT_STRSZ
    .quad 11, 24                            // DT_SYMENT
    .quad 0x6ffffff0, versions - vdso_page  // DT_VERSYM
    .quad 0x6ffffffc, definitions - vdso_page  // DT_VERDEF
    .quad 0x6ffffffd, 2                     // DT_VERDEFNUM
    .quad 0, 0
dynamic_end:

    .balign 8
symbols:
    .long 0
    .byte 0, 0
    .short 0
    .quad 0, 0
    .macro symbol name, offset
    .long \name - strings
    .byte 0x12, 0                   // STB_GLOBAL, STT_FUNC
    .short 1
    .quad \offset, 16
    .endm
    symbol name_clock_gettime, 0x800
    symbol name_gettimeofday, 0x810
    symbol name_time, 0x820
    symbol name_getcpu, 0x830
    symbol name_clock_getres, 0x840

    .balign 8
hash:                               // one bucket: symbols 1 to 5 in a chain
    .long 1, 6
    .long 1
    .long 0, 2, 3, 4, 5, 0

    .balign 8
versions:
    .short 0, 2, 2, 2, 2, 2

    .balign 8
definitions:
    .short 1, 1, 1, 1               // VER_FLG_BASE, index 1
    .long 0x0deebfa1                // hash of the soname
    .long 20, 28
    .long name_soname - strings, 0
    .short 1, 0, 2, 1               // index 2
    .long 0x03ae75f6
    .long 20, 0
    .long name_version - strings, 0

strings:
    .byte 0
name_soname:        .asciz "linux-vdso.so.1"
name_version:       .asciz "LINUX_2.6"
name_clock_gettime: .asciz "__vdso_clock_gettime"
name_gettimeofday:  .asciz "__vdso_gettimeofday"
name_time:          .asciz "__vdso_time"
name_getcpu:        .asciz "__vdso_getcpu"
name_clock_getres:  .asciz "__vdso_clock_getres"
strings_end:

    .macro entry offset, target
    .org \offset, 0xcc
    jmp \target
    .endm
    entry 0x800, stasis_vdso_clock_gettime
    entry 0x810, stasis_vdso_gettimeofday
    entry 0x820, stasis_vdso_time
    entry 0x830, stasis_vdso_getcpu
    entry 0x840, stasis_vdso_clock_getres
    .org 0x1000, 0xcc
    .section .note.GNU-stack, "", @progbits
