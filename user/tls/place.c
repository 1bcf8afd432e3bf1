// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/place.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What a call costs: an emulated instruction takes one trap, a replaced return address one more, a stepped instruction
 * two. The second of those is a debug exception, which is dear where a hypervisor looks at every one of them: in a
 * virtual machine 0.6 us, 0.3 to 0.6 us and 21 us were measured.
 */
#define COST_EMULATED 1
#define COST_RETURN   1
#define COST_STEPPED  20

#define X86_STACK_POINTER ((regset)1 << 4)

struct search {
	struct graph g;
	const struct place_want *want;
	bool *intact, *final, *walls, *seen; /* one block, g.n each */
};

static void at(struct place *p, const struct node *n)
{
	p->addr = n->in.at;
	p->how = n->in.emulated ? TLS_EMULATED : TLS_STEPPED;
	snprintf(p->text, sizeof(p->text), "%s", n->in.text);
}

static bool ends(const struct node *n)
{
	return n->in.kind == INSN_RET || n->leaves;
}

static bool sees_end(const struct search *s)
{
	for (size_t i = 0; i < s->g.n; i++)
		if (s->seen[i] && ends(&s->g.nodes[i]))
			return true;
	return false;
}

static void reach_from(struct search *s, size_t node)
{
	graph__reach(&s->g, s->g.nodes[node].next, 2, NULL, s->seen);
}

static void reach_from_entry(struct search *s)
{
	int entry = (int)s->g.entry;

	graph__reach(&s->g, &entry, 1, s->walls, s->seen);
}

/* Is node i on every path from the first byte to an end, and no path passes it twice? */
static bool passed_once(struct search *s, size_t i)
{
	bool all;

	memset(s->walls, 0, s->g.n * sizeof(*s->walls));
	s->walls[i] = true;
	reach_from_entry(s);
	all = s->seen[i] && !ends(&s->g.nodes[i]) && !sees_end(s);
	reach_from(s, i);
	return all && !s->seen[i];
}

/* Starts afresh from behind it? Then it is passed twice, with the right arguments each time, but costs twice. */
static bool may_start_again(struct search *s, size_t i)
{
	reach_from(s, i);
	if (s->g.nodes[i].restart)
		return true;
	for (size_t j = 0; j < s->g.n; j++)
		if (s->seen[j] && s->g.nodes[j].restart)
			return true;
	return false;
}

/* The best place where the arguments, and more, are as at the first byte: the first that is emulated. */
static const struct node *find_in(struct search *s, regset more)
{
	const struct node *second = NULL;

	graph__intact(&s->g, s->want->args | more, s->want->halves, s->intact);
	for (size_t i = s->g.entry; i < s->g.n; i++) {
		const struct node *n = &s->g.nodes[i];

		if (!n->inside || !n->in.emulated || !s->intact[i] || !passed_once(s, i))
			continue;
		if (!may_start_again(s, i))
			return n;
		second = second ? second : n;
	}
	return second;
}

/* Of the nodes where the result may be read (it is there, and a ret follows), the last ones on their paths: s->walls.
 */
static size_t mark_last(struct search *s, bool stepped)
{
	bool *fit = s->intact; /* no longer needed */
	size_t n = 0;

	for (size_t i = 0; i < s->g.n; i++)
		fit[i] = ends(&s->g.nodes[i]);
	graph__ahead(&s->g, fit, s->seen);
	for (size_t i = 0; i < s->g.n; i++) {
		const struct node *x = &s->g.nodes[i];

		fit[i] = x->inside && s->final[i] && (fit[i] || s->seen[i]) &&
		         (x->in.emulated || (stepped && x->in.steppable));
	}
	graph__ahead(&s->g, fit, s->seen);
	for (size_t i = 0; i < s->g.n; i++) {
		s->walls[i] = fit[i] && !s->seen[i];
		n += s->walls[i];
	}
	return n;
}

static bool find_out(struct search *s, bool stepped, struct placement *p)
{
	size_t n = mark_last(s, stepped);

	if (!n || n > PLACES_OUT_MAX)
		return false;
	reach_from_entry(s);
	for (size_t i = 0; i < s->g.n; i++)
		if (s->seen[i] && !s->walls[i] && ends(&s->g.nodes[i]))
			return false;
	p->n_out = 0;
	for (size_t i = 0; i < s->g.n; i++)
		if (s->walls[i])
			at(&p->out[p->n_out++], &s->g.nodes[i]);
	return true;
}

/*
 * Where a function begins in earnest. Under CET every function starts with endbr64, which does nothing and would have
 * to be stepped. A push behind it is passed exactly when the first byte is: no jump from within can come to it, because
 * inside the function the stack is deeper.
 */
static uint64_t behind_mark(const struct code *c, uint64_t addr)
{
	static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	uint8_t b[6];

	if (c->read(c->ctx, addr, b, sizeof(b)) < sizeof(b) || memcmp(b, endbr64, sizeof(endbr64)))
		return addr;
	return (b[4] & 0xf8) == 0x50 || (b[4] == 0x41 && (b[5] & 0xf8) == 0x50) ? addr + sizeof(endbr64) : addr;
}

/* The arguments at p->in, and the return address replaced there as well. */
static void both_at_in(const struct place_want *want, struct placement *p)
{
	p->n_out = 0;
	if (want->result) {
		p->n_out = 1;
		p->out[0] = p->in;
		p->out[0].how = TLS_URETPROBE;
	}
}

void place__plain(const struct code *c, uint64_t addr, const struct place_want *want, struct placement *p)
{
	uint8_t bytes[INSN_BYTES_MAX];
	size_t len = c->read(c->ctx, addr, bytes, sizeof(bytes));
	struct insn in;

	memset(p, 0, sizeof(*p));
	p->in = (struct place){ .addr = addr, .how = TLS_STEPPED };
	if (len && decoder__insn(c->decoder, addr, bytes, len, &in)) {
		p->in.how = in.emulated ? TLS_EMULATED : TLS_STEPPED;
		memcpy(p->in.text, in.text, sizeof(in.text));
	}
	both_at_in(want, p);
}

/* Where a function begins, whatever follows. */
static void plain(const struct code *c, uint16_t machine, uint64_t addr, const struct place_want *want,
                  struct placement *p)
{
	place__plain(c, machine == EM_X86_64 ? behind_mark(c, addr) : addr, want, p);
}

static unsigned cost(uint8_t how)
{
	return how == TLS_EMULATED ? COST_EMULATED : COST_STEPPED;
}

/* Of a very short function both could be one instruction, or in the wrong order. */
static bool in_order(struct search *s, const struct node *in, const struct placement *p)
{
	reach_from(s, in ? (size_t)(in - s->g.nodes) : s->g.entry);
	for (size_t i = 0; i < p->n_out; i++) {
		bool behind = false;

		for (size_t j = 0; j < s->g.n && !behind; j++)
			behind = s->seen[j] && s->g.nodes[j].in.at == p->out[i].addr;
		if (!behind)
			return false;
	}
	return true;
}

/*
 * Two programs on one instruction share its trap, so where the return address has to be replaced, that is where both
 * belong: where the function begins or, if it is emulated, further on where the stack is still the same.
 */
static void share(struct search *s, uint16_t machine, struct placement *p)
{
	const struct node *in;

	if (p->in.how == TLS_EMULATED || machine != EM_X86_64)
		return;
	in = find_in(s, X86_STACK_POINTER);
	if (!in)
		return;
	at(&p->in, in);
	both_at_in(s->want, p);
}

static void choose(struct search *s, uint16_t machine, struct placement *p)
{
	const struct node *in = p->in.how == TLS_EMULATED ? NULL : find_in(s, 0);
	struct placement other = *p;
	bool found = true;

	if (in)
		at(&other.in, in);
	if (s->want->result) {
		graph__final(&s->g, s->want->result, s->final);
		found = (find_out(s, false, &other) && in_order(s, in, &other)) ||
		        (find_out(s, true, &other) && in_order(s, in, &other));
		if (!found || other.out[0].how != TLS_EMULATED)
			share(s, machine, p);
	}
	if (found && (!s->want->result || cost(other.in.how) + cost(other.out[0].how) <= cost(p->in.how) + COST_RETURN))
		*p = other;
	if (p->in.how != TLS_EMULATED)
		p->why = "no emulated instruction sees the arguments";
	if (p->n_out && p->out[0].how != TLS_EMULATED)
		p->why = "no emulated instruction sees the result";
}

static int prepare(struct search *s, const struct code *c, uint64_t addr, uint64_t size, unsigned how)
{
	int err = graph__build(&s->g, c, addr, size, how);
	bool *marks;

	if (err)
		return err;
	marks = calloc(4 * s->g.n, sizeof(*marks));
	if (!marks)
		return -ENOMEM;
	s->intact = marks;
	s->final = marks + s->g.n;
	s->walls = marks + 2 * s->g.n;
	s->seen = marks + 3 * s->g.n;
	return 0;
}

static void finish(struct search *s)
{
	free(s->intact);
	graph__free(&s->g);
}

int place__find(const struct code *c, uint64_t addr, uint64_t size, const struct place_want *want,
                struct placement *out)
{
	struct search s = { .want = want };
	int err;

	plain(c, decoder__machine(c->decoder), addr, want, out);
	err = prepare(&s, c, addr, size, 0);
	if (!err)
		choose(&s, decoder__machine(c->decoder), out);
	else if (err == -ENOTSUP)
		out->why = s.g.refused;
	finish(&s);
	return err == -ENOTSUP ? 0 : err;
}

/* Every instruction from one end to the other; what a path reaches must be among them. */
static int sweep(const struct code *c, uint64_t addr, uint64_t size, struct placement *out)
{
	struct insn in;

	for (uint64_t off = 0; off < size; off += in.len) {
		uint8_t bytes[INSN_BYTES_MAX];
		size_t len = c->read(c->ctx, addr + off, bytes, sizeof(bytes));

		if (!len || !decoder__insn(c->decoder, addr + off, bytes, len, &in) || in.len > size - off) {
			out->why = "holds what the disassembler does not know";
			return -ENOTSUP;
		}
		if (in.kind != INSN_RET)
			continue;
		if (out->n_out == PLACES_OUT_MAX) {
			out->why = "returns in too many places";
			return -ENOTSUP;
		}
		out->out[out->n_out].addr = in.at;
		out->out[out->n_out].how = in.emulated ? TLS_EMULATED : TLS_STEPPED;
		memcpy(out->out[out->n_out++].text, in.text, sizeof(in.text));
	}
	if (out->n_out)
		return 0;
	out->why = "never returns";
	return -ENOTSUP;
}

/* Does what paths reach agree with what lies from one end to the other? Jump tables would break the one or the other.
 */
static bool agree(const struct graph *g, const struct placement *p)
{
	for (size_t i = 0; i < g->n; i++) {
		bool listed = g->nodes[i].in.kind != INSN_RET;

		for (size_t j = 0; j < p->n_out && !listed; j++)
			listed = p->out[j].addr == g->nodes[i].in.at;
		if (!listed)
			return false;
	}
	return true;
}

int place__go(const struct code *c, uint64_t addr, uint64_t size, const struct place_want *want, struct placement *out)
{
	struct search s = { .want = want };
	struct placement returns = { .n_out = 0 };
	const struct node *in;
	int err;

	plain(c, decoder__machine(c->decoder), addr, &(struct place_want){ .args = want->args }, out);
	err = sweep(c, addr, size, &returns);
	if (err) {
		out->why = returns.why;
		return err;
	}
	if (returns.out[0].addr == out->in.addr) {
		out->why = "does nothing but return";
		return -ENOTSUP;
	}
	memcpy(out->out, returns.out, sizeof(out->out));
	out->n_out = returns.n_out;
	err = prepare(&s, c, addr, size, GRAPH_RESTARTS);
	if (!err && !agree(&s.g, &returns)) {
		out->why = "returns where the disassembler sees none";
		err = -ENOTSUP;
	} else if (!err) {
		in = out->in.how == TLS_EMULATED ? NULL : find_in(&s, 0);
		if (in)
			at(&out->in, in);
		out->why = "returns on instructions that must be stepped";
	} else if (err == -ENOTSUP) {
		out->why = s.g.refused;
		err = 0;
	}
	finish(&s);
	return err;
}

bool place__hands_on(const struct code *c, uint64_t addr, uint64_t size, struct insn *jump)
{
	struct graph g;
	bool same = !graph__build(&g, c, addr, size, GRAPH_STAYS);
	size_t found = 0;

	for (size_t i = 0; i < g.n && same; i++) {
		const struct node *n = &g.nodes[i];

		if (!ends(n))
			continue;
		same = (n->in.kind == INSN_JUMP || n->in.kind == INSN_LEAVES) && n->in.target &&
		       (!found || (n->in.kind == jump->kind && n->in.target == jump->target));
		*jump = n->in;
		found++;
	}
	graph__free(&g);
	return same && found;
}
