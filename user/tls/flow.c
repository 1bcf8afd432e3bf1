// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BIT(n) ((regset)1 << (n))

#define RUNS_MAX 400 /* of one node: each changes something, and what is known only ever becomes less */

static const struct value unknown = { .kind = VALUE_UNKNOWN };

bool value__is(const struct value *v, enum value_kind kind, int32_t a)
{
	return v->kind == kind && v->a == a;
}

static unsigned int sort_of(int64_t n)
{
	int32_t i = (int32_t)n;

	return i <= 0 ? SORT_NOT_POSITIVE : i == 1 ? SORT_ONE : SORT_MORE;
}

unsigned int value__sorts(const struct value *v)
{
	if (v->kind == VALUE_CONST)
		return sort_of(v->n);
	return v->kind == VALUE_CONSTS ? (unsigned int)v->a : SORT_NOT_POSITIVE | SORT_ONE | SORT_MORE;
}

bool value__same(const struct value *a, const struct value *b)
{
	return a->kind == b->kind && a->a == b->a && a->n == b->n;
}

static bool is_constant(const struct value *v)
{
	return v->kind == VALUE_CONST || v->kind == VALUE_CONSTS;
}

/* ---- the stack ----------------------------------------------------------------------------------------------------
 */

/* The slot of an address n bytes from the return address; -1: not followed. */
static int slot_of(int64_t n)
{
	return n < -FLOW_FRAME || n >= 0 || n % 4 ? -1 : (int)((n + FLOW_FRAME) / 4);
}

static void forget(struct flow_state *s, int slot)
{
	if (slot < 0 || slot >= FLOW_SLOTS)
		return;
	if (s->slots[slot].kind == VALUE_REST && slot)
		s->slots[slot - 1] = unknown;
	if (slot + 1 < FLOW_SLOTS && s->slots[slot + 1].kind == VALUE_REST)
		s->slots[slot + 1] = unknown;
	s->slots[slot] = unknown;
}

static void forget_range(struct flow_state *s, int64_t from, int64_t to)
{
	for (int i = 0; i < FLOW_SLOTS; i++) {
		int64_t at = (int64_t)i * 4 - FLOW_FRAME;

		if (at + 4 > from && at < to)
			forget(s, i);
	}
}

static void forget_all(struct flow_state *s)
{
	memset(s->slots, 0, sizeof(s->slots));
}

/* Of half a register only numbers are followed. */
static struct value half(struct value v)
{
	return is_constant(&v) || v.kind == VALUE_MADE || v.kind == VALUE_SEEN ? v : unknown;
}

static void store(struct flow_state *s, const struct value *to, int64_t n, unsigned size, struct value v)
{
	int slot;

	if (v.kind == VALUE_FRAME)
		s->shared = true;
	if (to->kind != VALUE_FRAME) {
		if (s->shared)
			forget_all(s);
		return;
	}
	n += to->n;
	forget_range(s, n, n + size);
	slot = slot_of(n);
	if (slot < 0)
		return;
	s->slots[slot] = size == 8 ? v : half(v);
	if (size == 8 && slot + 1 < FLOW_SLOTS)
		s->slots[slot + 1] = (struct value){ .kind = VALUE_REST };
}

static struct value load_slot(const struct flow_state *s, int64_t n, unsigned size)
{
	int slot = slot_of(n);

	if (slot < 0)
		return unknown;
	if (size == 4)
		return s->slots[slot].kind == VALUE_REST ? unknown : half(s->slots[slot]);
	return slot + 1 < FLOW_SLOTS && s->slots[slot + 1].kind == VALUE_REST ? s->slots[slot] : unknown;
}

/* ---- one instruction ----------------------------------------------------------------------------------------------
 */

static const struct value *reg(const struct flow_state *s, uint8_t r)
{
	return r < FLOW_REGS ? &s->regs[r] : &unknown;
}

/* What node i makes is a new value; what it made when it ran before has no name any more. */
static struct value make(struct flow_state *s, size_t i)
{
	struct value v = { .kind = VALUE_MADE, .a = (int32_t)i };

	for (int r = 0; r < FLOW_REGS; r++)
		if (value__same(&s->regs[r], &v))
			s->regs[r] = unknown;
	for (int k = 0; k < FLOW_SLOTS; k++)
		if (value__same(&s->slots[k], &v))
			forget(s, k);
	return v;
}

static void set(struct flow_state *s, size_t i, uint8_t r, struct value v)
{
	if (r < FLOW_REGS)
		s->regs[r] = v.kind == VALUE_UNKNOWN && r != RSP ? make(s, i) : v;
}

static struct value load(const struct flow_state *s, const struct value *base, int64_t n, unsigned size)
{
	if (base->kind == VALUE_FRAME)
		return load_slot(s, base->n + n, size);
	if (size != 8 || n != (int32_t)n)
		return unknown;
	if (value__is(base, VALUE_ARG, 0))
		return (struct value){ .kind = VALUE_FIELD, .a = (int32_t)n };
	if (base->kind == VALUE_FIELD)
		return (struct value){ .kind = VALUE_ENTRY, .a = base->a, .n = n };
	return unknown;
}

static struct value shifted(const struct value *base, int64_t n)
{
	struct value v = unknown;

	if (!n)
		return *base;
	if (base->kind == VALUE_FRAME && n == (int32_t)n && base->n == (int32_t)base->n)
		v = (struct value){ .kind = VALUE_FRAME, .n = base->n + n };
	return v;
}

/* The System V convention: rbx, rbp, rsp and r12 to r15 are kept, the result is in rax. */
static void call(struct flow_state *s, size_t i)
{
	static const uint8_t arguments[] = { RDI, RSI, RDX, RCX, R8, R9 };
	static const uint8_t lost[] = { RCX, RDX, RSI, RDI, R8, R9, R10, R11 };

	for (size_t k = 0; k < sizeof(arguments); k++)
		s->shared = s->shared || s->regs[arguments[k]].kind == VALUE_FRAME;
	for (size_t k = 0; k < sizeof(lost); k++)
		s->regs[lost[k]] = unknown;
	s->regs[RAX] = unknown;
	if (s->shared || s->regs[RSP].kind != VALUE_FRAME)
		forget_all(s);
	else
		forget_range(s, -FLOW_FRAME, s->regs[RSP].n);
	s->regs[RAX] = make(s, i);
}

static void everything(struct flow_state *s)
{
	memset(s->regs, 0, sizeof(s->regs));
	forget_all(s);
	s->shared = true;
}

static void other(struct flow_state *s, size_t i, const struct insn *in, const struct move *m)
{
	const struct value *to = reg(s, m->base);
	regset few = in->changes & (BIT(FLOW_REGS) - 1);

	if (in->changes == REGS_ALL) {
		everything(s);
		return;
	}
	for (uint8_t r = 0; r < FLOW_REGS; r++)
		s->shared = s->shared || ((m->reads & BIT(r)) && s->regs[r].kind == VALUE_FRAME);
	if (m->array)
		forget_all(s);
	else if (m->memory && to->kind == VALUE_FRAME)
		forget_range(s, to->n + m->n, to->n + m->n + m->size);
	else if (m->memory && s->shared)
		forget_all(s);
	for (uint8_t r = 0; r < FLOW_REGS; r++)
		if (few & BIT(r))
			s->regs[r] = unknown;
	if (few && !(few & (few - 1)))
		set(s, i, (uint8_t)__builtin_ctz(few), unknown);
}

static void move_stack(struct flow_state *s, int64_t n)
{
	s->regs[RSP] = shifted(&s->regs[RSP], n);
}

static void run(struct flow_state *s, size_t i, const struct insn *in, const struct move *m)
{
	struct value v;

	switch (m->kind) {
	case MOVE_COPY:
		v = *reg(s, m->src);
		set(s, i, m->dst, m->size == 8 ? v : half(v));
		break;
	case MOVE_CONST:
		set(s, i, m->dst, (struct value){ .kind = VALUE_CONST, .n = m->n });
		break;
	case MOVE_ADDRESS:
		set(s, i, m->dst, shifted(reg(s, m->base), m->n));
		break;
	case MOVE_LOAD:
		set(s, i, m->dst, load(s, reg(s, m->base), m->n, m->size));
		break;
	case MOVE_STORE:
		if (m->array)
			forget_all(s);
		store(s, reg(s, m->base), m->n, m->size, *reg(s, m->src));
		break;
	case MOVE_PUSH:
		v = *reg(s, m->src);
		move_stack(s, -8);
		store(s, &s->regs[RSP], 0, 8, v);
		break;
	case MOVE_LEAVE:
		s->regs[RSP] = s->regs[RBP];
		/* fallthrough */
	case MOVE_POP:
		v = load(s, &s->regs[RSP], 0, 8);
		v = s->regs[RSP].kind == VALUE_FRAME ? v : unknown;
		move_stack(s, 8);
		set(s, i, m->kind == MOVE_LEAVE ? RBP : m->dst, v);
		break;
	case MOVE_CALL:
		call(s, i);
		break;
	case MOVE_OTHER:
		other(s, i, in, m);
		break;
	case MOVE_ANYTHING:
		everything(s);
		break;
	}
	s->compared = m->compared;
	s->with = m->with;
}

/* ---- paths --------------------------------------------------------------------------------------------------------
 */

/* Wherever that value is, it is n. */
static void learn(struct flow_state *s, struct value what, struct value is)
{
	for (int r = 0; r < FLOW_REGS; r++)
		if (value__same(&s->regs[r], &what))
			s->regs[r] = is;
	for (int k = 0; k < FLOW_SLOTS; k++)
		if (value__same(&s->slots[k], &what))
			s->slots[k] = is;
}

static void learn_number(struct flow_state *s, uint8_t r, int32_t n, int *mode)
{
	struct value was = s->regs[r], is = { .kind = VALUE_CONST, .n = n };

	if (was.kind == VALUE_MADE || was.kind == VALUE_SEEN)
		learn(s, was, is);
	else if (was.kind == VALUE_UNKNOWN)
		s->regs[r] = is;
	if (was.kind == VALUE_SEEN && n <= 0)
		*mode = 0;
}

void flow__see(struct flow_state *s)
{
	struct value seen = { .kind = VALUE_SEEN };

	if (s->regs[RAX].kind == VALUE_MADE)
		learn(s, s->regs[RAX], seen);
	s->regs[RAX] = seen;
}

static struct value meet(const struct value *a, const struct value *b)
{
	if (value__same(a, b))
		return *a;
	if (is_constant(a) && is_constant(b))
		return (struct value){ .kind = VALUE_CONSTS, .a = (int32_t)(value__sorts(a) | value__sorts(b)) };
	return unknown;
}

static bool meet_into(struct value *into, const struct value *v)
{
	struct value was = *into;

	*into = meet(into, v);
	return !value__same(into, &was);
}

/* A path comes to node i: what is known there is what is known on all of them. */
static void arrive(struct flow *f, size_t i, const struct flow_state *s, int mode)
{
	struct flow_state *into = &f->before[mode][i];
	bool changed = !into->reached;

	if (changed) {
		*into = *s;
		into->reached = true;
	} else {
		for (int r = 0; r < FLOW_REGS; r++)
			changed = meet_into(&into->regs[r], &s->regs[r]) || changed;
		for (int k = 0; k < FLOW_SLOTS; k++)
			changed = meet_into(&into->slots[k], &s->slots[k]) || changed;
		changed = changed || (s->shared && !into->shared);
		into->shared = into->shared || s->shared;
		if (into->compared != REG_NONE && (into->compared != s->compared || into->with != s->with)) {
			into->compared = REG_NONE;
			changed = true;
		}
	}
	if (changed)
		f->todo[i] |= (uint8_t)(1u << mode);
}

static void go_on(struct flow *f, size_t i, int mode)
{
	const struct node *n = &f->g->nodes[i];
	struct flow_state s = f->before[mode][i];
	int equal = NOWHERE; /* which way it goes when the comparison before says equal */
	uint8_t compared = s.compared;
	int32_t with = s.with;

	if (f->pass)
		mode = f->pass(f, i, &s, mode);
	if (n->in.kind == INSN_BRANCH && compared != REG_NONE)
		equal = !strcmp(n->in.text, "je") ? 1 : !strcmp(n->in.text, "jne") ? 0 : NOWHERE;
	run(&s, i, &n->in, &f->moves[i]);
	for (int j = 0; j < 2; j++) {
		struct flow_state out = s;
		int out_mode = mode;

		if (n->next[j] == NOWHERE)
			continue;
		if (j == equal)
			learn_number(&out, compared, with, &out_mode);
		arrive(f, (size_t)n->next[j], &out, out_mode);
	}
}

static void begin(struct flow *f)
{
	static const uint8_t arguments[] = { RDI, RSI, RDX, RCX, R8, R9 };
	struct flow_state s = { .compared = REG_NONE };

	for (int mode = 0; mode < 2; mode++)
		memset(f->before[mode], 0, f->g->n * sizeof(*f->before[mode]));
	memset(f->todo, 0, f->g->n);
	for (int i = 0; i < 6; i++)
		s.regs[arguments[i]] = (struct value){ .kind = VALUE_ARG, .a = i };
	s.regs[RSP] = (struct value){ .kind = VALUE_FRAME };
	arrive(f, f->g->entry, &s, 0);
}

int flow__run(struct flow *f)
{
	size_t left = f->g->n * RUNS_MAX;
	bool more = true;

	begin(f);
	while (more) {
		more = false;
		for (size_t i = 0; i < f->g->n; i++)
			for (int mode = 0; mode < 2; mode++) {
				if (!(f->todo[i] & 1u << mode))
					continue;
				if (!left--)
					return -ENOTSUP;
				f->todo[i] &= (uint8_t) ~(1u << mode);
				go_on(f, i, mode);
				more = true;
			}
	}
	return 0;
}

struct value flow__pointer(const struct flow *f, size_t i, const struct flow_state *s)
{
	const struct move *m = &f->moves[i];

	if ((m->kind != MOVE_CALL && m->kind != MOVE_JUMP) || (m->kind == MOVE_CALL && f->g->nodes[i].in.target))
		return unknown;
	return m->memory ? load(s, reg(s, m->base), m->n, 8) : *reg(s, m->src);
}

int flow__new(struct flow *f, const struct graph *g, const struct code *c)
{
	*f = (struct flow){ .g = g };
	if (g->n > FLOW_NODES_MAX)
		return -ENOTSUP;
	f->moves = calloc(g->n, sizeof(*f->moves));
	f->todo = calloc(g->n, sizeof(*f->todo));
	for (int mode = 0; mode < 2; mode++)
		f->before[mode] = calloc(g->n, sizeof(*f->before[mode]));
	if (!f->moves || !f->todo || !f->before[0] || !f->before[1])
		return -ENOMEM;
	for (size_t i = 0; i < g->n; i++) {
		uint8_t bytes[INSN_BYTES_MAX];
		size_t len = c->read(c->ctx, g->nodes[i].in.at, bytes, sizeof(bytes));

		if (!len || !decoder__move(c->decoder, g->nodes[i].in.at, bytes, len, &f->moves[i]))
			return -ENOTSUP;
	}
	return 0;
}

void flow__free(struct flow *f)
{
	free(f->moves);
	free(f->todo);
	free(f->before[0]);
	free(f->before[1]);
	*f = (struct flow){ .g = NULL };
}
