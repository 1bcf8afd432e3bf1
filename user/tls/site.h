/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where in a TLS library a kernel program is to be placed, and which: what the finder of places (library.h) says, and
 * what the one who attaches (targets.h) and the loader understand.
 *
 * Invariant: at a site the program finds its operands where the calling convention puts them at the function's first
 * byte (TLS_*_IN), or where it puts the result at its return (TLS_*_OUT). A site elsewhere in the function is only
 * given when a decoder has proved that they are still, or already, there on every path that leads to it.
 */
#ifndef TW_TLS_SITE_H
#define TW_TLS_SITE_H

#include <stdint.h>

/* What a program does there; each is one kernel program. See bpf/tls_calls.h. */
enum tls_job {
	TLS_READ_IN,     /* (session, buffer, ...) */
	TLS_READ_OUT,    /* bytes read, or <= 0 */
	TLS_READ_EX_IN,  /* (session, buffer, size, size_t *bytes) */
	TLS_READ_EX_OUT, /* >= 1: *bytes were read */
	TLS_WRITE_IN,    /* (session, buffer, size) */
	TLS_WRITE_OUT,   /* bytes accepted, or <= 0 */
	TLS_WRITE_EX_IN, /* (session, buffer, size, size_t *bytes) */
	TLS_WRITE_EX_OUT,
	TLS_SENDFILE_IN,  /* (session, ...) */
	TLS_SENDFILE_OUT, /* bytes accepted, whose content nobody looks at, or <= 0 */
	TLS_HANDSHAKE_IN, /* (session) */
	TLS_HANDSHAKE_OUT,
	TLS_FREE_IN,     /* (session): it ends, or is used for another connection from now on */
	TLS_READ_AT,     /* inside: the result is in the result register, arguments where the cookie says */
	TLS_GO_READ_IN,  /* Go's register convention: rax session, rbx buffer, rcx size; r14 the goroutine */
	TLS_GO_READ_OUT, /* rax bytes read */
	TLS_GO_WRITE_IN,
	TLS_GO_WRITE_OUT,
	TLS_GO_HANDSHAKE_IN, /* rax session; r14 the goroutine */
	TLS_GO_HANDSHAKE_OUT,
	TLS_JOB_NR,
};

enum tls_how {
	TLS_EMULATED,  /* on an instruction that the kernel emulates: one trap */
	TLS_STEPPED,   /* on one that it must single-step: two traps */
	TLS_URETPROBE, /* the return address is replaced at `offset`, where the stack is as at the function's first byte
	                */
	TLS_HOW_NR,
};

/*
 * Where a TLS_READ_AT finds what it needs, 16 bits each, lowest first: the session, the buffer, the pointer to the
 * number of bytes, the flag that says "only look" (0xffff: there is none). 0 to 5: rbx, rbp, r12, r13, r14, r15;
 * 0x8000 + n: n bytes above the stack pointer.
 */
#define TLS_WHERE(session, buffer, bytes, peek) \
	((uint64_t)(session) | (uint64_t)(buffer) << 16 | (uint64_t)(bytes) << 32 | (uint64_t)(peek) << 48)
#define TLS_WHERE_NONE  0xffff
#define TLS_WHERE_STACK 0x8000

struct tls_site {
	uint64_t offset;  /* in the file */
	uint64_t where;   /* of TLS_READ_AT: TLS_WHERE() */
	const char *name; /* of the function, static */
	uint8_t job;      /* enum tls_job */
	uint8_t how;      /* enum tls_how */
};

#endif
