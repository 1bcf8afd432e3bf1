// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/inside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tls/way.h"

/* In the order of TLS_WHERE: what calls keep. */
static const uint8_t kept[] = { RBX, RBP, R12, R13, R14, R15 };

/* A place that might do. */
struct spot {
	size_t node;
	bool good, wanted;
};

struct search {
	struct visit read, peek;
	struct spot spots[FLOW_NODES_MAX];
	size_t n;
	size_t only; /* of spots: the one that is tried, or n for those that are wanted */
};

static unsigned int find_kept(const struct flow_state *b, enum value_kind kind, int32_t a)
{
	for (unsigned int i = 0; i < sizeof(kept); i++)
		if (value__is(&b->regs[kept[i]], kind, a))
			return i;
	return TLS_WHERE_NONE;
}

static uint64_t where(const struct flow_state *b)
{
	unsigned int session = find_kept(b, VALUE_ARG, 0), buffer = find_kept(b, VALUE_ARG, 1),
		     bytes = find_kept(b, VALUE_ARG, 3);

	if (session == TLS_WHERE_NONE || buffer == TLS_WHERE_NONE || bytes == TLS_WHERE_NONE)
		return 0;
	return TLS_WHERE(session, buffer, bytes, TLS_WHERE_NONE);
}

static size_t spot_at(const struct search *s, size_t node)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->spots[i].node == node)
			return i;
	return s->n;
}

static int pass(const struct flow *f, size_t node, struct flow_state *b, int mode)
{
	const struct search *s = f->ctx;
	size_t i = spot_at(s, node);

	if (mode || i == s->n || !(s->only < s->n ? i == s->only : s->spots[i].wanted))
		return mode;
	flow__see(b);
	return 1;
}

/* May node i run between the place and the return? */
static bool harmless(const struct flow *f, size_t i, const struct flow_state *b)
{
	const struct node *n = &f->g->nodes[i];
	const struct move *m = &f->moves[i];
	const struct value *to = m->base < FLOW_REGS ? &b->regs[m->base] : NULL;

	if (n->leaves || n->in.kind == INSN_CALL || n->in.changes == REGS_ALL || m->array)
		return false;
	if (n->in.kind == INSN_RET)
		return b->regs[RAX].kind == VALUE_SEEN;
	if ((m->kind != MOVE_STORE && m->kind != MOVE_OTHER) || !m->memory)
		return true;
	/* Its own stack, or the session's own fields. */
	return to && (to->kind == VALUE_FRAME || to->kind == VALUE_FIELD || value__is(to, VALUE_ARG, 0));
}

static bool all_harmless(const struct search *s)
{
	const struct flow *f = &s->read.f;

	for (size_t i = 0; i < f->g->n; i++)
		if (f->before[1][i].reached && !harmless(f, i, &f->before[1][i]))
			return false;
	return true;
}

/* Every emulated instruction that has the arguments, and from which on a positive result is returned. */
static int find_good(struct search *s)
{
	struct flow *f = &s->read.f;
	int err = 0;

	for (size_t i = 0; i < f->g->n; i++)
		if (f->before[0][i].reached && f->g->nodes[i].in.emulated && f->g->nodes[i].in.kind != INSN_CALL &&
		    where(&f->before[0][i]))
			s->spots[s->n++] = (struct spot){ .node = i };
	f->pass = pass;
	f->ctx = s;
	for (s->only = 0; s->only < s->n && !err; s->only++) {
		err = flow__run(f);
		s->spots[s->only].good = !err && all_harmless(s);
	}
	s->only = s->n;
	return err;
}

/* Of those on one path, the first one. */
static int choose(struct search *s)
{
	const struct flow *f = &s->read.f;
	int err = 0;

	for (size_t i = 0; i < s->n; i++)
		s->spots[i].wanted = s->spots[i].good;
	for (s->only = 0; s->only < s->n && !err; s->only++) {
		if (!s->spots[s->only].good)
			continue;
		err = flow__run(&s->read.f);
		for (size_t i = 0; i < s->n; i++)
			if (f->before[1][s->spots[i].node].reached)
				s->spots[i].wanted = false;
	}
	s->only = s->n;
	return err;
}

/* With all of them together: the invariants of inside.h. */
static bool proved(struct search *s)
{
	const struct flow *f = &s->read.f;

	if (flow__run(&s->read.f) || !all_harmless(s))
		return false;
	for (size_t i = 0; i < f->g->n; i++) {
		const struct flow_state *b = &f->before[0][i];
		size_t spot = spot_at(s, i);
		bool wanted = spot < s->n && s->spots[spot].wanted;

		if (wanted && (f->before[1][i].reached || !where(b)))
			return false;
		if (!b->reached || wanted)
			continue;
		if (f->g->nodes[i].leaves || (f->g->nodes[i].in.kind == INSN_RET &&
		                              (value__sorts(&b->regs[RAX]) & ~(unsigned int)SORT_NOT_POSITIVE)))
			return false;
	}
	return true;
}

static size_t node_at(const struct graph *g, uint64_t addr)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->nodes[i].in.at == addr)
			return i;
	return g->n;
}

/* Does the function that only looks call the other one, or a part of it? Then nobody could tell them apart. */
static bool calls_into(const struct graph *g, const struct graph *other)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->nodes[i].in.kind == INSN_CALL && g->nodes[i].in.target &&
		    node_at(other, g->nodes[i].in.target) < other->n)
			return true;
	return false;
}

/* Which register says that it only looks. false: it cannot be told. */
static bool tell_apart(const struct search *s, size_t node, uint64_t *where)
{
	const struct flow_state *read = &s->read.f.before[0][node], *peek;
	size_t there = node_at(&s->peek.g, s->read.g.nodes[node].in.at);

	if (there == s->peek.g.n)
		return true;
	peek = &s->peek.f.before[0][there];
	for (unsigned int i = 0; i < sizeof(kept); i++) {
		const struct value *a = &read->regs[kept[i]], *b = &peek->regs[kept[i]];

		if (a->kind != VALUE_CONST || (int32_t)a->n || b->kind != VALUE_CONST || !(int32_t)b->n)
			continue;
		*where = (*where & ~(UINT64_C(0xffff) << 48)) | (uint64_t)i << 48;
		return true;
	}
	return false;
}

static int fill(const struct search *s, struct inside *out)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct node *n = &s->read.g.nodes[s->spots[i].node];
		struct place *p = &out->at[out->n];

		if (!s->spots[i].wanted || !s->read.f.before[0][s->spots[i].node].reached)
			continue;
		if (out->n == INSIDE_MAX)
			return -ENOTSUP;
		out->where[out->n] = where(&s->read.f.before[0][s->spots[i].node]);
		if (!tell_apart(s, s->spots[i].node, &out->where[out->n]))
			return -ENOTSUP;
		p->addr = n->in.at;
		p->how = TLS_EMULATED;
		snprintf(p->text, sizeof(p->text), "%s", n->in.text);
		out->n++;
	}
	return out->n ? 0 : -ENOTSUP;
}

int inside__find(struct reading *r, uint64_t read, uint64_t peek, struct inside *out)
{
	struct search s = { .n = 0 };
	int err = way__enter(r, read, 0, &s.read);

	out->n = 0;
	if (!err)
		err = way__enter(r, peek, 0, &s.peek);
	if (!err && calls_into(&s.peek.g, &s.read.g))
		err = -ENOTSUP;
	if (!err)
		err = find_good(&s);
	if (!err)
		err = choose(&s);
	if (!err && !proved(&s))
		err = -ENOTSUP;
	if (!err)
		err = fill(&s, out);
	way__leave(&s.read);
	way__leave(&s.peek);
	return err;
}
