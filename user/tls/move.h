/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What one instruction moves: from which register or place in memory to which. x86-64 only.
 *
 * Invariant: as in decode.h, what is not known for certain is said to be the worst. Which registers a MOVE_OTHER
 * changes is in `changes` of the same instruction's struct insn.
 */
#ifndef TW_TLS_MOVE_H
#define TW_TLS_MOVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls/decode.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, REG_NONE };

enum move_kind {
	MOVE_NOTHING,
	MOVE_COPY,    /* dst = src */
	MOVE_CONST,   /* dst = n */
	MOVE_ADDRESS, /* dst = base + n */
	MOVE_LOAD,    /* dst = memory */
	MOVE_STORE,   /* memory = src; REG_NONE: something */
	MOVE_PUSH,    /* src; REG_NONE: something */
	MOVE_POP,     /* dst */
	MOVE_LEAVE,
	MOVE_CALL,  /* of a target that the instruction names; of src; or of what the pointer in memory says */
	MOVE_JUMP,  /* to src or to what the pointer in memory says; other jumps move nothing */
	MOVE_OTHER, /* what it changes becomes something else, and memory may be written */
	MOVE_ANYTHING,
};

struct move {
	uint8_t kind;     /* enum move_kind */
	uint8_t dst, src; /* registers; REG_NONE */
	uint8_t base;
	uint8_t size;     /* bytes moved: 4 or 8; of MOVE_OTHER: at most so many are written */
	bool memory;      /* an operand is in memory: at base + n; with REG_NONE, nobody knows where */
	bool array;       /* and that may be near what any register points to */
	uint8_t compared; /* the zero flag says afterwards whether the lower half of this register is `with` */
	int32_t with;
	regset reads; /* of MOVE_OTHER: nobody knows what becomes of their values */
	int64_t n;
};

/* Of an instruction that decoder__insn knows. false: it does not, or it is not of x86-64. */
bool decoder__move(struct decoder *d, uint64_t at, const uint8_t *bytes, size_t len, struct move *out);

#endif
