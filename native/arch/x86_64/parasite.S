// Parasite entry (wire/parasite.h): runs a list of system calls and returns to where the thread was. rdi = ParasiteBlock*. No stack is
// used, registers only, since the thread's context lies complete in the frame.
    .set BLOCK_FRAME, 0
    .set BLOCK_COUNT, 8
    .set BLOCK_DONE, 12
    .set BLOCK_COMMANDS, 16
    .set COMMAND_BYTES, 64          // number, six arguments, result
    .set RT_SIGRETURN, 15

    .text
    .globl stasis_parasite_entry, stasis_parasite_sigreturn
stasis_parasite_entry:
    mov %rdi, %r12
    lea BLOCK_COMMANDS(%r12), %r13
1:  mov BLOCK_DONE(%r12), %eax
    cmp BLOCK_COUNT(%r12), %eax
    jae 2f
    mov 8(%r13), %rdi
    mov 16(%r13), %rsi
    mov 24(%r13), %rdx
    mov 32(%r13), %r10
    mov 40(%r13), %r8
    mov 48(%r13), %r9
    mov 0(%r13), %rax
    syscall
    mov %rax, 56(%r13)
    incl BLOCK_DONE(%r12)
    add $COMMAND_BYTES, %r13
    jmp 1b
2:  mov BLOCK_FRAME(%r12), %rsp
    mov $RT_SIGRETURN, %eax
stasis_parasite_sigreturn:
    syscall
    hlt
    .section .note.GNU-stack, "", @progbits
