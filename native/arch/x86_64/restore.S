// Control transfers of a restore that C++ cannot express.
    .set NR_RT_SIGRETURN, 15
    .set NR_CLONE, 56

    .text

// [[noreturn]] void stasis_enter_on_stack(void* stack_top, void (*function)())
    .globl stasis_enter_on_stack
stasis_enter_on_stack:
    mov %rdi, %rsp
    and $-16, %rsp
    xor %ebp, %ebp
    call *%rsi
    hlt

// i64 stasis_clone_thread(flags rdi, stack_top rsi, parent_tid rdx, child_tid rcx, tls r8, index r9)
// The new thread runs stasis_thread_main(index) on its stack and never comes back. The caller gets the thread id or -errno.
    .globl stasis_clone_thread
stasis_clone_thread:
    mov %rcx, %r10              // clone(2): flags, stack, parent_tid, child_tid, tls
    mov $NR_CLONE, %eax
    syscall                     // all but rax, rcx and r11 is kept, in the thread as well
    test %rax, %rax
    jz 1f
    ret
1:  mov %r9, %rdi
    and $-16, %rsp
    xor %ebp, %ebp
    call stasis_thread_main
    hlt

// [[noreturn]] void stasis_return_to_frame(u64 ucontext)
    .globl stasis_return_to_frame
stasis_return_to_frame:
    mov %rdi, %rsp
    mov $NR_RT_SIGRETURN, %eax
    syscall
    hlt
    .section .note.GNU-stack, "", @progbits
