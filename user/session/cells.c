// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/route_key.h"
#include "session/internal.h"
#include "tw_rule.h"
#include "tw_status.h"

/* Index -> status code, from the table that the kernel's programs use the other way round. */
static const uint16_t *status_codes(void)
{
	static uint16_t codes[TW_STATUS_NR];

	if (!codes[2])
		for (unsigned int code = 0; code < TW_STATUS_TABLE; code++)
			if (tw_status_index[code])
				codes[tw_status_index[code]] = (uint16_t)code;
	return codes;
}

struct cell *cell_get(struct session *s, uint16_t version, uint16_t endpoint)
{
	size_t at = (size_t)version * TW_MAX_ENDPOINTS + endpoint;
	struct cell *c = s->cells[at];

	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->total.lat = &c->lat;
	c->version = version;
	c->endpoint = endpoint;
	c->total.present = true;
	cell_rule(c, &s->rules[endpoint < s->n_rules ? endpoint : 0], s->config->gate.timeout);
	c->slot = loader__slot(s->loader, version, endpoint);
	if (c->slot < 0) {
		log_debug("no slot for version %u, endpoint %u: its exchanges come as records", version, endpoint);
		c->slot = 0;
	}
	s->cells[at] = c;
	s->live[s->n_live++] = c;
	return c;
}

void cells_free(struct session *s)
{
	for (size_t i = 0; i < s->n_live; i++) {
		free(s->live[i]->total.status);
		free(s->live[i]->total.streams);
		latencies__free(&s->live[i]->lat);
		free(s->live[i]->tick_waited);
		free(s->live[i]);
	}
	free(s->live);
	free(s->cells);
}

/* ---- counters ---------------------------------------------------------------------------------------------------- */

/* Neither a success nor an error: a canary that sends its users elsewhere, or knows no such page any more. */
static bool is_turned_away(const struct tw_rule *rule, unsigned int status)
{
	if (status > TW_STATUS_GRPC && status < TW_STATUS_UNKNOWN)
		return !(rule->grpc >> (status - TW_STATUS_GRPC) & 1);
	return status >= 300 && status < 500 && !(rule->statuses[status >> 6] >> (status & 63) & 1);
}

int cell_add(struct cell *c, const struct tw_counters *now)
{
	const struct tw_counters *last = &c->last;
	const uint16_t *codes = status_codes();

	groups_add(c, now);
	c->total.requests += now->exchanges - last->exchanges;
	c->tick_n += now->exchanges - last->exchanges;
	c->total.connections += now->connections - last->connections;
	for (int i = 0; i < TW_OUTCOME_NR; i++) {
		uint32_t n = now->outcome[i] - last->outcome[i];

		c->total.outcome[i] += n;
		c->total.cut[i] += (uint32_t)(now->cut[i] - last->cut[i]);
		c->tick_outcome[i] += n;
	}
	for (int i = 2; i < TW_STATUS_NR; i++) {
		uint32_t n = now->status[i] - last->status[i];

		if (n && arm_status_add(&c->total, codes[i], n))
			return -ENOMEM;
		if (is_turned_away(c->rule, codes[i]))
			c->tick_turned_away += n;
	}
	c->total.bad += (uint32_t)(now->bad - last->bad);
	c->tick_bad += (uint32_t)(now->bad - last->bad);
	return 0;
}

static struct histogram *cell_waited(struct cell *c)
{
	if (!c->tick_waited)
		c->tick_waited = calloc(1, sizeof(*c->tick_waited));
	return c->tick_waited;
}

static int cell_times(struct cell *c, const struct tw_series *now)
{
	static struct histogram waited;
	struct histogram *const gained[TW_LAT_NR] = {
		[TW_LAT_SERVER] = &c->tick_latency,
		[TW_LAT_WAITED] = &waited,
	};
	int err = latencies__follow(&c->lat, now, gained);

	if (!waited.count)
		return err;
	if (cell_waited(c))
		histogram_merge(c->tick_waited, &waited);
	else
		err = -ENOMEM;
	memset(&waited, 0, sizeof(waited));
	return err;
}

int cells_read(struct session *s)
{
	static struct tw_series now;

	for (size_t i = 0; i < s->n_live; i++) {
		struct cell *c = s->live[i];
		int err;

		if (!c->slot)
			continue;
		err = loader__read_slot(s->loader, (unsigned int)c->slot, &now);
		if (err)
			return err;
		if (!memcmp(&now.c, &c->last, sizeof(now.c)))
			continue;
		err = cell_add(c, &now.c);
		if (!err)
			err = cell_times(c, &now);
		if (err)
			return err;
		c->last = now.c;
	}
	return 0;
}

/* What was known before is not taken back: an exchange may have ended between the two counts. */
void cell_overdue_enter(struct cell *c, uint64_t n)
{
	uint64_t known = c->total.outcome[TW_TIMEOUT] + n;

	if (known > c->timeouts)
		c->timeouts = known;
}

uint64_t cell_overdue(const struct cell *c)
{
	uint64_t ended = c->total.outcome[TW_TIMEOUT];

	return c->timeouts > ended ? c->timeouts - ended : 0;
}

void cell_rule(struct cell *c, const struct tw_rule *rule, double timeout)
{
	c->rule = rule;
	/* It will be a timeout that no byte came before, after at least as long as it has waited now. */
	c->overdue_is_bad = tw_is_bad(rule, 0, TW_TIMEOUT, 0, (uint64_t)(timeout * 1e9) + 1);
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static void on_route(struct session *s, const struct tw_route_record *r, size_t len)
{
	bool other = false;
	uint16_t ep;

	const size_t head = offsetof(struct tw_route_record, text);

	if (len < head || r->len > TW_PATH_MAX || len < head + r->len)
		return;
	ep = routes__name(s->routes, r->text, r->len, r->flags & TW_ROUTE_TRUNCATED, &other);
	loader__route(s->loader, r->hash, ep);
}

/* The endpoint of an exchange that ended before its route was named; 0: it has none. */
uint16_t hash_endpoint(struct session *s, uint64_t hash, uint16_t endpoint)
{
	if (endpoint && endpoint != TW_EP_PENDING)
		return endpoint;
	endpoint = loader__route_find(s->loader, hash);
	return endpoint == TW_EP_PENDING ? 0 : endpoint;
}

static uint16_t record_endpoint(struct session *s, const struct tw_exchange_record *r)
{
	uint16_t ep = hash_endpoint(s, r->hash, r->endpoint);

	if (ep)
		return ep;
	s->unnamed++;
	return routes__other(s->routes);
}

static uint16_t record_version(struct session *s, uint16_t version, uint32_t tgid)
{
	if (version || !tgid)
		return version;
	version = version_of_process(s, tgid);
	if (version)
		loader__process(s->loader, tgid, version);
	return version;
}

static bool record_is_bad(const struct tw_rule *rule, const struct tw_exchange_record *r)
{
	uint64_t took = r->lat[TW_LAT_SERVER] == TW_NOT_MEASURED ? r->waited : r->lat[TW_LAT_SERVER];

	return tw_is_bad(rule, r->status, r->outcome, r->cut, took);
}

/* What the kernel counts by groups of connections, of an exchange that it did not count. */
static void record_group(struct cell *c, const struct tw_exchange_record *r, bool bad)
{
	struct connection_groups *g = &c->tick_groups;
	unsigned int i = r->group % TW_GROUPS;

	g->n[i]++;
	g->bad[i] += bad;
	if (c->slow_from && r->lat[TW_LAT_SERVER] != TW_NOT_MEASURED)
		g->slow[i] += histogram_bucket(r->lat[TW_LAT_SERVER]) >= (unsigned int)c->slow_from;
}

struct cell *exchange_enter(struct session *s, const struct tw_exchange_record *r)
{
	uint16_t version = record_version(s, r->version, r->tgid), endpoint;
	struct cell *c;
	bool bad, undecided;

	if (!version) {
		/* Read by a process of no version that shares the port, or by nobody. */
		if (r->tgid)
			s->foreign++;
		else
			s->unattributed++;
		return NULL;
	}
	endpoint = record_endpoint(s, r);
	c = is_version(s, version) && endpoint < TW_MAX_ENDPOINTS ? cell_get(s, version, endpoint) : NULL;
	if (!c) {
		s->lost_in_user_space++;
		return NULL;
	}
	c->total.requests++;
	c->tick_n++;
	c->total.connections += r->new_connection;
	c->total.outcome[r->outcome % TW_OUTCOME_NR]++;
	c->tick_outcome[r->outcome % TW_OUTCOME_NR]++;
	c->total.cut[r->outcome % TW_OUTCOME_NR] += r->cut;
	if (r->status && r->status < STATUS_MAX && arm_status_add(&c->total, r->status, 1))
		s->lost_in_user_space++;
	c->tick_turned_away += is_turned_away(c->rule, r->status);
	bad = record_is_bad(c->rule, r);
	undecided = r->status == TW_STATUS_UNKNOWN && !bad;
	c->tick_undecided += undecided;
	c->total.bad += bad;
	c->tick_bad += bad;
	record_group(c, r, bad);
	for (int k = 0; k < TW_LAT_NR; k++)
		if (r->lat[k] != TW_NOT_MEASURED && latencies__add(&c->lat, k, r->lat[k]))
			s->lost_in_user_space++;
	if (r->lat[TW_LAT_SERVER] != TW_NOT_MEASURED && !undecided)
		histogram_add(&c->tick_latency, r->lat[TW_LAT_SERVER]);
	if (r->lat[TW_LAT_WAITED] == TW_NOT_MEASURED)
		return c;
	if (cell_waited(c))
		histogram_add(c->tick_waited, r->lat[TW_LAT_WAITED]);
	else
		s->lost_in_user_space++;
	return c;
}

/* It follows the record of its exchange, which has made the cell; without, the time would be nobody's. */
static void on_drain(struct session *s, const struct tw_drain_record *r)
{
	uint16_t version = record_version(s, r->version, r->tgid), ep = hash_endpoint(s, r->hash, r->endpoint);
	struct cell *c;

	if (!ep)
		ep = routes__other(s->routes);
	if (!version || !is_version(s, version) || ep >= TW_MAX_ENDPOINTS)
		return;
	c = s->cells[(size_t)version * TW_MAX_ENDPOINTS + ep];
	if (c && latencies__add(&c->lat, TW_LAT_DRAIN, r->took))
		log_debug("out of memory for the time that an answer drained");
}

int record_handle(void *arg, void *data, size_t len)
{
	struct session *s = arg;
	uint32_t type;

	if (len < sizeof(type))
		return 0;
	memcpy(&type, data, sizeof(type));
	if (type == TW_R_ROUTE) {
		on_route(s, data, len);
	} else if (type == TW_R_EXCHANGE && len >= sizeof(struct tw_exchange_record)) {
		exchange_enter(s, data);
	} else if (type == TW_R_PROCESS && len >= sizeof(struct tw_process_record)) {
		on_process(s, data);
	} else if (type == TW_R_LISTEN) {
		versions_look_again(s, RESOLVE_SOON);
		s->listeners_changed = true;
	} else if (type == TW_R_DETAIL && len >= sizeof(struct tw_detail_record)) {
		on_detail(s, data);
	} else if (type == TW_R_FORK && len >= sizeof(struct tw_fork_record)) {
		on_fork(s, data);
	} else if (type == TW_R_DRAIN && len >= sizeof(struct tw_drain_record)) {
		on_drain(s, data);
	} else if (type == TW_R_TLS && len >= sizeof(struct tw_tls_record)) {
		tls_unread(s, data);
	} else if (type == TW_R_H2) {
		http2_record(s, data, len);
	}
	return --s->records_left ? 0 : -EAGAIN;
}

/* ---- the config's endpoints -------------------------------------------------------------------------------------- */

/* Names the config's routes before their first request, so that it already counts in the kernel. */
int routes_announce_config(struct session *s)
{
	for (size_t i = 0; i < s->config->n_routes; i++) {
		const struct route *r = &s->config->routes[i];
		uint64_t hash;

		if (!strcmp(r->method, "*") || route_key(s->seed, r->method, r->path, &hash))
			continue;
		loader__route(s->loader, hash, (uint16_t)(i + 1));
		for (size_t v = 0; v < s->config->n_versions; v++)
			if (!cell_get(s, (uint16_t)(v + 1), (uint16_t)(i + 1)))
				return -ENOMEM;
	}
	return 0;
}
