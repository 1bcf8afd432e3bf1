/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where in one function programs are to be placed: one that needs the arguments, one that needs the result.
 *
 * Invariants, proved on the graph of the function or else the plain places are taken (its first byte, or the push
 * behind an endbr64; its return address replaced from there):
 *  - of every call that comes to an end, the place for the arguments is passed exactly once, and the argument
 *    registers that are asked for hold what they held at the first byte;
 *  - exactly one of the places for the result is passed, the result register is not changed behind it, and the next
 *    thing that leaves the function is a ret.
 */
#ifndef TW_TLS_PLACE_H
#define TW_TLS_PLACE_H

#include <stddef.h>
#include <stdint.h>

#include "tls/graph.h"
#include "tls/site.h"

#define PLACES_OUT_MAX 32

struct place {
	uint64_t addr;
	uint8_t how;   /* enum tls_how */
	char text[16]; /* the mnemonic there, for people */
};

struct place_want {
	regset args;   /* what has to be as it was at the first byte */
	regset halves; /* of these only the lower 32 bits matter */
	regset result; /* the register of the result; 0: no place for it is wanted */
};

struct placement {
	struct place in, out[PLACES_OUT_MAX];
	size_t n_out;
	const char *why; /* why there is no better place (static), or NULL: both are on emulated instructions */
};

/*
 * Finds the places in the function at [addr, addr + size) (size 0: not known) that cost the fewest traps a call.
 * 0, or -ENOMEM. It always finds one: at worst the plain ones.
 */
int place__find(const struct code *c, uint64_t addr, uint64_t size, const struct place_want *want,
                struct placement *out);

/* The very first byte, and the return address replaced there: what any other tool would take. out->why stays NULL. */
void place__plain(const struct code *c, uint64_t addr, const struct place_want *want, struct placement *p);

/*
 * As place__find, for a function of Go, whose return address must not be replaced: `in` as above, or its first byte;
 * `out` every ret in its extent, also those that only a recovered panic comes to. 0, -ENOMEM, or -ENOTSUP with why: the
 * extent cannot be disassembled from one end to the other, or has no or too many returns.
 */
int place__go(const struct code *c, uint64_t addr, uint64_t size, const struct place_want *want, struct placement *out);

/*
 * Does the function do no more than prepare a call that is its last act? Then *jump is that jump (INSN_JUMP to the
 * callee or the linker's stub for it, or INSN_LEAVES); all its ends must be the same. false: no, or not understood.
 */
bool place__hands_on(const struct code *c, uint64_t addr, uint64_t size, struct insn *jump);

#endif
