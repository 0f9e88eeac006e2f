// Entry point: the kernel's initial stack is the only argument.
    .text
    .globl _start
_start:
    xor %ebp, %ebp
    mov %rsp, %rdi
    and $-16, %rsp
    call stasis_main
    hlt
    .section .note.GNU-stack, "", @progbits
