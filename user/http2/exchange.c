// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "http2/exchange.h"

#include <string.h>

static void who(const struct h2_conn *c, const struct h2_stream *s, struct h2_exchange *e)
{
	*e = (struct h2_exchange){
		.conn = c->name,
		.stream = s->id,
		.tgid = c->tgid,
		.version = c->version,
		.group = c->group,
		.client = c->client,
		.tls = c->tls,
		.pushed = s->pushed,
		.grpc_status = H2_GRPC_NONE,
		.outcome = TW_UNOBSERVED,
		.t_start = s->t_start,
		.version_begun = s->version_begun,
		.seen = (uint64_t *)c->seen,
	};
}

void h2_exchange__begun(const struct h2_conn *c, const struct h2_stream *s)
{
	struct h2_exchange e;

	c->engine->counts.requests++;
	c->engine->counts.open++;
	who(c, s, &e);
	c->engine->sink.begun(c->engine->sink.arg, &e);
}

void h2_exchange__withdraw(struct h2_conn *c, struct h2_stream *s)
{
	struct h2_exchange e;

	c->engine->counts.withdrawn++;
	c->engine->counts.open--;
	who(c, s, &e);
	c->engine->sink.withdrawn(c->engine->sink.arg, &e);
	h2_streams__remove(&c->streams, s);
}

/* "POST" and "gRPC" are of one length. */
static void name(struct h2_stream *s, struct h2_exchange *e)
{
	if (!s->len || (s->type_unknown && !s->grpc))
		return;
	if (s->grpc)
		memcpy(s->text, "gRPC", 4);
	e->text = s->text;
	e->len = s->len;
	e->truncated = s->truncated;
}

static bool is_long_lived(const struct h2_conn *c, const struct h2_stream *s, uint64_t t)
{
	uint64_t limit = c->engine->limits.long_lived;

	if (s->connect || s->events)
		return true;
	return s->t_first && t > s->t_first && t - s->t_first >= limit;
}

static void describe(const struct h2_conn *c, struct h2_stream *s, struct h2_exchange *e, uint64_t t)
{
	who(c, s, e);
	name(s, e);
	e->joined = c->joined;
	e->hash = s->hash;
	e->grpc = s->grpc;
	e->websocket = s->connect;
	e->long_lived = is_long_lived(c, s, t);
	e->status = s->status;
	e->status_unknown = s->status_unknown;
	e->grpc_status = s->grpc_status;
	e->t_whole = s->t_whole;
	e->t_read = s->t_read;
	e->t_first = s->t_first;
	e->t_last = s->t_last;
	memcpy(e->messages, s->messages, sizeof(e->messages));
}

void h2_exchange__open(const struct h2_conn *c, struct h2_stream *s, struct h2_exchange *to)
{
	describe(c, s, to, c->engine->now);
}

static enum tw_session_end how_of(enum tw_outcome outcome)
{
	switch (outcome) {
	case TW_RESET_BY_SERVER:
		return TW_END_RESET_BY_SERVER;
	case TW_RESET_BY_CLIENT:
		return TW_END_RESET_BY_CLIENT;
	case TW_UNANSWERED:
	case TW_TRUNCATED:
		return TW_END_CUT;
	case TW_CLIENT_ABANDONED:
		return TW_END_CLIENT_ABANDONED;
	case TW_TIMEOUT:
		return TW_END_TIMEOUT;
	default:
		return TW_END_CLOSED;
	}
}

/* As with HTTP/1: the wait begins when the request is whole, and ends with the answer's first byte. */
static bool is_late(const struct h2_conn *c, const struct h2_stream *s, uint64_t until)
{
	if (s->begun)
		until = s->t_first;
	return s->t_whole && until > s->t_whole && until - s->t_whole > c->engine->timeout;
}

void h2_exchange__ended(const struct h2_conn *c, struct h2_stream *s, enum tw_outcome outcome, uint32_t error,
                        uint64_t until, uint64_t t)
{
	struct h2_engine *g = c->engine;
	struct h2_exchange e;

	describe(c, s, &e, t);
	if (outcome == TW_UNANSWERED && s->begun)
		outcome = TW_TRUNCATED;
	/* What passed unseen may have been its answer. */
	if (s->doubtful)
		outcome = TW_UNOBSERVED;
	e.cut = outcome != TW_ANSWERED && s->begun;
	if (!e.long_lived && !s->doubtful && is_late(c, s, until)) {
		/* It was over before a byte of its answer, whatever ended it later. */
		outcome = TW_TIMEOUT;
		e.cut = false;
	}
	/* A call that has failed says 200 as well: only its trailers tell. */
	if (outcome == TW_ANSWERED && (s->grpc || s->maybe_call) && s->grpc_unknown && s->grpc_status == H2_GRPC_NONE)
		e.status_unknown = true;
	e.outcome = outcome;
	e.how = how_of(outcome);
	e.error = error;
	e.t_end = t;
	g->counts.open--;
	g->counts.ended++;
	g->counts.unknown_requests += !e.text && !e.hash && !s->no_request;
	g->counts.unknown_statuses += e.status_unknown;
	g->sink.ended(g->sink.arg, &e);
}

void h2_exchange__end(struct h2_conn *c, struct h2_stream *s, enum tw_outcome outcome, uint32_t error, uint64_t t)
{
	h2_exchange__ended(c, s, outcome, error, t, t);
	h2_streams__remove(&c->streams, s);
}

void h2_exchange__end_all(struct h2_conn *c, enum tw_outcome outcome, uint64_t until, uint64_t t)
{
	struct h2_stream *s;

	while ((s = c->streams.first)) {
		h2_exchange__ended(c, s, outcome, 0, until, t);
		h2_streams__remove(&c->streams, s);
	}
}

uint16_t h2_exchange__status(const struct h2_exchange *e)
{
	bool success = e->status >= 200 && e->status <= 299;

	if (e->status_unknown)
		return TW_STATUS_UNKNOWN;
	if (!e->grpc)
		return e->status;
	if (e->grpc_status != H2_GRPC_NONE)
		return (uint16_t)(TW_STATUS_GRPC + (e->grpc_status < TW_GRPC_NR ? e->grpc_status : TW_GRPC_UNKNOWN));
	if (!success)
		return e->status;
	return e->outcome == TW_ANSWERED ? TW_STATUS_GRPC + TW_GRPC_UNKNOWN : 0;
}
