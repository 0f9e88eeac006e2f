// Births: clone(2) for the program where the child shares its memory (runtime/births.cc). Nobody can leave by the SIGSYS frame
// then who finds it overwritten: the child of a vfork runs on the stacks where its parent's frames lie. Whoever leaves from here gets
// all of the program's registers from a BirthSide, and continues behind the program's system call by a jump through rcx, which the
// instruction changes anyway, as it does r11.
//
//     window .. released   the program's mask is in force and rsp is the program's: a signal that arrives is finished by
//                          leave_birth() as if the thread had jumped already
    .set SIDE_R8, 0                 // struct BirthSide, asserted in births.cc
    .set SIDE_R9, 8
    .set SIDE_R10, 16
    .set SIDE_R12, 32
    .set SIDE_R13, 40
    .set SIDE_R14, 48
    .set SIDE_R15, 56
    .set SIDE_RDI, 64
    .set SIDE_RSI, 72
    .set SIDE_RBP, 80
    .set SIDE_RBX, 88
    .set SIDE_RDX, 96
    .set SIDE_RAX, 104
    .set SIDE_RSP, 120
    .set SIDE_RIP, 128
    .set SIDE_MASK, 136
    .set SIDE_AREA, 144
    .set SIDE_FEATURES, 152
    .set SIDE_IN_USE, 160
    .set BIRTH_CHILD, 0             // struct BirthRecord
    .set BIRTH_PARENT, 168
    .set BIRTH_CALL, 336
    .set BIRTH_CHILD_STACK, 376
    .set BIRTH_PARENT_STACK, 384    // 0: the parent returns to its caller
    .set NR_CLONE, 56
    .set NR_RT_SIGPROCMASK, 14
    .set SIG_SETMASK, 2

    .text
// i64 stasis_birth(BirthRecord*): the child's system id or -errno, or no return at all.
    .globl stasis_birth, stasis_birth_window, stasis_birth_released
stasis_birth:
    push %rbx
    mov %rdi, %rbx
    mov BIRTH_CALL(%rbx), %rdi
    mov BIRTH_CALL+8(%rbx), %rsi
    mov BIRTH_CALL+16(%rbx), %rdx
    mov BIRTH_CALL+24(%rbx), %r10
    mov BIRTH_CALL+32(%rbx), %r8
    mov $NR_CLONE, %eax
    syscall
    test %rax, %rax
    jz 2f
    js 1f                           // no child: the stack is what it was
    cmpq $0, BIRTH_PARENT_STACK(%rbx)
    jne 3f
1:  pop %rbx
    ret

2:  mov BIRTH_CHILD_STACK(%rbx), %rsp
    xor %ebp, %ebp
    mov %rbx, %rdi
    call stasis_born_child
    jmp 4f                          // BIRTH_CHILD is 0

3:  mov BIRTH_PARENT_STACK(%rbx), %rsp
    xor %ebp, %ebp
    mov %rbx, %rdi
    mov %rax, %rsi
    call stasis_born_parent
    add $BIRTH_PARENT, %rbx

4:  mov SIDE_AREA(%rbx), %rcx       // floating point state, which the kernel reset at the SIGSYS
    test %rcx, %rcx
    jz 6f
    mov SIDE_FEATURES(%rbx), %eax
    xor %edx, %edx
    test %eax, %eax
    jz 5f
    xrstor64 (%rcx)
    jmp 6f
5:  fxrstor64 (%rcx)
6:  mov SIDE_RSP(%rbx), %rsp
    mov $NR_RT_SIGPROCMASK, %eax
    mov $SIG_SETMASK, %edi
    lea SIDE_MASK(%rbx), %rsi
    xor %edx, %edx
    mov $8, %r10d
    syscall
stasis_birth_window:                // here rbx is the BirthSide, behind it r11
    mov %rbx, %r11
    mov SIDE_R8(%r11), %r8
    mov SIDE_R9(%r11), %r9
    mov SIDE_R10(%r11), %r10
    mov SIDE_R12(%r11), %r12
    mov SIDE_R13(%r11), %r13
    mov SIDE_R14(%r11), %r14
    mov SIDE_R15(%r11), %r15
    mov SIDE_RDI(%r11), %rdi
    mov SIDE_RSI(%r11), %rsi
    mov SIDE_RBP(%r11), %rbp
    mov SIDE_RBX(%r11), %rbx
    mov SIDE_RDX(%r11), %rdx
    mov SIDE_RAX(%r11), %rax
    mov SIDE_RIP(%r11), %rcx
    movl $0, SIDE_IN_USE(%r11)      // from here on the side may be another thread's
stasis_birth_released:
    jmp *%rcx
    .section .note.GNU-stack, "", @progbits
