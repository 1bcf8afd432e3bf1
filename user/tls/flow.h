/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is in the registers and on the stack before each instruction of a function, as far as it can be proved from what
 * its caller handed over. x86-64 only.
 *
 * Invariants: the graph has every path, and what is said to be somewhere is there on each of them. Calls keep what the
 * System V convention makes them keep; memory of the function's own that no address of was given away is only
 * written by what names it. The lower 32 bits are meant of constants and of what was made by an instruction.
 */
#ifndef TW_TLS_FLOW_H
#define TW_TLS_FLOW_H

#include "tls/graph.h"
#include "tls/move.h"

#define FLOW_NODES_MAX 512
#define FLOW_REGS      16
#define FLOW_FRAME     512              /* bytes of the stack below the return address that are followed */
#define FLOW_SLOTS     (FLOW_FRAME / 4) /* one for 4 bytes */

enum value_kind {
	VALUE_UNKNOWN,
	VALUE_ARG,    /* the a-th argument, from 0, as it was */
	VALUE_FRAME,  /* the address n bytes above where the return address is */
	VALUE_FIELD,  /* what was read from memory a bytes behind the first argument */
	VALUE_ENTRY,  /* what was read from memory n bytes behind that */
	VALUE_CONST,  /* n */
	VALUE_CONSTS, /* a: some of enum value_sort */
	VALUE_MADE,   /* by node a, when it ran last */
	VALUE_SEEN,   /* what flow__see was told of */
	VALUE_REST,   /* upper half of what is in the slot before */
};

enum value_sort { SORT_NOT_POSITIVE = 1, SORT_ONE = 2, SORT_MORE = 4 };

struct value {
	int64_t n;
	int32_t a;
	uint8_t kind; /* enum value_kind */
};

struct flow_state {
	struct value regs[FLOW_REGS];
	struct value slots[FLOW_SLOTS]; /* the last one is just below the return address */
	bool reached;
	bool shared;      /* others know an address on this stack */
	uint8_t compared; /* as in struct move, of the instruction before */
	int32_t with;
};

/*
 * A path is in one of two modes, the first one at the function's first byte. When a path in the second one is known to
 * carry VALUE_SEEN that is not positive, it is in the first one again.
 */
struct flow {
	const struct graph *g;
	struct move *moves;
	struct flow_state *before[2]; /* of each mode; g->n each */
	/* Asked before every instruction; says in which mode a path goes on. NULL: always in the first one. */
	int (*pass)(const struct flow *f, size_t node, struct flow_state *s, int mode);
	void *ctx;
	uint8_t *todo; /* a bit a mode */
};

/* 0, -ENOMEM, or -ENOTSUP: too large, or another machine. Release with flow__free in any case. */
int flow__new(struct flow *f, const struct graph *g, const struct code *c);
/* Runs until nothing changes. 0 or -ENOTSUP: it does not end. Can be run again, with another `pass`. */
int flow__run(struct flow *f);
void flow__free(struct flow *f);
/* For flow.pass: what is in rax is VALUE_SEEN from here on, wherever else it is. */
void flow__see(struct flow_state *s);

bool value__same(const struct value *a, const struct value *b);
bool value__is(const struct value *v, enum value_kind kind, int32_t a);
/* Which sorts of numbers it may be: all where it is not known. */
unsigned int value__sorts(const struct value *v);
/* What the pointer is through which node i calls or jumps; VALUE_UNKNOWN for all others. */
struct value flow__pointer(const struct flow *f, size_t i, const struct flow_state *s);

#endif
