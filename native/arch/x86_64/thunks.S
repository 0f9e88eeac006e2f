// What the kernel calls instead of a program's handlers, and the SIGSYS handler's entry.
//
// Thunk number i stands for the handler stasis_thunk_handlers[i] (runtime/signals.cc). It enters the handler exactly as the kernel
// would have: rdi = signal, rsi = siginfo, rdx = ucontext, rax = 0, the program's restorer on top of the stack. Before that,
// stasis_prepare_entry translates ids in the siginfo, moves a context that was interrupted in the runtime back to the program, and may
// move the whole frame to another stack. Another signal may arrive at any instruction (runtime/handlers.cc). Odd numbers stand for
// handlers that get a siginfo.
    .set FRAME_UCONTEXT, 8          // struct rt_sigframe: restorer, ucontext, siginfo
    .set FRAME_SIGINFO, 312
    .set THUNKS, 4096               // kThunkCount in runtime/signals.h
    .set ENTRY_MAGIC_WORD, 0        // struct Entry in runtime/handlers.cc
    .set ENTRY_R15, 8
    .set ENTRY_SIGNAL, 16
    .set ENTRY_CONTEXT, 24
    .set ENTRY_INDEX, 32
    .set ENTRY_FRAME, 40
    .set ENTRY_PREPARED, 48
    .set ENTRY_BYTES, 72
    .set ENTRY_MAGIC, 0x72656c646e616821

    .section .text.thunks, "ax", @progbits  // apart from what is called (runtime/runtime.ld)
    .balign 16
    .globl stasis_thunks, stasis_thunks_end
stasis_thunks:
    .set index, 0
    .rept THUNKS
    .balign 16
    mov $index, %eax
    jmp stasis_enter_handler
    .set index, index + 1
    .endr
    .balign 16
stasis_thunks_end:

    .text
    .globl stasis_enter_handler, stasis_entry_built, stasis_entry_known, stasis_entry_left, stasis_entry_end
stasis_enter_handler:
    lea -ENTRY_BYTES(%rsp), %rsp    // the kernel enters with rsp + 8 aligned to 16
stasis_entry_built:                 // from here to `known` only rsp, rcx and r11 are changed
    mov %rsp, %rcx
    movabs $ENTRY_MAGIC, %r11
    xor %r11, %rcx
    mov %rcx, ENTRY_MAGIC_WORD(%rsp)
    mov %r15, ENTRY_R15(%rsp)
    mov %rdi, ENTRY_SIGNAL(%rsp)
    mov %rdx, ENTRY_CONTEXT(%rsp)
    mov %rax, ENTRY_INDEX(%rsp)
    lea ENTRY_BYTES(%rsp), %rcx
    mov %rcx, ENTRY_FRAME(%rsp)
    movq $0, ENTRY_PREPARED(%rsp)
    lea 1(%rsp), %r15
stasis_entry_known:
    mov %rsp, %rdi
    call stasis_prepare_entry
    mov ENTRY_INDEX-1(%r15), %rcx
    movabs $stasis_thunk_handlers, %r11
    mov (%r11, %rcx, 8), %r11
    mov ENTRY_SIGNAL-1(%r15), %rdi
    mov ENTRY_FRAME-1(%r15), %rcx
    lea FRAME_UCONTEXT(%rcx), %rdx
    lea FRAME_SIGINFO(%rcx), %rsi
    mov ENTRY_R15-1(%r15), %r10
    mov %rcx, %rsp
stasis_entry_left:
    mov %r10, %r15
    xor %eax, %eax
    jmp *%r11
stasis_entry_end:

// SIGSYS: emulate the trapped call and return, or enter the program's own handler for a SIGSYS that is not ours.
    .globl stasis_sigsys
stasis_sigsys:
    xor %r15d, %r15d                // no fast call; the frame has the program's
    sub $24, %rsp                   // [rsp]: the frame to use if a handler is to be entered
    mov %rdi, 8(%rsp)
    lea 24(%rsp), %rcx
    mov %rcx, (%rsp)
    mov %rsp, %rcx
    call stasis_handle_sigsys       // (signal, siginfo, ucontext, frame*) -> handler or 0
    test %rax, %rax
    jnz 1f
    add $24, %rsp
    ret
1:  mov %rax, %r11
    mov 8(%rsp), %rdi
    mov (%rsp), %rax
    mov %rax, %rsp
    lea FRAME_UCONTEXT(%rax), %rdx
    lea FRAME_SIGINFO(%rax), %rsi
    xor %eax, %eax
    jmp *%r11

// Return from the SIGSYS handler. The bytes are those debuggers and unwinders know a signal frame by.
    .globl stasis_restorer
stasis_restorer:
    .byte 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0
    syscall
    hlt

// [[noreturn]] void stasis_sigreturn(u64 ucontext): the program's own rt_sigreturn, issued for it.
    .globl stasis_sigreturn
stasis_sigreturn:
    mov %rdi, %rsp
    mov $15, %eax
    syscall
    hlt

// i64 stasis_call_on_stack(void* top, i64 (*function)(void*), void* argument)
    .globl stasis_call_on_stack
stasis_call_on_stack:
    push %rbp
    mov %rsp, %rbp
    mov %rdi, %rsp
    mov %rdx, %rdi
    call *%rsi
    mov %rbp, %rsp
    pop %rbp
    ret

// [[noreturn]] void stasis_enter_program(u64 entry, u64* stack): registers as the kernel leaves them at exec.
    .globl stasis_enter_program
stasis_enter_program:
    mov %rsi, %rsp
    mov %rdi, %rax
    push %rax
    xor %eax, %eax
    xor %ebx, %ebx
    xor %ecx, %ecx
    xor %edx, %edx
    xor %ebp, %ebp
    xor %esi, %esi
    xor %edi, %edi
    xor %r8d, %r8d
    xor %r9d, %r9d
    xor %r10d, %r10d
    xor %r11d, %r11d
    xor %r12d, %r12d
    xor %r13d, %r13d
    xor %r14d, %r14d
    xor %r15d, %r15d
    ret
    .section .note.GNU-stack, "", @progbits
