// The blocking window (wire/descriptor.h): a system call of the program, issued with the program's own signal mask.
//
// While it blocks, the runtime's frame lies on the stack, and nothing may depend on it: whoever interrupts the thread between
// stasis_blocking_begin and stasis_blocking_end (a signal's thunk, a checkpoint) can put the thread back at the program's own system
// call, since rbx holds the ucontext of the SIGSYS frame and nothing else of the runtime is in progress.
//
//     begin .. call    not issued yet, or wound back by the kernel to be issued again (ERESTART*)
//     after            returned; result in rax
//     after .. end     returned; result in r12; the mask is being closed again
//
// i64 stasis_blocking_call(KernelUcontext* rdi, i64 number rsi, const u64 arguments[6] rdx)
    .set UCONTEXT_MASK, 296
    .set SIG_SETMASK, 2
    .set RT_SIGPROCMASK, 14

    .text
    .globl stasis_blocking_call, stasis_blocking_begin, stasis_blocking_site, stasis_blocking_after, stasis_blocking_end
stasis_blocking_call:
    push %rbx
    push %r12
    push %r13
    mov %rdi, %rbx
    mov %rsi, %r12
    mov %rdx, %r13
    mov $RT_SIGPROCMASK, %eax
    mov $SIG_SETMASK, %edi
    lea UCONTEXT_MASK(%rbx), %rsi
    xor %edx, %edx
    mov $8, %r10d
    syscall
stasis_blocking_begin:
    mov 0(%r13), %rdi
    mov 8(%r13), %rsi
    mov 16(%r13), %rdx
    mov 24(%r13), %r10
    mov 32(%r13), %r8
    mov 40(%r13), %r9
    mov %r12, %rax
stasis_blocking_site:
    syscall
stasis_blocking_after:
    mov %rax, %r12
    mov $RT_SIGPROCMASK, %eax
    mov $SIG_SETMASK, %edi
    movabs $stasis_handler_mask, %rsi
    xor %edx, %edx
    mov $8, %r10d
    syscall
stasis_blocking_end:
    mov %r12, %rax
    pop %r13
    pop %r12
    pop %rbx
    ret
    .section .note.GNU-stack, "", @progbits
