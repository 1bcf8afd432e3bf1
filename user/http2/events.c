// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "http2/events.h"

#include <string.h>

#include "http2/exchange.h"
#include "http2/grpc.h"

static void malformed(struct h2_conn *c)
{
	c->engine->counts.malformed++;
}

/* Streams that nobody has opened (RFC 9113, 5.1.1), as far as all that were opened have been seen. */
static bool is_idle(const struct h2_conn *c, uint32_t id)
{
	const struct h2_side *opener = &c->side[id & 1 ? H2_REQUESTS : H2_ANSWERS];

	return id && opener->whole && id > opener->last_id;
}

static struct h2_stream *find(struct h2_conn *c, uint32_t id)
{
	struct h2_stream *s = h2_streams__find(&c->streams, id);

	if (!s && is_idle(c, id))
		malformed(c);
	return s;
}

/* ---- beginnings -------------------------------------------------------------------------------------------------- */

/* What a request's header list says. */
static void describe(struct h2_stream *s, const struct h2_fields *list)
{
	bool post = list->method && list->method_len == 4 && !memcmp(list->method_text, "POST", 4);
	bool maybe_post = post || (!list->method && list->unknown);

	s->len = h2_fields__text(list, s->text, &s->truncated);
	s->connect = list->connect;
	s->grpc = post && list->type == H2_TYPE_GRPC;
	s->maybe_call = maybe_post && list->type == H2_TYPE_NONE && list->unknown;
	s->type_unknown = post && s->maybe_call && list->path && h2_is_grpc_path(list->path_text, list->path_len);
}

/* What becomes of a stream that has just begun. TW_OUTCOME_NR: nothing yet. */
static enum tw_outcome begins_with(const struct h2_conn *c)
{
	if (c->over)
		return c->closing;
	return c->side[H2_ANSWERS].step == H2_LOST ? TW_UNOBSERVED : TW_OUTCOME_NR;
}

/*
 * A server that goes away in order leaves requests out that crossed its GOAWAY, and tells their clients, who ask
 * elsewhere: nobody has failed. Where it goes because of an error, somebody has.
 */
static void leave_out(struct h2_conn *c, struct h2_stream *s, enum tw_outcome outcome, uint32_t error, uint64_t t)
{
	if (outcome == TW_UNANSWERED && !error && !s->begun && !s->doubtful)
		h2_exchange__withdraw(c, s);
	else
		h2_exchange__end(c, s, outcome, error, t);
}

/* The other side has said that it will not look at it. */
static bool is_left_out(const struct h2_side *opener, const struct h2_stream *s)
{
	return opener->going_away && s->id > opener->away_id;
}

/* `s` is filled in by the caller but for what every stream has; from the table, or only for the time of this call. */
static void begin(struct h2_conn *c, struct h2_stream *s, bool kept, uint64_t t)
{
	const struct h2_side *opener = &c->side[s->pushed ? H2_ANSWERS : H2_REQUESTS];
	enum tw_outcome outcome = begins_with(c);

	s->grpc_status = H2_GRPC_NONE;
	s->version_begun = c->version;
	h2_exchange__begun(c, s);
	if (!kept) {
		c->engine->counts.shed_streams++;
		h2_exchange__ended(c, s, TW_UNOBSERVED, 0, t, t);
		return;
	}
	/* What crosses a GOAWAY may cross the close that follows it as well. */
	if (is_left_out(opener, s) && (outcome == TW_OUTCOME_NR || (c->over && !opener->away_error)))
		leave_out(c, s, s->pushed ? TW_CLIENT_ABANDONED : TW_UNANSWERED, opener->away_error, t);
	else if (outcome != TW_OUTCOME_NR)
		h2_exchange__end(c, s, outcome, 0, t);
}

/* Room for a new stream: in the table, or `spare` if there is none. */
static struct h2_stream *add(struct h2_conn *c, uint32_t id, struct h2_stream *spare)
{
	struct h2_stream *s = NULL;

	if (c->streams.n < c->engine->limits.streams)
		s = h2_streams__add(&c->streams, id);
	if (s)
		return s;
	memset(spare, 0, sizeof(*spare));
	spare->id = id;
	return spare;
}

/* RFC 9113, 8.3.1. */
static bool is_request(const struct h2_fields *list)
{
	return list->unknown || (list->method && (list->path || list->connect));
}

static void request_begins(struct h2_conn *c, struct h2_side *side, const struct h2_fields *list, uint64_t t)
{
	struct h2_stream spare, *s = add(c, side->block_stream, &spare);

	describe(s, list);
	s->no_request = !is_request(list) && !list->broken;
	s->t_start = side->t_block;
	s->place = side->frames.place;
	s->whole = side->end_stream;
	s->t_whole = s->whole ? t : 0;
	if (c->is_read && (int32_t)(c->read_place - s->place) >= 0)
		s->t_read = c->t_read;
	begin(c, s, s != &spare, t);
}

/* RFC 9113, 8.4: a request that the server makes up, on a stream that it will answer itself. */
static void promise_begins(struct h2_conn *c, struct h2_side *side, const struct h2_fields *list, uint64_t t)
{
	struct h2_stream spare, *s;
	uint32_t id = side->promised;

	find(c, side->block_stream);
	if (!id || id & 1 || id <= side->last_id) {
		malformed(c);
		return;
	}
	side->last_id = id;
	s = add(c, id, &spare);
	describe(s, list);
	s->pushed = s->whole = true;
	s->t_start = side->t_block;
	s->t_whole = t;
	begin(c, s, s != &spare, t);
}

void h2_events__asked(struct h2_conn *c, uint64_t hash, uint64_t t_start, uint64_t t)
{
	struct h2_stream spare, *s = add(c, 1, &spare);

	c->side[H2_REQUESTS].last_id = 1;
	s->hash = hash;
	s->whole = true;
	s->t_start = s->t_whole = t_start;
	begin(c, s, s != &spare, t);
}

/* ---- the client's side ------------------------------------------------------------------------------------------- */

static void request_whole(struct h2_conn *c, struct h2_stream *s, uint64_t t)
{
	s->whole = true;
	s->t_whole = t;
	if (s->connect && s->begun)
		h2_exchange__end(c, s, TW_ANSWERED, 0, t);
}

static void request_trailers(struct h2_conn *c, struct h2_stream *s, const struct h2_side *side,
                             const struct h2_fields *list, uint64_t t)
{
	if (s->whole || !side->end_stream || list->pseudo)
		malformed(c);
	if (!s->whole && side->end_stream)
		request_whole(c, s, t);
}

static void request_block(struct h2_conn *c, const struct h2_fields *list, uint64_t t)
{
	struct h2_side *side = &c->side[H2_REQUESTS];
	uint32_t id = side->block_stream;
	struct h2_stream *s = h2_streams__find(&c->streams, id);

	if (s) {
		request_trailers(c, s, side, list, t);
		return;
	}
	if (!(id & 1)) {
		malformed(c);
		return;
	}
	if (id <= side->last_id)
		return;
	side->last_id = id;
	/*
	 * Where the beginning was not seen it may be the trailers of an earlier request. They have no pseudo-header
	 * fields, and of those that a request has, :scheme or :method is in the static table.
	 */
	if (!side->whole && side->end_stream && !list->pseudo && !list->broken)
		return;
	if (!is_request(list))
		malformed(c);
	request_begins(c, side, list, t);
}

/* ---- the server's side ------------------------------------------------------------------------------------------- */

static void answer_fails(struct h2_conn *c, struct h2_stream *s, uint64_t t)
{
	h2_exchange__end(c, s, TW_RESET_BY_SERVER, 0, t);
}

/*
 * RFC 9113, 8.1.1: an answer that ends before its content-length is malformed, and its client drops it. (Padding counts
 * as body here, as the frames' heads do not tell how much of it there is.)
 */
static void answer_ends(struct h2_conn *c, struct h2_stream *s, uint64_t t)
{
	h2_exchange__end(c, s, s->came < s->due ? TW_TRUNCATED : TW_ANSWERED, 0, t);
}

/* Bytes that the body must have. Those of an answer to HEAD, and of a 304, are another's (RFC 9110, 8.6). */
static int64_t body_due(const struct h2_stream *s, const struct h2_fields *list)
{
	if (list->length < 0 || !list->status || list->status == 204 || list->status == 304)
		return H2_LENGTH_NONE;
	if (!s->len || s->connect || !memcmp(s->text, "HEAD ", 5))
		return H2_LENGTH_NONE;
	return list->length;
}

/* What the header lists of an answer tell of a request of which it is not known. */
static void tell_call(struct h2_stream *s, const struct h2_fields *list)
{
	if (!s->maybe_call)
		return;
	s->grpc = list->type == H2_TYPE_GRPC || (list->type == H2_TYPE_NONE && list->grpc_status != H2_GRPC_NONE);
	s->maybe_call = !s->grpc;
}

static void answer_trailers(struct h2_conn *c, struct h2_stream *s, const struct h2_fields *list, uint64_t t)
{
	s->t_last = t;
	tell_call(s, list);
	s->grpc_status = list->grpc_status;
	s->grpc_unknown = list->unknown;
	answer_ends(c, s, t);
}

static void answer_begins(struct h2_conn *c, struct h2_stream *s, const struct h2_side *side,
                          const struct h2_fields *list, uint64_t t)
{
	s->begun = true;
	s->doubtful = false;
	s->status = list->status;
	s->status_unknown = !list->status;
	s->sure = list->status || side->end_stream;
	s->t_first = side->t_block;
	s->t_last = t;
	s->events = list->type == H2_TYPE_EVENTS;
	tell_call(s, list);
	/* What gRPC says in any other way than with 200, its own type and no length keeps its HTTP status. */
	if ((list->status && list->status != 200) || list->type != H2_TYPE_NONE || list->length != H2_LENGTH_NONE)
		s->maybe_call = false;
	if (s->connect && list->status && (list->status < 200 || list->status > 299))
		s->connect = false; /* it was refused: a question like others */
	s->due = body_due(s, list);
	s->came = 0;
	s->padded = false;
	if (side->end_stream)
		answer_trailers(c, s, list, t);
	else if (s->connect && s->whole)
		h2_exchange__end(c, s, TW_ANSWERED, 0, t);
}

/* Header lists of an answer that has not begun. */
static void answer_header(struct h2_conn *c, struct h2_stream *s, const struct h2_side *side,
                          const struct h2_fields *list, uint64_t t)
{
	bool interim = list->status >= 100 && list->status <= 199, none = !list->status && !list->unknown;

	/* Trailers of what was not seen. */
	if (s->doubtful && side->end_stream && !list->status) {
		h2_exchange__end(c, s, TW_UNOBSERVED, 0, t);
		return;
	}
	if (!interim && !none) {
		answer_begins(c, s, side, list, t);
		return;
	}
	s->doubtful = false;
	if (none || side->end_stream)
		malformed(c);
	if (side->end_stream)
		answer_fails(c, s, t);
}

static void answer_block(struct h2_conn *c, const struct h2_fields *list, uint64_t t)
{
	struct h2_side *side = &c->side[H2_ANSWERS];
	struct h2_stream *s = find(c, side->block_stream);

	if (!s)
		return;
	/* Only interim responses are followed by a header list that is not the last, or has a status. */
	if (s->begun && !s->sure && (list->status || !side->end_stream)) {
		s->begun = s->status_unknown = false;
		s->t_first = s->t_last = 0;
	}
	if (!s->begun) {
		answer_header(c, s, side, list, t);
		return;
	}
	if (!side->end_stream || list->pseudo)
		malformed(c);
	if (side->end_stream)
		answer_trailers(c, s, list, t);
}

static void answer_whole(struct h2_conn *c, struct h2_stream *s, uint64_t t)
{
	s->t_last = t;
	/* A call that succeeds has trailers. */
	if (s->status >= 200 && s->status <= 399)
		s->type_unknown = false;
	answer_ends(c, s, t);
}

/*
 * Beyond the content-length: that is malformed, too, and its client drops it where it stands, mostly by a reset. The
 * server is to answer for that.
 */
static bool has_too_much(const struct h2_stream *s)
{
	return s->due != H2_LENGTH_NONE && s->came > s->due && !s->padded;
}

static void answer_data(struct h2_conn *c, struct h2_stream *s, const struct h2_frame *f, uint64_t t)
{
	if (!s->begun) {
		if (s->doubtful) {
			h2_exchange__end(c, s, TW_UNOBSERVED, 0, t);
			return;
		}
		malformed(c);
		if (f->end_stream)
			answer_fails(c, s, t);
		return;
	}
	s->sure = true;
	s->t_last = t;
	s->came += f->length;
	s->padded |= f->padded;
	s->messages[H2_ANSWERS] += f->length > 0;
	if (has_too_much(s))
		h2_exchange__end(c, s, TW_TRUNCATED, 0, t);
	else if (f->end_stream && !f->length)
		answer_whole(c, s, t);
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

void h2_events__block(struct h2_conn *c, int d, const struct h2_fields *list, uint64_t t)
{
	struct h2_side *side = &c->side[d];

	if (!side->block_stream)
		return; /* counted already */
	if (side->promise && d == H2_REQUESTS)
		malformed(c);
	else if (side->promise)
		promise_begins(c, side, list, t);
	else if (d == H2_REQUESTS)
		request_block(c, list, t);
	else
		answer_block(c, list, t);
}

void h2_events__data(struct h2_conn *c, int d, const struct h2_frame *f, uint64_t t)
{
	struct h2_stream *s = find(c, f->stream);

	if (!s)
		return;
	if (d == H2_ANSWERS) {
		answer_data(c, s, f, t);
	} else if (s->whole) {
		malformed(c);
	} else {
		s->messages[H2_REQUESTS] += f->length > 0;
		if (f->end_stream && !f->length)
			request_whole(c, s, t);
	}
}

void h2_events__ended(struct h2_conn *c, int d, uint32_t stream, uint64_t t)
{
	struct h2_stream *s = h2_streams__find(&c->streams, stream);

	if (s && d == H2_ANSWERS && s->begun)
		answer_whole(c, s, t);
	else if (s && d == H2_REQUESTS && !s->whole)
		request_whole(c, s, t);
}

void h2_events__reset(struct h2_conn *c, int d, const struct h2_frame *f, uint64_t t)
{
	struct h2_stream *s = find(c, f->stream);

	if (s)
		h2_exchange__end(c, s, d == H2_REQUESTS ? TW_RESET_BY_CLIENT : TW_RESET_BY_SERVER, f->value, t);
}

void h2_events__window(struct h2_conn *c, const struct h2_frame *f)
{
	if (is_idle(c, f->stream))
		malformed(c);
}

void h2_events__goaway(struct h2_conn *c, int d, const struct h2_frame *f, uint64_t t)
{
	bool pushes = d == H2_REQUESTS;
	struct h2_side *opener = &c->side[!d];
	struct h2_stream *s, *next;

	/* RFC 9113, 6.8: the last one may not rise. */
	if (!opener->going_away || f->stream < opener->away_id) {
		opener->away_id = f->stream;
		opener->away_error = f->value;
	}
	opener->going_away = true;
	for (s = c->streams.first; s; s = next) {
		next = s->next;
		if (s->pushed == pushes && s->id > opener->away_id)
			leave_out(c, s, pushes ? TW_CLIENT_ABANDONED : TW_UNANSWERED, f->value, t);
	}
}
