// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * HTTP/2's long-lived streams: by endpoint while they are open and as they have ended, and by version as sessions of
 * another protocol, or streamed answers, like those of HTTP/1. All of them are exchanges too, each with an outcome of
 * its own, by which the judge is told of those that a server has dropped.
 */
#include <stdlib.h>

#include "session/internal.h"

/* NULL: out of memory. */
static struct stream_figures *figures_of(struct cell *c)
{
	if (!c->total.streams)
		c->total.streams = calloc(1, sizeof(*c->total.streams));
	return c->total.streams;
}

/* A tunnel that the other side has agreed to; until then it is asked for like anything else. */
static bool is_tunnel(const struct h2_exchange *e)
{
	return e->websocket && e->t_first;
}

static bool is_long_lived(const struct h2_exchange *e)
{
	return e->long_lived && e->t_first;
}

static void session_ended(struct session_streams *v, const struct h2_exchange *e)
{
	uint64_t age = e->t_end > e->t_first ? e->t_end - e->t_first : 0;
	enum tw_session_end how = e->how;

	v->begun += is_tunnel(e);
	if (e->outcome == TW_UNOBSERVED)
		return;
	/* A client may leave a session as it likes; an answer that ends well is no more than that. */
	if (is_tunnel(e))
		sessions_add_one(&v->upgraded, how == TW_END_CLIENT_ABANDONED ? TW_END_CLOSED : how, age);
	else if (how != TW_END_CLOSED)
		sessions_add_one(&v->streaming, how, age);
}

void streams_enter(struct session *s, struct cell *c, const struct h2_exchange *e)
{
	struct stream_figures *f;

	if (!is_long_lived(e))
		return;
	session_ended(&s->streams[c->version], e);
	f = figures_of(c);
	if (f)
		streams_ended(f, e->outcome == TW_UNOBSERVED ? TW_END_NR : e->how, e->messages);
	else
		s->lost_in_user_space++;
}

void streams_look_begins(struct session *s)
{
	for (size_t i = 0; i < s->n_live; i++)
		if (s->live[i]->total.streams)
			streams_look(s->live[i]->total.streams);
	for (int v = 0; v < TW_MAX_VERSIONS; v++)
		s->streams[v].open = 0;
}

void streams_look_at(struct session *s, uint16_t version, uint16_t endpoint, const struct h2_exchange *e)
{
	struct cell *c = cell_get(s, version, endpoint);
	struct stream_figures *f = c ? figures_of(c) : NULL;

	s->streams[version].open += is_tunnel(e);
	if (f)
		streams_open(f, e->t_start, e->messages);
}

void streams_version_fill(const struct session *s, struct version_losses *l, size_t version)
{
	const struct session_streams *v = &s->streams[version];

	l->upgraded_begun += v->begun + v->open;
	sessions_add(&l->upgraded, &v->upgraded);
	sessions_add(&l->streaming, &v->streaming);
}
