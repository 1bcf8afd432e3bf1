// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * HTTP/2 in a session: frames go to the library (http2/), its exchanges come back and are counted like those that the
 * kernel hands over as records, in the same ledger.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/internal.h"

#define MEMORY       (64UL << 20)
#define CONNECTIONS  65536
#define STREAMS      4096 /* open on one connection */
#define HEADER_LIST  (64 << 10)
#define LONG_LIVED   10 /* s, after the answer's first byte */
#define NS           1000000000ULL
#define EARLY        10 /* s that a segment may have come too early */
#define FORGET_EVERY 5  /* s */
#define OVER         60 /* s that a connection is remembered which is over, in case that its socket's end is told */

/* Targets met before: a power of two. */
#define TARGETS 4096

struct target {
	uint64_t hash; /* 0: none */
	uint16_t endpoint;
};

/* A connection whose end found no room in the ring. */
struct unsaid {
	uint64_t conn;
	uint32_t err;
};

struct session_http2 {
	struct session *s;
	struct http2 *lib;
	struct unsaid *unsaid; /* to be told once what they said before has been taken from the ring */
	size_t n_unsaid, room_unsaid;
	/* What the kernel's ledger does not know. */
	struct tw_ledger_row rows[TW_MAX_VERSIONS];
	uint64_t joined_unknown[TW_MAX_VERSIONS];
	uint64_t open[TW_MAX_VERSIONS];
	/* As they were looked at last: [TW_MAX_VERSIONS * TW_MAX_ENDPOINTS], and of which time. */
	uint32_t *overdue;
	uint64_t oldest[TW_MAX_VERSIONS], now;
	struct target targets[TARGETS];
	double sweep_at, forget_at;
	uint16_t unknown; /* endpoint of what could not be decoded; 0: not needed yet */
};

/* ---- endpoints --------------------------------------------------------------------------------------------------- */

static uint64_t text_hash(const char *text, size_t len, uint64_t h)
{
	uint64_t w;

	h ^= len * 0x9e3779b97f4a7c15ULL;
	for (; len >= sizeof(w); text += sizeof(w), len -= sizeof(w)) {
		memcpy(&w, text, sizeof(w));
		h = (h ^ w) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
	}
	w = 0;
	memcpy(&w, text, len);
	h = (h ^ w) * 0xff51afd7ed558ccdULL;
	return h ^ h >> 29;
}

static uint16_t text_endpoint(struct session_http2 *h, const struct h2_exchange *e)
{
	uint64_t hash = text_hash(e->text, e->len, h->s->seed + e->truncated) | 1;
	struct target *t = &h->targets[hash >> 32 & (TARGETS - 1)];
	bool other = false;

	if (t->hash == hash)
		return t->endpoint;
	/* What is over the cap stays there: no endpoint is ever given up. */
	t->endpoint = routes__name(h->s->routes, e->text, e->len, e->truncated, &other);
	t->hash = hash;
	return t->endpoint;
}

static uint16_t exchange_endpoint(struct session_http2 *h, const struct h2_exchange *e)
{
	uint16_t ep;

	if (e->text)
		return text_endpoint(h, e);
	ep = e->hash ? hash_endpoint(h->s, e->hash, 0) : 0;
	if (ep)
		return ep;
	if (!h->unknown)
		h->unknown = routes__unknown(h->s->routes);
	return h->unknown;
}

/* ---- exchanges --------------------------------------------------------------------------------------------------- */

static struct tw_ledger_row *row_of(struct session_http2 *h, uint16_t version)
{
	return &h->rows[version < TW_MAX_VERSIONS ? version : 0];
}

static void on_begun(void *arg, const struct h2_exchange *e)
{
	struct session_http2 *h = arg;
	struct tw_ledger_row *row = row_of(h, e->version);

	row->c[TW_L_REQUESTS]++;
	row->c[TW_L_TLS_REQUESTS] += e->tls;
	h->open[e->version < TW_MAX_VERSIONS ? e->version : 0]++;
}

static uint64_t between(uint64_t from, uint64_t to)
{
	if (!from || !to)
		return TW_NOT_MEASURED;
	return to > from ? to - from : 0;
}

/* How long the client had been waiting for a byte of the server when it gave up. */
static uint64_t client_waited(const struct h2_exchange *e)
{
	uint64_t asked = e->t_whole;

	if (!asked || (e->outcome != TW_CLIENT_ABANDONED && e->outcome != TW_RESET_BY_CLIENT))
		return TW_NOT_MEASURED;
	if (!e->t_first)
		return between(asked, e->t_end);
	return between(asked, e->t_first) + between(e->t_last, e->t_end);
}

static void latencies_fill(struct tw_exchange_record *r, const struct h2_exchange *e)
{
	memset(r->lat, 0xff, sizeof(r->lat));
	if (e->long_lived || e->pushed)
		return;
	if (e->outcome != TW_ANSWERED && e->outcome != TW_TIMEOUT) {
		r->waited = e->t_whole ? between(e->t_whole, e->t_first ? e->t_first : e->t_end) : 0;
		r->lat[TW_LAT_WAITED] = client_waited(e);
		return;
	}
	if (!e->t_first || !e->t_last)
		return;
	r->lat[TW_LAT_TOTAL] = between(e->t_start, e->t_last);
	r->lat[TW_LAT_FIRST_BYTE] = between(e->t_start, e->t_first);
	r->lat[TW_LAT_SEND] = between(e->t_first, e->t_last);
	r->lat[TW_LAT_UPLOAD] = between(e->t_start, e->t_whole);
	r->lat[TW_LAT_SERVER] = between(e->t_whole, e->t_last);
	if (!e->t_read || e->t_read < e->t_start || e->t_read > e->t_first)
		return;
	r->lat[TW_LAT_QUEUE] = between(e->t_start, e->t_read);
	r->lat[TW_LAT_SERVICE] = between(e->t_read, e->t_first);
	r->lat[TW_LAT_ACCEPT] = 0;
}

static void detail_enter(struct session *s, const struct tw_exchange_record *r, const struct h2_exchange *e)
{
	const struct tw_detail_record d = {
		.type = TW_R_DETAIL,
		.tgid = e->tgid,
		.t_end = e->t_end,
		.age = e->t_end > e->t_start ? e->t_end - e->t_start : 0,
		.version = r->version,
		.endpoint = r->endpoint,
		.status = r->status,
		.outcome = r->outcome,
		.cause = e->tgid ? TW_CAUSE_READER : TW_CAUSE_UNKNOWN,
	};

	on_detail(s, &d);
}

static void on_ended(void *arg, const struct h2_exchange *e)
{
	struct session_http2 *h = arg;
	struct tw_exchange_record r = {
		.type = TW_R_EXCHANGE,
		.tgid = e->tgid,
		.t_start = e->t_start,
		.version = e->version < TW_MAX_VERSIONS ? e->version : 0,
		.endpoint = exchange_endpoint(h, e),
		.status = h2_exchange__status(e),
		.outcome = (uint8_t)e->outcome,
		.cut = e->cut,
		.group = e->group,
	};
	uint16_t begun = e->version_begun < TW_MAX_VERSIONS ? e->version_begun : 0;
	uint64_t *seen = e->seen + r.endpoint / 64 % (TW_MAX_ENDPOINTS / 64), bit = 1ULL << (r.endpoint & 63);

	struct cell *c;

	latencies_fill(&r, e);
	r.new_connection = !(*seen & bit);
	*seen |= bit;
	h->open[begun]--;
	if (begun != r.version) {
		h->rows[begun].c[TW_L_MOVED]++;
		h->rows[r.version].c[TW_L_REQUESTS]++;
	}
	h->rows[r.version].c[TW_L_ENDED]++;
	h->joined_unknown[r.version] += e->joined && !e->text && !e->hash;
	c = exchange_enter(h->s, &r);
	if (c)
		streams_enter(h->s, c, e);
	if (e->outcome != TW_ANSWERED)
		detail_enter(h->s, &r, e);
}

/* As a request that changes rows, but there is none that it comes to. */
static void on_withdrawn(void *arg, const struct h2_exchange *e)
{
	struct session_http2 *h = arg;
	uint16_t begun = e->version_begun < TW_MAX_VERSIONS ? e->version_begun : 0;

	h->open[begun]--;
	h->rows[begun].c[TW_L_MOVED]++;
}

/* ---- from and to the rest of the session ------------------------------------------------------------------------- */

int http2_begin(struct session *s)
{
	const struct h2_limits limits = {
		.memory = MEMORY,
		.connections = CONNECTIONS,
		.streams = STREAMS,
		.header_list = HEADER_LIST,
		.long_lived = LONG_LIVED * NS,
	};
	struct session_http2 *h = calloc(1, sizeof(*h));
	struct h2_sink sink = { .begun = on_begun, .ended = on_ended, .withdrawn = on_withdrawn, .arg = h };

	if (!h)
		return -ENOMEM;
	h->s = s;
	s->http2 = h;
	h->overdue = calloc((size_t)TW_MAX_VERSIONS * TW_MAX_ENDPOINTS, sizeof(*h->overdue));
	h->lib = http2__new(&limits, &sink);
	if (!h->lib || !h->overdue)
		return -ENOMEM;
	http2__timeout(h->lib, (uint64_t)(s->config->gate.timeout * 1e9));
	return 0;
}

void http2_end(struct session *s)
{
	if (!s->http2)
		return;
	http2__free(s->http2->lib);
	free(s->http2->unsaid);
	free(s->http2->overdue);
	free(s->http2);
	s->http2 = NULL;
}

void http2_record(struct session *s, const void *record, size_t len)
{
	int err = http2__record(s->http2->lib, record, len);

	if (err == -EINVAL)
		log_debug("a record of HTTP/2 frames makes no sense");
}

static void tell_gone(struct session_http2 *h, const struct unsaid *u)
{
	struct {
		struct tw_h2_record r;
		struct tw_h2_item i;
	} gone = {
		.r = { .type = TW_R_H2,
		       .len = sizeof(gone.i),
		       .flags = TW_H2_REQUESTS,
		       .conn = u->conn,
		       .t = (uint64_t)(session_now() * 1e9) },
		.i = { .at = u->err, .what = TW_H2_GONE },
	};

	http2__record(h->lib, &gone, sizeof(gone));
}

static void tell_unsaid(struct session_http2 *h)
{
	for (size_t i = 0; i < h->n_unsaid; i++)
		tell_gone(h, &h->unsaid[i]);
	h->n_unsaid = 0;
}

static bool has_room(struct session_http2 *h)
{
	size_t room = h->room_unsaid ? 2 * h->room_unsaid : 256;
	struct unsaid *more;

	if (h->n_unsaid < h->room_unsaid)
		return true;
	more = room <= CONNECTIONS ? realloc(h->unsaid, room * sizeof(*more)) : NULL;
	if (!more)
		return false;
	h->unsaid = more;
	h->room_unsaid = room;
	return true;
}

static void on_unsaid(void *arg, uint64_t conn, uint32_t err)
{
	struct session_http2 *h = arg;
	struct unsaid u = { conn, err };

	if (has_room(h))
		h->unsaid[h->n_unsaid++] = u;
	else
		tell_gone(h, &u); /* what is in the ring may make it known again: in flight, until the end */
}

void http2_sweep(struct session *s)
{
	loader__h2_unsaid(s->loader, on_unsaid, s->http2);
	tell_unsaid(s->http2);
}

static bool follows(void *arg, uint64_t conn)
{
	return http2__follows(arg, conn);
}

void http2_keep(struct session *s, double now)
{
	struct session_http2 *h = s->http2;

	if (now < h->sweep_at)
		return;
	h->sweep_at = now + 1;
	/* Those of the last time: the ring has been empty since. */
	if (s->ring_empty)
		tell_unsaid(h);
	loader__h2_unsaid(s->loader, on_unsaid, h);
	if (now < h->forget_at)
		return;
	h->forget_at = now + FORGET_EVERY;
	http2__forget(h->lib, (uint64_t)((now - OVER) * 1e9));
	loader__h2_forget(s->loader, (uint64_t)((now - EARLY) * 1e9), follows, h->lib);
}

void http2_ledger_add(const struct session *s, struct tw_ledger_row *rows)
{
	if (!s->http2)
		return;
	for (int v = 0; v < TW_MAX_VERSIONS; v++)
		for (int i = 0; i < TW_L_NR; i++)
			rows[v].c[i] += s->http2->rows[v].c[i];
}

uint64_t http2_requests(const struct session *s, size_t row)
{
	return s->http2 ? s->http2->rows[row].c[TW_L_REQUESTS] : 0;
}

uint64_t http2_joined_unknown(const struct session *s, size_t version)
{
	return s->http2 ? s->http2->joined_unknown[version] : 0;
}

static void on_open(void *arg, const struct h2_exchange *e)
{
	struct session_http2 *h = arg;
	uint16_t begun = e->version_begun < TW_MAX_VERSIONS ? e->version_begun : 0;
	uint16_t version = e->version < TW_MAX_VERSIONS ? e->version : 0;

	if (!h->oldest[begun] || e->t_start < h->oldest[begun])
		h->oldest[begun] = e->t_start;
	if (!version || e->long_lived || e->t_first || !e->t_whole || h->now < e->t_whole ||
	    h->now - e->t_whole <= (uint64_t)(h->s->config->gate.timeout * 1e9))
		return;
	h->overdue[(size_t)version * TW_MAX_ENDPOINTS + exchange_endpoint(h, e)]++;
}

void http2_inflight_add(struct session *s, struct inflight_counts *f)
{
	struct session_http2 *h = s->http2;

	memset(h->overdue, 0, (size_t)TW_MAX_VERSIONS * TW_MAX_ENDPOINTS * sizeof(*h->overdue));
	memset(h->oldest, 0, sizeof(h->oldest));
	h->now = (uint64_t)(session_now() * 1e9);
	http2__each_open(h->lib, on_open, h);
	for (int v = 0; v < TW_MAX_VERSIONS; v++) {
		f->requests[v] += h->open[v];
		if (h->oldest[v] && (!f->oldest[v] || h->oldest[v] < f->oldest[v]))
			f->oldest[v] = h->oldest[v];
	}
}

/* The library's clock stands still while nothing comes. */
static void on_open_stream(void *arg, const struct h2_exchange *e)
{
	struct session_http2 *h = arg;
	struct h2_exchange now = *e;

	if (!e->version || e->version >= TW_MAX_VERSIONS || !e->t_first)
		return;
	now.long_lived |= h->now > e->t_first && h->now - e->t_first >= LONG_LIVED * NS;
	if (now.long_lived)
		streams_look_at(h->s, e->version, exchange_endpoint(h, e), &now);
}

void http2_streams_look(struct session *s)
{
	struct session_http2 *h = s->http2;

	h->now = (uint64_t)(session_now() * 1e9);
	streams_look_begins(s);
	http2__each_open(h->lib, on_open_stream, h);
}

uint32_t http2_overdue(const struct session *s, size_t version, size_t endpoint)
{
	return s->http2->overdue[version * TW_MAX_ENDPOINTS + endpoint];
}

void http2_coverage_fill(const struct session *s, struct http2_coverage *c)
{
	struct h2_counts n;

	http2__counts(s->http2->lib, &n);
	*c = (struct http2_coverage){
		.connections = n.connections,
		.joined = n.joined,
		.requests = n.requests,
		.unknown = n.unknown_requests + n.unknown_statuses,
		.desynchronised = n.desynchronised,
		.resynchronised = n.resynchronised,
		.malformed = n.malformed,
		.withdrawn = n.withdrawn,
		.shed = n.shed_connections + n.shed_streams,
		.open = n.open,
		.memory_max = n.memory_max,
	};
}
