// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "http2/conn.h"

#include <errno.h>
#include <string.h>

#include "http2/events.h"
#include "http2/exchange.h"

#define SETTINGS_HEADER_TABLE_SIZE 1

void h2_conn__init(struct h2_conn *c, struct h2_engine *e, uint64_t name)
{
	*c = (struct h2_conn){ .engine = e, .name = name };
	h2_streams__init(&c->streams, &e->memory, &e->streams, e->seed);
	for (int d = 0; d < 2; d++) {
		c->side[d].frames.malformed = &e->counts.malformed;
		h2_hpack__init(&c->side[d].hpack, &e->memory, false);
	}
}

static void list_put(struct h2_conn *c, struct h2_side *side)
{
	if (side->list)
		h2_pool__put(&c->engine->lists, side->list);
	side->list = NULL;
}

void h2_conn__free(struct h2_conn *c)
{
	h2_exchange__end_all(c, TW_UNOBSERVED, c->t_seen, c->engine->now);
	h2_streams__free(&c->streams);
	for (int d = 0; d < 2; d++) {
		list_put(c, &c->side[d]);
		h2_hpack__free(&c->side[d].hpack);
	}
}

void h2_conn__who(struct h2_conn *c, const struct tw_h2_record *r)
{
	if (r->tgid)
		c->tgid = r->tgid;
	if (r->version)
		c->version = r->version;
	c->group = r->group;
	c->client = r->flags & TW_H2_CLIENT;
	c->tls = r->flags & TW_H2_TLS;
}

/* ---- in step, and out of it -------------------------------------------------------------------------------------- */

static void lose_table(struct h2_conn *c, struct h2_side *side, bool more)
{
	c->engine->counts.tables_lost += side->hpack.state == H2_HPACK_KNOWN;
	h2_hpack__lose(&side->hpack, more);
}

/* SETTINGS and their acknowledgements cannot be matched any more. */
static void lose_settings(struct h2_conn *c)
{
	for (int d = 0; d < 2; d++) {
		h2_settings__clear(&c->side[d].asked);
		h2_hpack__set_free(&c->side[d].hpack);
	}
}

static void found_open(struct h2_conn *c)
{
	if (c->begun || c->joined)
		return;
	c->joined = true;
	c->engine->counts.joined++;
}

/* What comes in this direction is not known from here on, nor what becomes of the streams that are open. */
static void lose(struct h2_conn *c, int d, uint64_t t)
{
	struct h2_side *side = &c->side[d];

	if (side->step == H2_LOST)
		return;
	found_open(c);
	if (side->step == H2_IN_STEP || c->begun) {
		c->engine->counts.desynchronised++;
		side->counted = true;
	}
	side->step = H2_LOST;
	side->whole = false;
	side->since = side->ending = 0;
	list_put(c, side);
	lose_table(c, side, false);
	lose_settings(c);
	h2_exchange__end_all(c, TW_UNOBSERVED, c->t_seen, t);
}

void h2_conn__gap(struct h2_conn *c)
{
	lose(c, H2_REQUESTS, c->engine->now);
	lose(c, H2_ANSWERS, c->engine->now);
}

static void found(struct h2_conn *c, struct h2_side *side)
{
	c->engine->counts.resynchronised += side->counted;
	side->counted = false;
	side->step = H2_IN_STEP;
}

static void join(struct h2_conn *c, int d, uint32_t place, uint64_t t)
{
	struct h2_side *side = &c->side[d];

	/* Where a connection was seen to begin, so would this direction have been. */
	if (side->step == H2_IN_STEP || c->begun)
		lose(c, d, t);
	if (side->step == H2_NOT_SEEN) {
		found_open(c);
		lose_settings(c);
		for (struct h2_stream *s = c->streams.first; s && d == H2_ANSWERS; s = s->next)
			s->doubtful = true;
	}
	h2_frames__begin(&side->frames, place, true);
	found(c, side);
}

static int begin(struct h2_conn *c, int d, uint32_t place)
{
	struct h2_side *side = &c->side[d], *other = &c->side[!d];

	if (side->step == H2_IN_STEP)
		return -EINVAL;
	c->begun = true;
	side->whole = true;
	h2_frames__begin(&side->frames, place, false);
	h2_hpack__free(&side->hpack);
	h2_hpack__init(&side->hpack, &c->engine->memory, true);
	/* What the upgraded request asked for (HTTP2-Settings) was not seen. */
	if (c->upgraded || (other->step != H2_NOT_SEEN && !other->whole))
		h2_hpack__set_free(&side->hpack);
	found(c, side);
	return 0;
}

/* ---- header blocks and settings ---------------------------------------------------------------------------------- */

static void block_begins(struct h2_conn *c, struct h2_side *side, const struct h2_frame *f)
{
	side->promise = f->event == H2_EV_PROMISE;
	side->block_stream = f->stream;
	side->promised = f->value;
	side->end_stream = f->end_stream;
	side->t_block = f->t;
	list_put(c, side);
	side->list = h2_pool__get(&c->engine->lists);
	if (side->list)
		h2_fields__begin(side->list, c->engine->limits.header_list);
}

static void leave_out(void *arg, const struct h2_nv *nv)
{
}

/* Feeds a part of a block to the decoder. False: it could not be read. */
static bool decode(struct h2_conn *c, struct h2_side *side, const struct h2_frame *f)
{
	struct h2_counts *counts = &c->engine->counts;
	bool known = side->hpack.state == H2_HPACK_KNOWN;
	int err;

	if (f->cut) {
		lose_table(c, side, !f->last);
		return false;
	}
	err = h2_hpack__feed(&side->hpack, f->bytes, f->n, f->last, side->list ? h2_fields__add : leave_out,
	                     side->list);
	if (known && err && err != -ENODATA)
		counts->tables_lost++;
	if (known && err == -EBADMSG)
		counts->malformed++;
	return !err;
}

static void block_goes_on(struct h2_conn *c, int d, const struct h2_frame *f, uint64_t t)
{
	struct h2_side *side = &c->side[d];
	bool ok = decode(c, side, f);
	struct h2_fields none;

	if (!ok && side->list)
		side->list->unknown = side->list->broken = true;
	if (!f->last)
		return;
	if (!side->list) {
		h2_fields__begin(&none, 0);
		none.unknown = none.broken = true;
	}
	c->engine->counts.too_large += side->list && side->list->too_large;
	h2_events__block(c, d, side->list ? side->list : &none, t);
	list_put(c, side);
}

/* The rest of a block does not come: what it would have put into the table is not known. */
static void block_aborted(struct h2_conn *c, struct h2_side *side)
{
	list_put(c, side);
	lose_table(c, side, false);
}

/* The other side's settings bind this side's encoder once it says so. */
static void settings_acked(struct h2_conn *c, struct h2_side *side)
{
	struct h2_table_size size;
	int err = 0;

	if (!h2_settings__acked(&side->asked, &size)) {
		/* Inside TLS, what a server says before it is asked may pass before its session is known. */
		c->engine->counts.malformed += !side->hpack.free && !c->tls;
		h2_hpack__set_free(&side->hpack);
		return;
	}
	if (!size.is_set)
		return;
	if (size.lowest < size.last)
		err = h2_hpack__allow(&side->hpack, size.lowest);
	if (!err)
		err = h2_hpack__allow(&side->hpack, size.last);
	c->engine->counts.tables_lost += err != 0;
}

static void settings_end(struct h2_conn *c, int d, const struct h2_frame *f)
{
	if (f->ack) {
		settings_acked(c, &c->side[d]);
		return;
	}
	if (c->side[!d].hpack.free && c->side[!d].step != H2_NOT_SEEN)
		return;
	if (h2_settings__sent(&c->side[!d].asked))
		return;
	/* A flood. Sizes then are what the encoders say, as they must in any case. */
	c->engine->counts.malformed++;
	lose_settings(c);
}

/* ---- items ------------------------------------------------------------------------------------------------------- */

static void take_event(struct h2_conn *c, int d, const struct h2_frame *f, uint64_t t)
{
	struct h2_side *side = &c->side[d];

	switch (f->event) {
	case H2_EV_DATA:
		side->ending = f->end_stream && f->length ? f->stream : 0;
		h2_events__data(c, d, f, t);
		break;
	case H2_EV_HEADERS:
	case H2_EV_PROMISE:
		block_begins(c, side, f);
		break;
	case H2_EV_BLOCK:
		block_goes_on(c, d, f, t);
		break;
	case H2_EV_ABORTED:
		block_aborted(c, side);
		break;
	case H2_EV_RESET:
		h2_events__reset(c, d, f, t);
		break;
	case H2_EV_SETTING:
		if (f->id == SETTINGS_HEADER_TABLE_SIZE)
			h2_settings__size(&c->side[!d].asked, f->value);
		break;
	case H2_EV_SETTINGS:
		settings_end(c, d, f);
		break;
	case H2_EV_GOAWAY:
		h2_events__goaway(c, d, f, t);
		break;
	case H2_EV_WINDOW:
		h2_events__window(c, f);
		break;
	}
}

static void take_bytes(struct h2_conn *c, int d, const struct tw_h2_item *item, const uint8_t *p, uint64_t t)
{
	struct h2_side *side = &c->side[d];
	bool at_head = item->flags & TW_H2_AT_HEAD;
	uint64_t since = side->since;
	enum h2_place place = H2_PLACE_GAP;
	struct h2_frame f;
	size_t n = item->len;

	if (side->step == H2_IN_STEP)
		place = h2_frames__at(&side->frames, item->at, at_head);
	/* That a payload has ended is told before what follows it. */
	if (at_head && side->ending && place == H2_PLACE_NEXT)
		place = H2_PLACE_GAP;
	c->engine->counts.bad_records += place == H2_PLACE_BAD;
	if (place != H2_PLACE_NEXT) {
		if (side->step == H2_IN_STEP)
			lose(c, d, t);
		if (!at_head)
			return;
		join(c, d, item->at, t);
	}
	if (at_head) {
		side->frames.since = since < t ? since : 0;
		side->since = 0;
	}
	while (h2_frames__next(&side->frames, &p, &n, t, &f))
		take_event(c, d, &f, t);
}

/* The frame that is open ends at this place; if it does not, it is not the one that was meant. */
static void payload_ended(struct h2_conn *c, int d, uint32_t at, uint64_t t)
{
	struct h2_side *side = &c->side[d];
	uint32_t stream = side->ending;

	if (side->step != H2_IN_STEP)
		return;
	if (at != side->frames.place + side->frames.left) {
		lose(c, d, t);
		return;
	}
	side->ending = 0;
	if (stream)
		h2_events__ended(c, d, stream, t);
}

static void was_read(struct h2_conn *c, uint32_t place, uint64_t t)
{
	if (c->is_read && (int32_t)(place - c->read_place) <= 0)
		return;
	c->is_read = true;
	c->read_place = place;
	c->t_read = t;
	h2_streams__read(&c->streams, place, t);
}

static int asked(struct h2_conn *c, const uint8_t *p, uint64_t t)
{
	uint64_t hash, t_start;

	if (c->upgraded || c->side[H2_REQUESTS].last_id)
		return -EINVAL;
	memcpy(&hash, p, sizeof(hash));
	memcpy(&t_start, p + sizeof(hash), sizeof(t_start));
	c->begun = c->upgraded = true;
	h2_hpack__set_free(&c->side[H2_ANSWERS].hpack);
	h2_events__asked(c, hash, t_start, t);
	return 0;
}

/* The first close is what counts; at_once: nothing can be answered after this one. */
static void close_by(struct h2_conn *c, enum tw_outcome how, bool at_once, uint64_t t)
{
	if (!c->closed) {
		c->closed = true;
		c->closing = how;
		c->t_closed = t;
	}
	if (!at_once)
		return;
	c->over = true;
	h2_exchange__end_all(c, c->closing, c->t_closed, c->t_closed);
}

/* No close was seen: as far as the socket's error tells. */
static void socket_gone(struct h2_conn *c, uint32_t error, uint64_t t)
{
	enum tw_outcome how = TW_UNOBSERVED;

	c->gone = true;
	if (error == ETIMEDOUT) {
		how = TW_TIMEOUT;
		c->closed = false;
	} else if (error == ECONNRESET || error == EPIPE) {
		how = c->client ? TW_RESET_BY_SERVER : TW_RESET_BY_CLIENT;
	}
	close_by(c, how, true, t);
}

bool h2_conn__is_opening(const struct tw_h2_item *item)
{
	switch (item->what) {
	case TW_H2_BYTES:
		return item->flags & TW_H2_AT_HEAD;
	case TW_H2_BEGINS:
	case TW_H2_JOINED:
	case TW_H2_LOST:
	case TW_H2_ASKED:
		return true;
	default:
		return false;
	}
}

int h2_conn__item(struct h2_conn *c, int d, const struct tw_h2_item *item, const uint8_t *bytes, uint64_t t)
{
	struct h2_side *side = &c->side[d];
	uint64_t t_read;

	switch (item->what) {
	case TW_H2_BYTES:
		take_bytes(c, d, item, bytes, t);
		return 0;
	case TW_H2_BEGINS:
		return begin(c, d, item->at);
	case TW_H2_JOINED:
		join(c, d, item->at, t);
		return 0;
	case TW_H2_LOST:
		lose(c, d, t);
		return 0;
	case TW_H2_READ:
		if (item->len != sizeof(t_read))
			return -EINVAL;
		memcpy(&t_read, bytes, sizeof(t_read));
		was_read(c, item->at, t_read);
		return 0;
	case TW_H2_FIN:
		close_by(c, d == H2_REQUESTS ? TW_CLIENT_ABANDONED : TW_UNANSWERED, d == H2_ANSWERS, t);
		return 0;
	case TW_H2_RST:
		close_by(c, d == H2_REQUESTS ? TW_RESET_BY_CLIENT : TW_RESET_BY_SERVER, true, t);
		return 0;
	case TW_H2_ASKED:
		return item->len == 16 ? asked(c, bytes, t) : -EINVAL;
	case TW_H2_GONE:
		socket_gone(c, item->at, t);
		return 0;
	case TW_H2_ENDED:
		payload_ended(c, d, item->at, t);
		return 0;
	case TW_H2_SINCE:
		if (item->len != sizeof(side->since))
			return -EINVAL;
		memcpy(&side->since, bytes, sizeof(side->since));
		return 0;
	default:
		return -EINVAL;
	}
}
