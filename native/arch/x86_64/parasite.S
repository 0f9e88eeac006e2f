// Parasite entry (wire/parasite.h): runs a list of system calls and returns to where the thread was. rdi = ParasiteBlock*. No stack is
// used, registers only, since the thread's context lies complete in the frame, and what kParasiteFork makes shares the stack.
    .set BLOCK_FRAME, 0
    .set BLOCK_COMMANDS, 8
    .set BLOCK_COUNT, 16
    .set BLOCK_DONE, 20
    .set COMMAND_BYTES, 64          // number, six arguments, result
    .set COMMAND_RESULT, 56
    .set FORK, -2                   // kParasiteFork
    .set FORK_ROWS, 8
    .set FORK_ROW_COUNT, 16
    .set FORK_COPY, 48
    .set ROW_BYTES, 16

    .set RT_SIGRETURN, 15
    .set MADVISE, 28
    .set CLONE, 56
    .set EXIT, 60
    .set WAIT4, 61
    .set EXIT_GROUP, 231
    .set CLOSE_RANGE, 436
    .set STEP_FLAGS, 0x4500         // CLONE_VM | CLONE_VFORK | CLONE_FILES: no signal at its end
    .set SIGCHLD, 17
    .set WAIT_ALL, 0x40000000       // __WALL
    .set UNSHARE, 2                 // CLOSE_RANGE_UNSHARE
    .set DONTFORK, 10
    .set DOFORK, 11

    .text
    .globl stasis_parasite_entry, stasis_parasite_sigreturn
stasis_parasite_entry:
    mov %rdi, %r12
    mov BLOCK_COMMANDS(%r12), %r13
1:  mov BLOCK_DONE(%r12), %eax
    cmp BLOCK_COUNT(%r12), %eax
    jae 3f
    mov 0(%r13), %rax
    cmp $FORK, %rax
    je fork_holder
    mov 8(%r13), %rdi
    mov 16(%r13), %rsi
    mov 24(%r13), %rdx
    mov 32(%r13), %r10
    mov 40(%r13), %r8
    mov 48(%r13), %r9
    syscall
2:  mov %rax, COMMAND_RESULT(%r13)
    incl BLOCK_DONE(%r12)
    add $COMMAND_BYTES, %r13
    jmp 1b
3:  mov BLOCK_FRAME(%r12), %rsp
    mov $RT_SIGRETURN, %eax
stasis_parasite_sigreturn:
    syscall
    hlt

fork_holder:
    mov $STEP_FLAGS, %edi
    xor %esi, %esi
    xor %edx, %edx
    xor %r10d, %r10d
    xor %r8d, %r8d
    mov $CLONE, %eax
    syscall
    test %rax, %rax
    jz step
    js 2b
    mov %rax, %rdi
    xor %esi, %esi
    mov $WAIT_ALL, %edx
    xor %r10d, %r10d
    mov $WAIT4, %eax
    syscall
    xor %eax, %eax
    jmp 2b

// A table of descriptors of its own, and empty: the copy must not keep the other end of a pipe, or a port, from closing.
step:
    xor %edi, %edi
    mov $-1, %esi
    mov $UNSHARE, %edx
    mov $CLOSE_RANGE, %eax
    syscall
    test %rax, %rax
    js 5f
    mov $DOFORK, %r14d
rows:
    mov FORK_ROWS(%r13), %rbx
    mov FORK_ROW_COUNT(%r13), %rbp
4:  test %rbp, %rbp
    jz 6f
    mov 0(%rbx), %rdi
    mov 8(%rbx), %rsi
    mov %r14d, %edx
    mov $MADVISE, %eax
    syscall
    add $ROW_BYTES, %rbx
    dec %rbp
    jmp 4b
6:  cmp $DONTFORK, %r14d
    je 7f
    mov $SIGCHLD, %edi
    xor %esi, %esi
    xor %edx, %edx
    xor %r10d, %r10d
    xor %r8d, %r8d
    mov $CLONE, %eax
    syscall
    test %rax, %rax
    jz copy
    mov %rax, FORK_COPY(%r13)
    mov $DONTFORK, %r14d
    jmp rows
5:  mov %rax, FORK_COPY(%r13)
7:  xor %edi, %edi
    mov $EXIT, %eax
    syscall
    hlt

copy:
    xor %edi, %edi
    mov $EXIT_GROUP, %eax
    syscall
    hlt
    .section .note.GNU-stack, "", @progbits
