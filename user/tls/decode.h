/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One machine instruction, as far as placing a probe needs to know it: where control goes, which registers it may
 * change, and what the kernel does with a probe on it. x86-64 and arm64.
 *
 * Invariant: what is not known for certain is said to be the worst: an instruction that is not in our tables changes
 * every register, is not fit for a probe and, if it may be a jump, goes nobody knows where.
 */
#ifndef TW_TLS_DECODE_H
#define TW_TLS_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A set of general registers by their hardware numbers: rax 0, rcx 1, rdx 2, rbx 3, rsp 4 ... r15; x0 ... x30. */
typedef uint32_t regset;
#define REGS_ALL (~(regset)0)

enum insn_kind {
	INSN_PLAIN,
	INSN_JUMP,   /* to target */
	INSN_BRANCH, /* to target or on */
	INSN_CALL,   /* target 0: through a pointer. On behind it, if it returns */
	INSN_RET,
	INSN_LEAVES,   /* a jump through a pointer at a fixed address: to another function, never to come back here */
	INSN_ANYWHERE, /* a jump nobody knows where */
	INSN_STOP,     /* ud2, int3, hlt, brk: control does not go on */
};

struct insn {
	uint64_t at, target; /* of INSN_LEAVES: the address of the pointer, 0 when it is not known */
	uint8_t len;
	uint8_t kind;      /* enum insn_kind */
	bool emulated;     /* the kernel emulates it under a probe: one trap */
	bool steppable;    /* the kernel certainly single-steps it: two traps */
	regset changes;    /* what it may change; of a call: all */
	regset keeps_half; /* of those in changes: the lower 32 bits stay what they are */
	char text[16];     /* the mnemonic, for people */
};

struct decoder;

#define INSN_BYTES_MAX 16

/* machine: EM_X86_64 or EM_AARCH64. NULL: another machine, or no memory. */
struct decoder *decoder__new(uint16_t machine);
void decoder__free(struct decoder *d);
uint16_t decoder__machine(const struct decoder *d);

/* Decodes the instruction that begins at bytes[0], which is at address `at`. false: it is none, or is cut off. */
bool decoder__insn(struct decoder *d, uint64_t at, const uint8_t *bytes, size_t len, struct insn *out);

#endif
