// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "ticklog/replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "judge/endpoint.h"
#include "ticklog/judged.h"

struct replay {
	const struct config *other;
	struct gate_policy policy;
	struct judge *judge;
	size_t n; /* endpoints of the judge */

	size_t *place; /* [cap_place]: the judge's number of the log's endpoint */
	size_t n_logged, cap_place;

	bool ticking;   /* the first tick has come */
	size_t *at;     /* [other->n_routes]: the judge's number of the configuration's entry + 1; 0: none yet */
	bool *unserved; /* the same */
	struct tick_given given;
};

struct replay *replay__new(const struct config *other)
{
	struct replay *r = calloc(1, sizeof(*r));
	size_t n = other ? other->n_routes : 0;

	if (!r)
		return NULL;
	r->other = other;
	r->at = calloc(n + 1, sizeof(*r->at));
	r->unserved = calloc(n + 1, sizeof(*r->unserved));
	if (!r->at || !r->unserved) {
		replay__free(r);
		return NULL;
	}
	return r;
}

void replay__free(struct replay *r)
{
	if (!r)
		return;
	judge__free(r->judge);
	tick_given__free(&r->given);
	free(r->place);
	free(r->at);
	free(r->unserved);
	free(r);
}

const struct gate_policy *replay__policy(const struct replay *r)
{
	return &r->policy;
}

void replay__verdict(struct replay *r, struct verdict *out)
{
	judge__verdict(r->judge, out);
}

const char *replay__unserved(const struct replay *r, size_t i)
{
	for (size_t k = 0; r->other && k < r->other->n_routes; k++)
		if (r->unserved[k] && !i--)
			return r->other->routes[k].name;
	return NULL;
}

static int add_cutover(struct replay *r, const struct judge_cutover *c, struct err *e)
{
	int index = judge__add_cutover(r->judge, c);

	return index < 0 ? err_set(e, -index, "the judge refuses the cut-over unit: %s", strerror(-index)) : 0;
}

/* The configuration's units are instead of the log's: endpoints that it does not name are in none then. */
static bool other_units(const struct replay *r)
{
	return r->other && r->other->n_units;
}

static int take_header(struct replay *r, const struct log_header *h, struct err *e)
{
	r->policy = h->policy;
	if (r->other) {
		r->policy = r->other->gate;
		r->policy.warmup = h->policy.warmup;
		r->policy.tick = h->policy.tick;
		r->policy.timeout = h->policy.timeout;
		r->policy.bad = h->policy.bad;
	}
	r->judge = judge__new(&r->policy);
	if (!r->judge)
		return err_set(e, errno, errno == EINVAL ? "the policy has no meaning" : "out of memory");
	for (size_t i = 0; other_units(r) && i < r->other->n_units; i++) {
		const struct judge_cutover unit = judge_cutover__of(r->other, i);
		int err = add_cutover(r, &unit, e);

		if (err)
			return err;
	}
	return 0;
}

/* The configuration's entry of that name, or the number of entries. */
static size_t entry_of(const struct replay *r, const char *name)
{
	size_t k = 0;

	while (r->other && k < r->other->n_routes && strcmp(r->other->routes[k].name, name))
		k++;
	return k;
}

static int add(struct replay *r, const struct judge_endpoint *ep, struct err *e)
{
	int index = judge__add_endpoint(r->judge, ep);

	if (index < 0)
		return err_set(e, -index, "the judge refuses the endpoint: %s", strerror(-index));
	r->n = (size_t)index + 1;
	return index;
}

static int take_endpoint(struct replay *r, const struct log_endpoint *record, struct err *e)
{
	size_t k = entry_of(r, record->def.name);
	bool is_named = r->other && k < r->other->n_routes;
	struct judge_endpoint ep;
	int index;

	if (r->n_logged == r->cap_place) {
		size_t cap = r->cap_place ? 2 * r->cap_place : 16;
		size_t *grown = reallocarray(r->place, cap, sizeof(*grown));

		if (!grown)
			return err_set(e, ENOMEM, "out of memory");
		r->place = grown;
		r->cap_place = cap;
	}
	/* Served at last. */
	if (is_named && r->at[k]) {
		r->place[r->n_logged++] = r->at[k] - 1;
		return 0;
	}
	ep = record->def;
	if (other_units(r))
		ep.cutover = 0;
	if (is_named)
		judge_endpoint__apply(&ep, r->other, &r->other->routes[k]);
	index = add(r, &ep, e);
	if (index < 0)
		return index;
	if (is_named)
		r->at[k] = r->n;
	r->place[r->n_logged++] = (size_t)index;
	return 0;
}

/* When watching, the configuration's endpoints are judged from the first tick on, served or not. */
static int add_unserved(struct replay *r, struct err *e)
{
	r->ticking = true;
	for (size_t k = 0; r->other && k < r->other->n_routes; k++) {
		const struct route *route = &r->other->routes[k];
		struct judge_endpoint ep = judge_endpoint__watched(route->name, r->other, route);
		int index;

		if (r->at[k])
			continue;
		index = add(r, &ep, e);
		if (index < 0)
			return index;
		r->at[k] = r->n;
		r->unserved[k] = true;
	}
	return 0;
}

static int take_tick(struct replay *r, const struct log_tick *record, struct err *e)
{
	int err = r->ticking ? 0 : add_unserved(r, e);

	if (err)
		return err;
	err = tick_given__fill(&r->given, r->judge, record, r->place, r->n);
	if (err)
		return err_set(e, -err, "out of memory");
	err = judge__tick(r->judge, &r->given.tick, r->n);
	if (err)
		return err_set(e, -err,
		               "the judge refuses this tick: time runs backwards in it, or there are more errors "
		               "than exchanges%s",
		               record->verdict.given ? "" : ", as it did then");
	return 0;
}

int replay__take(struct replay *r, const struct log_record *record, struct err *e)
{
	if (!r->judge != (record->kind == LOG_HEADER))
		return err_set(e, EINVAL, "a header at the wrong place");
	switch (record->kind) {
	case LOG_HEADER:
		return take_header(r, &record->header, e);
	case LOG_CUTOVER:
		return other_units(r) ? 0 : add_cutover(r, &record->cutover.def, e);
	case LOG_ENDPOINT:
		return take_endpoint(r, &record->endpoint, e);
	case LOG_TICK:
		return take_tick(r, &record->tick, e);
	case LOG_END:
		return 0;
	}
	return -EINVAL;
}
