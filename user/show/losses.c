// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a version lost without any endpoint knowing of it, in one line. */
#include <inttypes.h>

#include "show/format.h"
#include "show/parts.h"

struct item {
	const char *key, *words;
	uint64_t n;
};

#define ITEMS 10

static void put_backlog(struct line *l, const struct frame *f, const struct version_losses *v)
{
	uint32_t deepest = 0, limit = 0;

	for (size_t i = 0; i < v->n_listeners; i++)
		if (v->listeners[i].overflows && v->listeners[i].backlog_max >= deepest) {
			deepest = v->listeners[i].backlog_max;
			limit = v->listeners[i].backlog_limit;
		}
	if (deepest)
		line_put(l, f->terminal ? " (backlog up to %u, limit %u)" : " backlog_max=%u backlog_limit=%u", deepest,
		         limit);
}

static void put_version(struct frame *f, const struct version_figures *version)
{
	const struct version_losses *v = &version->losses;
	const struct item items[ITEMS] = {
		{ "refused", "connections refused", v->refused },
		{ "overflows", "dropped by a full accept queue", v->overflows },
		{ "drops", "dropped otherwise", v->drops },
		{ "incomplete", "handshakes never completed",
		  v->has_established ? losses_incomplete(v->attempts, v->established, v->handshaking) : 0 },
		{ "unaccepted", "never accepted", v->unaccepted },
		{ "idle_reset_by_server", "idle connections reset by the server", v->idle_resets_by_server },
		{ "idle_reset_by_client", "idle connections reset by the client", v->idle_resets_by_client },
		{ "upgraded_cut", "upgraded sessions cut", sessions_abrupt(&v->upgraded) },
		{ "streams_cut", "streams cut", sessions_abrupt(&v->streaming) },
		{ "retransmitted", "segments sent again", v->retransmitted_segments },
	};
	struct line l;
	bool any = false;

	line_init_long(&l);
	line_put(&l, f->terminal ? "Lost before an endpoint, %s:" : "losses %s", version->name);
	for (int i = 0; i < ITEMS; i++) {
		if (!items[i].n)
			continue;
		if (f->terminal)
			line_put(&l, "%s %s %s", any ? "," : "", format_count(items[i].n).s, items[i].words);
		else
			line_put(&l, " %s=%" PRIu64, items[i].key, items[i].n);
		if (i == 1)
			put_backlog(&l, f, v);
		any = true;
	}
	if (any && v->retransmitted_segments)
		line_put(&l, f->terminal ? " of %s" : " sent=%s", format_count(v->sent_segments).s);
	if (any)
		frame_prose(f, RANK_REASON, YELLOW, 0, "%s", l.text);
}

void part_losses(struct frame *f, const struct comparison *c)
{
	for (size_t i = 0; i < c->n_versions; i++)
		if (c->versions[i].has_losses)
			put_version(f, &c->versions[i]);
}
