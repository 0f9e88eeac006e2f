// Fast calls (runtime/fast_call.h): where a rewritten call site jumps to, and the ways back to the program.
//
// In: rax the call's number, rcx the address behind the program's `syscall`, every other register the program's. A system call
// changes rax, rcx and r11 and nothing else, neither memory on the stack nor flags, and so does this. All the program's registers
// lie in a FastCall on its own stack below the red zone, its flags above that, and r15 points to the FastCall for as long as the
// runtime works for it.
//
// A signal may arrive anywhere. Its handler is entered as if the thread were at the program's own call, before or behind it
// (leave_fast_call), and what it needs for that is kept at every instruction:
//
//     entry .. begun       all registers but rsp, r11 and flags are the program's
//     begun .. leave       r15 is the FastCall; the call counts as not made until `issued` is set. `after` .. `issue_end`: made, result in rax
//     leave .. left        r15 is the FastCall; done, result in rax
//     left .. gone         done; rsp is the program's, rcx where it goes on, and at first its r15 is in r11
//     giving_up .. abandoned   r15 is the FastCall; not made
//     abandoned .. handed  as behind left, to the program's `syscall`
    .set MAGIC, 0                   // struct FastCall, asserted in fast_call.cc
    .set RESULT, 8
    .set ISSUED, 16
    .set R8, 72                     // arch::KernelSigcontext inside
    .set R9, 80
    .set R10, 88
    .set R12, 104
    .set R13, 112
    .set R14, 120
    .set R15, 128
    .set RDI, 136
    .set RSI, 144
    .set RBP, 152
    .set RBX, 160
    .set RDX, 168
    .set RAX, 176
    .set RSP, 192
    .set RIP, 200
    .set FAST_CALL_BYTES, 336
    .set RED_ZONE, 128
    .set FLAGS_BELOW, 136           // the flags lie so far below the program's rsp
    .set FAST_CALL_MAGIC, 0x6c6c616374736166

// The FastCall is no longer one, and the registers that a call leaves alone but C++ does not are the program's.
    .macro load_arguments
    movq $0, MAGIC(%r15)
    mov R8(%r15), %r8
    mov R9(%r15), %r9
    mov R10(%r15), %r10
    mov RDI(%r15), %rdi
    mov RSI(%r15), %rsi
    mov RDX(%r15), %rdx
    .endm

// Flags and stack; the program's r15 waits in r11.
    .macro load_last
    mov RSP(%r15), %r11
    pushq -FLAGS_BELOW(%r11)
    popfq
    mov R15(%r15), %r11
    mov RSP(%r15), %rsp
    .endm

    .text
    .globl stasis_fast_entry, stasis_fast_red_zone, stasis_fast_flags, stasis_fast_aligned, stasis_fast_begun
stasis_fast_entry:
    lea -RED_ZONE(%rsp), %rsp
stasis_fast_red_zone:
    pushfq
stasis_fast_flags:
    lea FLAGS_BELOW(%rsp), %r11
stasis_fast_aligned:                // from behind this instruction on r11 is the program's rsp
    and $-16, %rsp
    sub $FAST_CALL_BYTES, %rsp
    mov %r8, R8(%rsp)
    mov %r9, R9(%rsp)
    mov %r10, R10(%rsp)
    mov %r12, R12(%rsp)
    mov %r13, R13(%rsp)
    mov %r14, R14(%rsp)
    mov %r15, R15(%rsp)
    mov %rdi, RDI(%rsp)
    mov %rsi, RSI(%rsp)
    mov %rbp, RBP(%rsp)
    mov %rbx, RBX(%rsp)
    mov %rdx, RDX(%rsp)
    mov %rax, RAX(%rsp)
    mov %r11, RSP(%rsp)
    mov %rcx, RIP(%rsp)
    movq $0, ISSUED(%rsp)
    mov %rsp, %r15
stasis_fast_begun:
    movabs $FAST_CALL_MAGIC, %r11
    xor %r15, %r11
    mov %r11, MAGIC(%r15)
    cld
    mov %r15, %rdi
    call stasis_fast_dispatch

    .globl stasis_fast_leave, stasis_fast_left, stasis_fast_gone
stasis_fast_leave:
    load_arguments
    mov RIP(%r15), %rcx
    load_last
stasis_fast_left:
    mov %r11, %r15
    jmp *%rcx
stasis_fast_gone:

// [[noreturn]] void stasis_fast_abandon(): the program makes its call itself, which traps.
    .globl stasis_fast_abandon, stasis_fast_giving_up, stasis_fast_abandoned, stasis_fast_handed
stasis_fast_abandon:
stasis_fast_giving_up:
    load_arguments
    mov R12(%r15), %r12
    mov R13(%r15), %r13
    mov R14(%r15), %r14
    mov RBP(%r15), %rbp
    mov RBX(%r15), %rbx
    mov RAX(%r15), %rax
    mov RIP(%r15), %rcx
    lea -2(%rcx), %rcx              // the length of `syscall`
    load_last
stasis_fast_abandoned:
    mov %r11, %r15
    jmp *%rcx
stasis_fast_handed:

// i64 stasis_fast_issue(i64 number, const u64 arguments[6]): the call of which it can be told, wherever a signal hits, whether it has been made.
    .globl stasis_fast_issue, stasis_fast_after, stasis_fast_issue_end
stasis_fast_issue:
    mov %rdi, %rax
    mov 40(%rsi), %r9
    mov 32(%rsi), %r8
    mov 24(%rsi), %r10
    mov 16(%rsi), %rdx
    mov 0(%rsi), %rdi
    mov 8(%rsi), %rsi
    syscall
stasis_fast_after:
    mov %rax, RESULT(%r15)
    movq $1, ISSUED(%r15)
stasis_fast_issue_end:
    ret

// void stasis_store_16(void* to, const void* from): one store; both aligned. Only in SIGSYS handlers, whose frame has the program's xmm0.
    .globl stasis_store_16
stasis_store_16:
    movaps (%rsi), %xmm0
    movaps %xmm0, (%rdi)
    ret
    .section .note.GNU-stack, "", @progbits
