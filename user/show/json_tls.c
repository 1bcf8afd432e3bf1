// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* "tls": what of it was seen, what was read, and why some was not. */
#include <math.h>

#include "show/figures.h"
#include "show/json_put.h"

/* Those that nearly everybody speaks always, others where there were any. */
static void put_negotiated(struct document *d, cJSON *tls, const struct tls_coverage *t)
{
	cJSON *o = put_object(d, tls, "versions");

	for (int i = TLS_PROTOCOL_NR; i-- > 0;)
		if (t->negotiated[i] || i == TLS_1_2 || i == TLS_1_3)
			put_count(d, o, tls_protocol_names[i], t->negotiated[i]);
}

static void put_names(struct document *d, cJSON *tls, const struct tls_coverage *t)
{
	cJSON *list = put_list(d, tls, "names"), *o;

	for (size_t i = 0; i < t->n_names && !d->failed; i++) {
		o = put_object(d, list, NULL);
		put_string(d, o, "version", t->names[i].version);
		put_string(d, o, "name", t->names[i].name);
		put_string(d, o, "tls", tls_protocol_names[t->names[i].protocol]);
		put_count(d, o, "connections", t->names[i].connections);
	}
	if (!t->other_names)
		return;
	o = put_object(d, list, NULL);
	put_null(d, o, "version");
	put_null(d, o, "name");
	put_null(d, o, "tls");
	put_count(d, o, "connections", t->other_names);
}

static void put_reasons(struct document *d, cJSON *tls, const struct tls_coverage *t)
{
	cJSON *list = put_list(d, tls, "opaque_reasons"), *o;

	for (size_t i = 0; i < t->n_reasons && !d->failed; i++) {
		const struct tls_reason *r = &t->reasons[i];

		o = put_object(d, list, NULL);
		put_string(d, o, "version", r->version);
		put_count_if(d, o, "process", r->pid, (uint64_t)r->pid);
		put_string(d, o, "comm", r->pid ? r->comm : NULL);
		put_count_if(d, o, "processes", r->pid, r->alike);
		put_string(d, o, "text", r->text);
	}
}

void put_tls(struct document *d, cJSON *coverage, const struct tls_coverage *t)
{
	cJSON *o = put_object(d, coverage, "tls");

	put_count(d, o, "connections", t->connections);
	put_count_if(d, o, "read", t->read_measured, t->read);
	put_count(d, o, "opaque", t->opaque);
	put_count(d, o, "withheld", t->withheld);
	put_count_if(d, o, "unjoined", t->read_measured, t->unjoined);
	put_count_if(d, o, "mismatched", t->read_measured, t->mismatched);
	put_count(d, o, "unframed", t->unframed);
	put_negotiated(d, o, t);
	put_names(d, o, t);
	put_reasons(d, o, t);
}

static void put_turn_time(struct document *d, cJSON *latency, const char *key, const struct histogram *h)
{
	static const struct quantile quantiles[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p95", 0.95 }, { "p99", 0.99 } };
	cJSON *o = put_object(d, latency, key);

	put_count(d, o, "count", h->count);
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++)
		put_number(d, o, quantiles[i].name, histogram_quantile(h, quantiles[i].q));
	put_number(d, o, "max", h->count ? (double)h->max / 1e9 : NAN);
	put_number(d, o, "mean", h->count ? histogram_mean(h) : NAN);
}

static void put_turns(struct document *d, cJSON *tls, const char *key, const struct tls_turns *t)
{
	cJSON *o = put_object(d, tls, key), *outcomes, *latency;

	put_bool(d, o, "judged", false);
	put_count(d, o, "begun", t->begun);
	put_count(d, o, "count", tls_turns__ended(t));
	outcomes = put_object(d, o, "outcomes");
	for (int i = 0; i < TW_OUTCOME_NR; i++)
		put_count(d, outcomes, outcome_names[i], t->outcome[i]);
	latency = put_object(d, o, "latency");
	put_turn_time(d, latency, "first_byte", &t->first_byte);
	put_turn_time(d, latency, "last_byte", &t->last_byte);
}

void put_tls_version(struct document *d, cJSON *version, const struct tls_version *t)
{
	cJSON *o = put_object(d, version, "tls"), *workers;

	put_count(d, o, "connections", t->connections);
	put_count_if(d, o, "read", t->read_measured, t->read);
	put_count(d, o, "opaque", t->opaque);
	put_count(d, o, "withheld", t->withheld);
	workers = put_object(d, o, "workers");
	put_count_if(d, workers, "known", t->workers, t->workers);
	put_count_if(d, workers, "read", t->workers, t->workers_read);
	put_turns(d, o, "turns", &t->turns);
	put_turns(d, o, "withheld_turns", &t->withheld_turns);
}

void put_tls_overhead(struct document *d, cJSON *overhead, const struct tls_overhead *t)
{
	static const char *const kinds[] = { "emulated", "stepped", "returned" };
	const double trap[] = { t->trap.emulated, t->trap.stepped, t->trap.returned };
	cJSON *o, *traps, *each;

	if (!t->watched) {
		put_null(d, overhead, "tls");
		return;
	}
	o = put_object(d, overhead, "tls");
	put_bool(d, o, "estimated", true);
	put_number(d, o, "ns_per_exchange", t->per_exchange * 1e9);
	put_number(d, o, "cores", t->cores);
	put_number(d, o, "of_service", t->of_service);
	traps = put_object(d, o, "traps_per_second");
	each = put_object(d, o, "ns_per_trap");
	for (int i = 0; i < 3; i++) {
		put_number(d, traps, kinds[i], t->traps[i]);
		put_number(d, each, kinds[i], trap[i] * 1e9);
	}
	put_number(d, o, "budget", isfinite(t->budget) ? t->budget : NAN);
	put_bool(d, o, "exceeded", t->exceeded);
}
