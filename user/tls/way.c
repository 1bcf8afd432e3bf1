// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/way.h"

#include <errno.h>
#include <string.h>

#define DEPTH_MAX 3  /* functions that call each other on the way */
#define LOOKS_MAX 16 /* functions that are looked into for one */

struct search {
	struct reading *r;
	enum way_bytes bytes;
	const struct way *way;
	bool *steps; /* nodes that call a function that goes the same way */
	int looks;
};

/* How far code goes on behind addr: until its segment ends. */
static uint64_t code_behind(const struct image *img, uint64_t addr)
{
	for (size_t i = 0; i < img->n_segments; i++) {
		const Elf64_Phdr *p = &img->segments[i];

		if (p->p_type == PT_LOAD && (p->p_flags & PF_X) && addr >= p->p_vaddr &&
		    addr - p->p_vaddr < p->p_filesz)
			return p->p_filesz - (addr - p->p_vaddr);
	}
	return 0;
}

int way__enter(struct reading *r, uint64_t addr, uint64_t size, struct visit *v)
{
	int err;

	*v = (struct visit){ .g.nodes = NULL };
	/* A function without a symbol ends where its paths do. */
	err = graph__build(&v->g, &r->code, addr, size ? size : code_behind(&r->img, addr), GRAPH_POINTERS);
	if (!err)
		err = flow__new(&v->f, &v->g, &r->code);
	return err ? err : flow__run(&v->f);
}

void way__leave(struct visit *v)
{
	flow__free(&v->f);
	graph__free(&v->g);
}

static bool hands_on(const struct search *s, const struct flow_state *b)
{
	return value__is(&b->regs[RDI], VALUE_ARG, 0) && value__is(&b->regs[RSI], VALUE_ARG, 1) &&
	       (s->bytes == WAY_OWN ? b->regs[RCX].kind == VALUE_FRAME : value__is(&b->regs[RCX], VALUE_ARG, 3));
}

static bool is_entry(const struct value *v, const struct way *way)
{
	return v->kind == VALUE_ENTRY && (!way || (v->a == way->field && v->n == way->entry));
}

static int note(bool *found, struct way *out, struct way w)
{
	if (*found && (w.field != out->field || w.entry != out->entry))
		return -ENOTSUP;
	*found = true;
	*out = w;
	return 0;
}

static int find(struct search *outer, uint64_t addr, uint64_t size, enum way_bytes bytes, unsigned int others,
                int depth, struct way *out);

/* Does the function that node i calls go on, and where to? -ENOTSUP: not that anybody could tell. */
static int look_into(struct search *s, const struct node *n, int depth, struct way *w)
{
	const struct symbol *callee = reading__callee(s->r, &n->in);
	uint64_t addr = callee ? callee->addr : n->in.target;

	if (depth >= DEPTH_MAX || s->looks <= 0 ||
	    (callee && (!callee->defined || strcmp(callee->name, "SSL_read_ex"))))
		return -ENOTSUP;
	s->looks--;
	return find(s, addr, callee ? callee->size : 0, WAY_ASKED, SORT_NOT_POSITIVE, depth + 1, w);
}

/* What all of the calls with the function's own arguments lead to. */
static int collect(struct search *s, const struct visit *v, int depth, struct way *out)
{
	bool found = false;
	int err = 0;

	for (size_t i = 0; i < v->g.n && !err; i++) {
		const struct flow_state *b = &v->f.before[0][i];
		struct value p;
		struct way w;

		if (!b->reached || !hands_on(s, b))
			continue;
		p = flow__pointer(&v->f, i, b);
		if (is_entry(&p, NULL)) {
			err = note(&found, out, (struct way){ p.a, p.n });
		} else if (v->g.nodes[i].in.kind == INSN_CALL && v->g.nodes[i].in.target) {
			err = look_into(s, &v->g.nodes[i], depth, &w);
			s->steps[i] = !err;
			err = !err ? note(&found, out, w) : err == -ENOTSUP ? 0 : err;
		}
	}
	return err ? err : found ? 0 : -ENOTSUP;
}

/* Reading the entry is as good as calling it: nothing else is ever done with it than have it called elsewhere. */
static bool reads_entry(const struct flow *f, size_t i, const struct flow_state *b, const struct way *way)
{
	const struct move *m = &f->moves[i];

	return m->kind == MOVE_LOAD && m->size == 8 && m->base < FLOW_REGS && m->n == way->entry &&
	       value__is(&b->regs[m->base], VALUE_FIELD, way->field);
}

static bool goes_through(const struct flow *f, size_t i, const struct flow_state *b)
{
	const struct search *s = f->ctx;
	struct value p = flow__pointer(f, i, b);

	return (s->steps[i] && hands_on(s, b)) || is_entry(&p, s->way) || reads_entry(f, i, b, s->way);
}

static int pass(const struct flow *f, size_t i, struct flow_state *b, int mode)
{
	return mode || goes_through(f, i, b);
}

/* Does every path go through, or return something else than what was read? */
static bool holds(const struct search *s, const struct visit *v, unsigned int others)
{
	for (size_t i = 0; i < v->g.n; i++)
		for (int mode = 0; mode < 2; mode++) {
			const struct flow_state *b = &v->f.before[mode][i];
			const struct node *n = &v->g.nodes[i];
			struct value p;

			if (!b->reached)
				continue;
			p = flow__pointer(&v->f, i, b);
			if (is_entry(&p, s->way) ? !hands_on(s, b) : n->leaves)
				return false;
			if (!mode && n->in.kind == INSN_RET && (value__sorts(&b->regs[RAX]) & ~others))
				return false;
		}
	return true;
}

static int find(struct search *outer, uint64_t addr, uint64_t size, enum way_bytes bytes, unsigned int others,
                int depth, struct way *out)
{
	bool steps[FLOW_NODES_MAX] = { false };
	struct search s = { .r = outer->r, .bytes = bytes, .steps = steps, .looks = outer->looks };
	struct visit v;
	int err = way__enter(s.r, addr, size, &v);

	if (!err)
		err = collect(&s, &v, depth, out);
	outer->looks = s.looks;
	if (!err) {
		s.way = out;
		v.f.pass = pass;
		v.f.ctx = &s;
		err = flow__run(&v.f);
	}
	if (!err && !holds(&s, &v, others))
		err = -ENOTSUP;
	way__leave(&v);
	return err;
}

int way__find(struct reading *r, const struct symbol *s, enum way_bytes bytes, unsigned int others, struct way *out)
{
	struct search search = { .r = r, .looks = LOOKS_MAX };

	return find(&search, s->addr, s->size, bytes, others, 0, out);
}

/* What the function returns, on all of its paths. */
static int returned(struct reading *r, const struct symbol *s, struct value *out)
{
	struct visit v;
	int err = way__enter(r, s->addr, s->size, &v);
	bool found = false;

	for (size_t i = 0; i < v.g.n && !err; i++) {
		const struct flow_state *b = &v.f.before[0][i];

		if (!b->reached)
			continue;
		if (v.g.nodes[i].leaves)
			err = -ENOTSUP;
		if (v.g.nodes[i].in.kind != INSN_RET)
			continue;
		if (found && !value__same(out, &b->regs[RAX]))
			err = -ENOTSUP;
		*out = b->regs[RAX];
		found = true;
	}
	way__leave(&v);
	return err ? err : found ? 0 : -ENOTSUP;
}

int way__field(struct reading *r, const struct symbol *s, int32_t *field)
{
	struct value v;
	int err = returned(r, s, &v);

	if (!err && v.kind != VALUE_FIELD)
		return -ENOTSUP;
	if (!err)
		*field = v.a;
	return err;
}

int way__constant(struct reading *r, const struct symbol *s, uint64_t *addr)
{
	struct value v;
	int err = returned(r, s, &v);

	if (!err && v.kind != VALUE_CONST)
		return -ENOTSUP;
	if (!err)
		*addr = (uint64_t)v.n;
	return err;
}
