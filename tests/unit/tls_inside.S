/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A library that reads the way OpenSSL does, instruction by instruction as compilers make it of OpenSSL's text, and is
 * wrong in one respect when a symbol is defined (-Wa,--defsym,NAME=1). Only looked at, never run. test_tls_inside.c
 * says what each is for.
 */
	.text

/* int SSL_read(session, buffer, int size) */
	.globl SSL_read
	.type SSL_read, @function
SSL_read:
	sub $0x18, %rsp
	test %edx, %edx
	js 2f
.ifdef READ_HALF_SESSION
	mov %edi, %edi
.endif
	mov %rsp, %rcx
	movslq %edx, %rdx
	call read_internal
	test %eax, %eax
	jle 1f
	mov (%rsp), %eax
1:	add $0x18, %rsp
	ret
2:
.ifdef READ_POSITIVE
	mov $1, %eax
.else
	mov $-1, %eax
.endif
	jmp 1b
	.size SSL_read, . - SSL_read

/* int SSL_read_ex(session, buffer, size, size_t *bytes) */
	.globl SSL_read_ex
	.type SSL_read_ex, @function
SSL_read_ex:
	sub $0x8, %rsp
.ifdef EX_OTHER_WAY
	call peek_internal
.else
	call read_internal
.endif
	xor %edx, %edx
	test %eax, %eax
	cmovs %edx, %eax
	add $0x8, %rsp
	ret
	.size SSL_read_ex, . - SSL_read_ex

	.globl SSL_read_early_data
	.type SSL_read_early_data, @function
SSL_read_early_data:
	push %r13
	push %r12
	push %rbp
	push %rbx
	sub $0x8, %rsp
	mov %rdi, %rbx
	mov %rsi, %r12
	mov %rdx, %r13
	mov %rcx, %rbp
	cmpl $2, 0x100(%rdi)
	je 1f
	movq $0, (%rbp)
.ifdef EARLY_READS_ITSELF
	mov $1, %eax
.else
	mov $2, %eax
.endif
	jmp 2f
1:	mov %rbp, %rcx
	mov %r13, %rdx
	mov %r12, %rsi
	mov %rbx, %rdi
	call SSL_read_ex@PLT
	test %eax, %eax
	setg %al
	movzbl %al, %eax
2:	add $0x8, %rsp
	pop %rbx
	pop %rbp
	pop %r12
	pop %r13
	ret
	.size SSL_read_early_data, . - SSL_read_early_data

	.globl SSL_peek
	.type SSL_peek, @function
SSL_peek:
	sub $0x18, %rsp
	mov %rsp, %rcx
	movslq %edx, %rdx
	call peek_internal
	test %eax, %eax
	cmovg (%rsp), %eax
	add $0x18, %rsp
	ret
	.size SSL_peek, . - SSL_peek

	.globl SSL_write
	.type SSL_write, @function
SSL_write:
	mov $-1, %eax
	ret
	.size SSL_write, . - SSL_write

	.globl SSL_get_ssl_method
	.type SSL_get_ssl_method, @function
SSL_get_ssl_method:
.ifdef FIELD_DIFFERS
	mov 0x10(%rdi), %rax
.else
	mov 0x8(%rdi), %rax
.endif
	ret
	.size SSL_get_ssl_method, . - SSL_get_ssl_method

/* The functions that return tables; the last one is hidden, as that of the newest version is. */
	.macro method name, table
	.globl \name
	.type \name, @function
\name:	lea \table(%rip), %rax
	ret
	.size \name, . - \name
	.endm
	method TLS_method, table_any
	method TLS_server_method, table_server
	method TLSv1_2_method, table_12

/* What SSL_read and SSL_read_ex share: through the table, or by another thread's hand. No symbol says where it ends. */
	.balign 16
read_internal:
	push %r13
	push %r12
	push %rbp
	push %rbx
	sub $0x38, %rsp
	cmpq $0, 0x30(%rdi)
	je 4f
	mov %rdi, %rbx
	mov 0x44(%rdi), %eax
	and $2, %eax
	jne 3f
	mov %rsi, %r12
	xor %esi, %esi
	mov %rdx, %rbp
	mov %rcx, %r13
	call work
.ifdef WAY_SPOILT
	test %eax, %eax
	je 5f
	xor %r12d, %r12d
5:
.endif
	testb $1, 0x9f1(%rbx)
	jne 2f
1:	mov 0x8(%rbx), %rax
	mov %r13, %rcx
	mov %rbp, %rdx
	mov %r12, %rsi
	mov %rbx, %rdi
	mov 0x38(%rax), %rax
	add $0x38, %rsp
	pop %rbx
	pop %rbp
	pop %r12
	pop %r13
	jmp *%rax
2:	call work
	test %rax, %rax
	jne 1b
	mov 0x8(%rbx), %rax
	mov %rsp, %rsi
	mov %rbx, %rdi
	mov %rbx, (%rsp)
	mov %r12, 0x8(%rsp)
.ifndef ASYNC_ELSEWHERE
	mov 0x38(%rax), %rax
.else
	mov 0x50(%rax), %rax
.endif
	mov %rbp, 0x10(%rsp)
	mov %rax, 0x20(%rsp)
	call work
	mov 0x1d48(%rbx), %rdx
	mov %rdx, (%r13)
	jmp 5f
3:	xor %eax, %eax
	jmp 5f
4:	mov $-1, %eax
5:	add $0x38, %rsp
	pop %rbx
	pop %rbp
	pop %r12
	pop %r13
	ret

	.balign 16
peek_internal:
	push %rbx
	mov 0x8(%rdi), %rax
	mov %rsi, %rbx
	pop %rbx
	jmp *0x40(%rax)

	.balign 16
work:	mov 0x20(%rdi), %eax
	ret

/* What the table says: int (session, buffer, size, size_t *bytes). */
	.balign 16
method_read:
	mov %rcx, %r8
	xor %ecx, %ecx
	jmp inside

	.balign 16
method_peek:
.ifdef PEEK_CALLS
	push %rbx
	call method_read
	pop %rbx
	ret
.else
	mov %rcx, %r8
.ifdef PEEK_IS_READ
	xor %ecx, %ecx
.else
	mov $1, %ecx
.endif
	jmp inside
.endif

	.balign 16
method_other:
	xor %eax, %eax
	ret

/* (session, buffer, size, int peek, size_t *bytes) */
	.balign 16
inside:
	push %r14
	mov %r8, %r14
	push %r13
	mov %ecx, %r13d
	push %r12
	mov %rdx, %r12
	push %rbp
.ifdef HALF_BUFFER
	mov %esi, %ebp
.else
	mov %rsi, %rbp
.endif
	push %rbx
	mov %rdi, %rbx
	sub $0x10, %rsp
	call work
	movl $0, (%rax)
.ifdef SPOILT_ON_ONE_PATH
	mov 0x1ac(%rbx), %edi
	test %edi, %edi
	je 1f
	mov $0, %ebp
1:
.endif
.ifdef KEPT_ON_THE_STACK
	mov %rbp, 0x8(%rsp)
	mov %rbx, %rdi
	xor %ebp, %ebp
	call work
	mov 0x8(%rsp), %rbp
.endif
.ifdef KEPT_WHERE_OTHERS_WRITE
	mov %rbp, 0x8(%rsp)
	mov %rsp, %rdi
	call work
	mov 0x8(%rsp), %rbp
.endif
.ifdef KEPT_AND_WRITTEN_OVER
	mov %rbp, 0x8(%rsp)
	movl $0, 0xc(%rsp)
	mov 0x8(%rsp), %rbp
.endif
.ifdef RETURNS_EARLY
	cmpl $3, 0x1b0(%rbx)
	je returns
.endif
	mov 0x8(%rbx), %rax
	sub $0x8, %rsp
	mov %rbp, %rcx
	mov $0x17, %esi
	mov %r13d, %r9d
	mov %r12, %r8
	xor %edx, %edx
	mov %rbx, %rdi
	movl $1, 0x1b8(%rbx)
	push %r14
	call *0x68(%rax)
	pop %rcx
	pop %rsi
.ifdef JUMPS_ANYWHERE
	cmp $-1, %eax
	sete %cl
	movzbl %cl, %ecx
	lea again(%rip), %rdx
	lea done(%rip), %rsi
	test %ecx, %ecx
	cmovne %rdx, %rsi
	jmp *%rsi
.endif
	cmp $-1, %eax
.ifdef AGAIN_IF_READ
	.globl place_first
place_first:
	jne again
	jmp done
.else
.ifdef AGAIN_IF_SOME
	cmp $1, %eax
.endif
	.globl place_first
place_first:
	je again
.endif
done:	movl $0, 0x1b8(%rbx)
.ifdef CALLS_BEHIND
	mov %eax, 0xc(%rsp)
	mov %rbx, %rdi
	call work
	mov 0xc(%rsp), %eax
.endif
.ifdef COUNTS_BEHIND
	mov 0x1c0(%rbx), %rdx
	mov %rdx, (%r14)
.endif
.ifdef RESULT_BEHIND
	test %eax, %eax
	setg %al
	movzbl %al, %eax
.endif
returns:
	add $0x10, %rsp
	pop %rbx
	pop %rbp
	pop %r12
	pop %r13
	pop %r14
	ret
again:	cmpl $2, 0x1b8(%rbx)
	jne done
	mov %rbx, %rdi
	call work
	sub $0x8, %rsp
	mov 0x8(%rbx), %rax
	xor %edx, %edx
	push %r14
	mov %r13d, %r9d
	mov %r12, %r8
	mov %rbp, %rcx
	mov $0x17, %esi
	mov %rbx, %rdi
	call *0x68(%rax)
	xor %esi, %esi
	mov %rbx, %rdi
	mov %eax, 0x1c(%rsp)
	call work
	pop %rax
	pop %rdx
	mov 0xc(%rsp), %eax
	.globl place_second
place_second:
	jmp returns

others:	.rept 12
	xor %eax, %eax
	ret
	.endr

/* version, flags, then functions */
	.macro table name, read
\name:	.quad 0x303, 0, others, others + 3, others + 6, others + 9, others + 12
	.quad \read, method_peek, others + 15, others + 18, others + 21, others + 24, others + 27
	.endm
	.section .data.rel.ro, "aw"
	.balign 32
	table table_any, method_read
	table table_server, method_read
.ifdef KNOWN_TABLE_DIFFERS
	table table_12, method_other
.else
	table table_12, method_read
.endif
.ifdef HIDDEN_TABLE_DIFFERS
	table table_hidden, method_other
.else
	table table_hidden, method_read
.endif
