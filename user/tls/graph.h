/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The control-flow graph of one function, one node an instruction, and what is asked of it.
 *
 * The walk starts at the function's first byte and follows every direct jump, also out of the function's own extent:
 * into a part that the compiler put elsewhere (.cold), or into a function that is called last (whose return is then
 * ours). So it sees every path, or refuses. Where it cannot be sure it errs towards more paths.
 */
#ifndef TW_TLS_GRAPH_H
#define TW_TLS_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls/decode.h"

#define GRAPH_NODES_MAX 4096 /* the largest function that is looked at, in instructions, what it jumps to included */

/* Where the code comes from. */
struct code {
	struct decoder *decoder;
	void *ctx;
	/* Up to len bytes of code at addr; 0: none there. */
	size_t (*read)(void *ctx, uint64_t addr, uint8_t *buf, size_t len);
	/* Is what is called (or jumped to) at addr a function that never returns? NULL: not that anybody knows. */
	bool (*never_returns)(void *ctx, uint64_t addr);
};

#define NOWHERE (-1)

struct node {
	struct insn in;
	int next[2];  /* indices of nodes; NOWHERE */
	bool inside;  /* the function's own extent */
	bool leaves;  /* the last of a path that leaves other than by ret */
	bool restart; /* jumps to the function's first byte */
};

struct graph {
	struct node *nodes; /* by address; the first instruction is nodes[entry] */
	size_t n, entry;
	const char *refused; /* why the function is not understood, or NULL. Static. */
};

enum graph_how {
	/* A jump to its own first byte is a fresh start, not a path of its own: Go's functions do so after growing the
	 * stack. Without it a function that does so is refused. */
	GRAPH_RESTARTS = 1,
	GRAPH_STAYS = 2, /* A jump out of its extent is not followed, but the last of a path that leaves. */
	/* So is one nobody knows where: the caller finds out, or refuses. Without it such a function is refused. */
	GRAPH_POINTERS = 4,
};

/*
 * Walks the function at [addr, addr + size). 0, -ENOMEM, or -ENOTSUP with g->refused set: then g has no nodes. Release
 * with graph__free in any case.
 */
int graph__build(struct graph *g, const struct code *c, uint64_t addr, uint64_t size, unsigned how);
void graph__free(struct graph *g);

/*
 * Which nodes can be reached from `from` without passing a node of `walls`, which may be NULL; of walls only the first
 * ones met are marked. seen has g->n entries and is cleared first.
 */
void graph__reach(const struct graph *g, const int *from, size_t n_from, const bool *walls, bool *seen);

/* Marks the nodes behind which (not at themselves, unless in a loop) some path comes to one of those in `wanted`. */
void graph__ahead(const struct graph *g, const bool *wanted, bool *ahead);

/* Marks the nodes before which all of regs still hold what they held at the first byte; of halves, the lower 32 bits.
 */
void graph__intact(const struct graph *g, regset regs, regset halves, bool *intact);

/* Marks the nodes from which on, themselves included, no path changes reg and every path that ends, ends in a ret. */
void graph__final(const struct graph *g, regset reg, bool *final);

#endif
