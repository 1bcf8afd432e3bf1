// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/graph.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Instructions by address while the graph grows; open addressing, never more than half full. */
#define SLOTS (2 * GRAPH_NODES_MAX)

struct walk {
	struct graph *g;
	const struct code *code;
	uint64_t addr, size;
	unsigned how;
	int slots[SLOTS]; /* index + 1 */
	int todo[GRAPH_NODES_MAX];
	size_t n_todo;
};

static int refuse(struct walk *w, const char *why)
{
	w->g->refused = why;
	return -ENOTSUP;
}

static int *slot_of(struct walk *w, uint64_t addr)
{
	size_t i = (size_t)((addr * 0x9e3779b97f4a7c15ull) >> 40) % SLOTS;

	while (w->slots[i] && w->g->nodes[w->slots[i] - 1].in.at != addr)
		i = (i + 1) % SLOTS;
	return &w->slots[i];
}

/* The node at addr, decoded now if it is new. */
static int node_at(struct walk *w, uint64_t addr, int *index)
{
	int *slot = slot_of(w, addr);
	uint8_t bytes[INSN_BYTES_MAX];
	struct node *n;
	size_t len;

	if (*slot) {
		*index = *slot - 1;
		return 0;
	}
	if (w->g->n == GRAPH_NODES_MAX)
		return refuse(w, "too large");
	n = &w->g->nodes[w->g->n];
	len = w->code->read(w->code->ctx, addr, bytes, sizeof(bytes));
	if (!len || !decoder__insn(w->code->decoder, addr, bytes, len, &n->in))
		return refuse(w, "holds what the disassembler does not know");
	n->inside = addr - w->addr < w->size;
	if (n->inside && n->in.len > w->size - (addr - w->addr))
		return refuse(w, "ends within an instruction");
	n->next[0] = n->next[1] = NOWHERE;
	*slot = (int)++w->g->n;
	*index = *slot - 1;
	w->todo[w->n_todo++] = *index;
	return 0;
}

static bool never_returns(const struct walk *w, uint64_t target)
{
	return target && w->code->never_returns && w->code->never_returns(w->code->ctx, target);
}

static int go_on(struct walk *w, int from)
{
	struct node *n = &w->g->nodes[from];
	uint64_t after = n->in.at + n->in.len;

	/* Compilers put nothing behind a call that does not return; it is often a function's last instruction. */
	if (n->in.kind == INSN_CALL && ((n->inside && after - w->addr >= w->size) || never_returns(w, n->in.target)))
		return 0;
	if (n->inside && after - w->addr >= w->size)
		return refuse(w, "runs on behind its end");
	if (!n->inside && after == w->addr)
		return refuse(w, "is run into from before its first byte");
	return node_at(w, after, &n->next[0]);
}

static int jump_to(struct walk *w, int from)
{
	struct node *n = &w->g->nodes[from];

	if (n->in.target == w->addr) {
		n->restart = true;
		return w->how & GRAPH_RESTARTS ? 0 : refuse(w, "jumps to its own first byte");
	}
	if (never_returns(w, n->in.target))
		return 0;
	if ((w->how & GRAPH_STAYS) && n->in.target - w->addr >= w->size) {
		n->leaves = true;
		return 0;
	}
	return node_at(w, n->in.target, &n->next[1]);
}

static int follow(struct walk *w, int index)
{
	int err;

	switch (w->g->nodes[index].in.kind) {
	case INSN_PLAIN:
	case INSN_CALL:
		return go_on(w, index);
	case INSN_JUMP:
		return jump_to(w, index);
	case INSN_BRANCH:
		err = go_on(w, index);
		return err ? err : jump_to(w, index);
	case INSN_RET:
	case INSN_STOP:
		return 0;
	case INSN_LEAVES:
		w->g->nodes[index].leaves = true;
		return 0;
	default:
		w->g->nodes[index].leaves = true;
		return w->how & GRAPH_POINTERS ? 0 : refuse(w, "has a jump through a register or a table");
	}
}

static int by_address(const void *a, const void *b)
{
	const struct node *x = a, *y = b;

	return x->in.at < y->in.at ? -1 : x->in.at > y->in.at;
}

static int index_of(const struct graph *g, uint64_t addr)
{
	struct node key = { .in.at = addr };
	const struct node *n = bsearch(&key, g->nodes, g->n, sizeof(key), by_address);

	return n ? (int)(n - g->nodes) : NOWHERE;
}

/* Sorts the nodes; two that overlap mean that we (or the author) jumped into the middle of an instruction. */
static int put_in_order(struct walk *w)
{
	struct graph *g = w->g;

	for (size_t i = 0; i < g->n; i++) /* addresses for a moment: the indices are about to change */
		for (int j = 0; j < 2; j++)
			g->nodes[i].next[j] = g->nodes[i].next[j] == NOWHERE ? 0 : 1;
	qsort(g->nodes, g->n, sizeof(*g->nodes), by_address);
	for (size_t i = 0; i + 1 < g->n; i++)
		if (g->nodes[i].in.at + g->nodes[i].in.len > g->nodes[i + 1].in.at)
			return refuse(w, "jumps into the middle of an instruction");
	for (size_t i = 0; i < g->n; i++) {
		struct node *n = &g->nodes[i];

		n->next[0] = n->next[0] ? index_of(g, n->in.at + n->in.len) : NOWHERE;
		n->next[1] = n->next[1] ? index_of(g, n->in.target) : NOWHERE;
	}
	g->entry = (size_t)index_of(g, w->addr);
	return 0;
}

static int grow(struct walk *w)
{
	int index, err = node_at(w, w->addr, &index);

	while (!err && w->n_todo)
		err = follow(w, w->todo[--w->n_todo]);
	return err ? err : put_in_order(w);
}

int graph__build(struct graph *g, const struct code *c, uint64_t addr, uint64_t size, unsigned how)
{
	struct walk *w = calloc(1, sizeof(*w));
	int err = -ENOMEM;

	*g = (struct graph){ .nodes = calloc(GRAPH_NODES_MAX, sizeof(*g->nodes)) };
	if (w && g->nodes) {
		w->g = g;
		w->code = c;
		w->addr = addr;
		w->size = size;
		w->how = how;
		err = size ? grow(w) : refuse(w, "its length is not known");
	}
	free(w);
	if (err) {
		free(g->nodes);
		g->nodes = NULL;
		g->n = 0;
	}
	return err;
}

void graph__free(struct graph *g)
{
	free(g->nodes);
	*g = (struct graph){ .nodes = NULL };
}

void graph__reach(const struct graph *g, const int *from, size_t n_from, const bool *walls, bool *seen)
{
	int todo[GRAPH_NODES_MAX];
	size_t n = 0;

	memset(seen, 0, g->n * sizeof(*seen));
	for (size_t i = 0; i < n_from; i++)
		if (from[i] != NOWHERE && !seen[from[i]]) {
			seen[from[i]] = true;
			todo[n++] = from[i];
		}
	while (n) {
		const struct node *x = &g->nodes[todo[--n]];

		if (walls && walls[todo[n]])
			continue;
		for (int j = 0; j < 2; j++)
			if (x->next[j] != NOWHERE && !seen[x->next[j]]) {
				seen[x->next[j]] = true;
				todo[n++] = x->next[j];
			}
	}
}

void graph__ahead(const struct graph *g, const bool *wanted, bool *ahead)
{
	bool changed = true;

	memset(ahead, 0, g->n * sizeof(*ahead));
	while (changed) {
		changed = false;
		for (size_t i = g->n; i--;) /* most paths go upward, so that one round does most of it */
			for (int j = 0; j < 2 && !ahead[i]; j++) {
				int next = g->nodes[i].next[j];

				ahead[i] = next != NOWHERE && (wanted[next] || ahead[next]);
				changed = changed || ahead[i];
			}
	}
}

/* Repeats `step` over all nodes until nothing changes: marks only ever go from true to false. */
static void settle(const struct graph *g, bool *mark,
                   bool (*step)(const struct graph *, size_t, bool *, regset, regset), regset a, regset b)
{
	bool changed = true;

	while (changed) {
		changed = false;
		for (size_t i = 0; i < g->n; i++)
			changed = step(g, i, mark, a, b) || changed;
	}
}

static bool spoil(bool *mark)
{
	bool was = *mark;

	*mark = false;
	return was;
}

static bool step_intact(const struct graph *g, size_t i, bool *mark, regset regs, regset halves)
{
	const struct node *n = &g->nodes[i];
	regset spoilt = n->in.changes & ~(n->in.keeps_half & halves) & regs;
	bool changed = false;

	if (mark[i] && !spoilt)
		return false;
	for (int j = 0; j < 2; j++)
		if (n->next[j] != NOWHERE)
			changed = spoil(&mark[n->next[j]]) || changed;
	return changed;
}

static bool step_final(const struct graph *g, size_t i, bool *mark, regset reg, regset unused)
{
	const struct node *n = &g->nodes[i];
	bool bad = n->leaves || n->restart;

	if (!mark[i])
		return false;
	/* What does not go on never comes to a ret, whatever it changes. */
	if (n->next[0] == NOWHERE && n->next[1] == NOWHERE)
		return bad ? spoil(&mark[i]) : false;
	bad = bad || (n->in.changes & reg);
	for (int j = 0; j < 2; j++)
		bad = bad || (n->next[j] != NOWHERE && !mark[n->next[j]]);
	return bad ? spoil(&mark[i]) : false;
}

void graph__intact(const struct graph *g, regset regs, regset halves, bool *intact)
{
	memset(intact, true, g->n * sizeof(*intact));
	settle(g, intact, step_intact, regs, halves);
}

void graph__final(const struct graph *g, regset reg, bool *final)
{
	memset(final, true, g->n * sizeof(*final));
	settle(g, final, step_final, reg, 0);
}
