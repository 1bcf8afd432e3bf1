/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "show/format.h"
#include "show/parts.h"

struct coverage_item {
	const char *key, *words;
	uint64_t n;
	bool always;
};

#define COVERAGE_ITEMS 15

static void coverage_items(const struct comparison *c, struct coverage_item items[COVERAGE_ITEMS])
{
	const struct coverage *cov = &c->coverage;
	const struct coverage_item all[COVERAGE_ITEMS] = {
		{ "connections", "connections", cov->connections, true },
		{ "decoded", "decoded", cov->decoded, true },
		{ "opaque_tls", "opaque TLS", cov->opaque_tls, true },
		{ "not_http", "not HTTP", cov->not_http, true },
		{ "desynchronised", "desynchronised", cov->desynchronised, true },
		{ "unattributed", "unattributed", cov->unattributed, true },
		{ "lost", "lost", c->ledger.lost_exchanges, true },
		{ "lost_events", "lost events", c->ledger.lost_events, false },
		{ "http2", "HTTP/2", cov->http2, false },
		{ "withdrawn", "withdrawn", cov->h2.withdrawn, false },
		{ "upgraded", "upgraded", cov->upgraded, false },
		{ "resynchronised", "resynchronised", cov->resynchronised, false },
		{ "midstream", "joined midstream", cov->midstream, false },
		{ "unnamed", "unnamed", cov->unnamed, false },
		{ "foreign", "of processes of no version", cov->foreign, false },
	};

	for (int i = 0; i < COVERAGE_ITEMS; i++)
		items[i] = all[i];
}

void part_coverage(struct frame *f, const struct comparison *c)
{
	struct coverage_item items[COVERAGE_ITEMS];
	bool complete = is_complete(c);
	struct line l;

	coverage_items(c, items);
	line_init_long(&l);
	if (f->terminal)
		line_put(&l, complete ? "Coverage complete" : "COVERAGE INCOMPLETE");
	else
		line_put(&l, complete ? "coverage complete" : "coverage INCOMPLETE");
	for (int i = 0; i < COVERAGE_ITEMS; i++) {
		if (!items[i].n && !items[i].always)
			continue;
		if (f->terminal)
			line_put(&l, "%s%s %s", i ? ", " : ": ", format_count(items[i].n).s, items[i].words);
		else
			line_put(&l, " %s=%" PRIu64, items[i].key, items[i].n);
	}
	if (c->cost.shed_seconds > 0)
		line_put(&l,
		         f->terminal ? "; who cut what was not asked for %s (%s times)"
		                     : " details_shed_for=%s details_shed=%s",
		         f->terminal ? format_span(c->cost.shed_seconds).s
		                     : format_joined(format_span(c->cost.shed_seconds)).s,
		         format_count(c->cost.details_shed).s);
	if (!c->coverage.queue_measured)
		line_put(&l, f->terminal ? "; queue time is not measured" : " queue=not_measured");
	if (!c->ledger.in_flight_measured)
		line_put(&l, f->terminal ? "; what is in flight is not measured" : " in_flight=not_measured");
	frame_prose(f, complete ? RANK_COVERAGE : RANK_STAYS, complete ? PLAIN : RED, 0, "%s", l.text);
}

static void put_unbalanced(struct frame *f, const char *name, const struct ledger_figures *l)
{
	if (f->terminal)
		frame_prose(f, RANK_STAYS, RED, 0,
		            "LEDGER OF %s DOES NOT BALANCE: %s seen, %s ended, %s in flight, %s lost: %s missing, "
		            "%s counted twice",
		            name, format_count(l->seen).s, format_count(l->ended).s, format_count(l->in_flight).s,
		            format_count(l->lost_exchanges).s, format_count(l->missing).s, format_count(l->surplus).s);
	else
		frame_prose(f, RANK_STAYS, PLAIN, 0,
		            "ledger %s UNBALANCED seen=%" PRIu64 " ended=%" PRIu64 " in_flight=%" PRIu64
		            " lost=%" PRIu64 " missing=%" PRIu64 " surplus=%" PRIu64,
		            name, l->seen, l->ended, l->in_flight, l->lost_exchanges, l->missing, l->surplus);
}

/* No "=" between them: what begins or ends while the connections are walked is in one figure and not in the other. */
static void put_balanced(struct frame *f, const char *name, const struct ledger_figures *l)
{
	char in_flight[48];

	if (f->terminal) {
		snprintf(in_flight, sizeof(in_flight), ", %s in flight", format_count(l->in_flight).s);
		frame_prose(f, RANK_LEDGER, PLAIN, 0, "Ledger of %s: %s seen, %s ended%s, %s lost%s", name,
		            format_count(l->seen).s, format_count(l->ended).s, l->in_flight_measured ? in_flight : "",
		            format_count(l->lost_exchanges).s, l->checked ? "" : "; not checked");
		return;
	}
	snprintf(in_flight, sizeof(in_flight), "%" PRIu64, l->in_flight);
	frame_prose(f, RANK_LEDGER, PLAIN, 0,
	            "ledger %s%s seen=%" PRIu64 " ended=%" PRIu64 " in_flight=%s lost=%" PRIu64, name,
	            l->checked ? "" : " not_checked", l->seen, l->ended,
	            l->in_flight_measured ? in_flight : "not_measured", l->lost_exchanges);
}

void part_ledger(struct frame *f, const struct comparison *c)
{
	for (size_t i = 0; i < c->n_versions; i++) {
		const struct version_figures *v = &c->versions[i];

		if (ledger_holds(&v->ledger))
			put_balanced(f, v->name, &v->ledger);
		else
			put_unbalanced(f, v->name, &v->ledger);
	}
}

/* What reading TLS costs; "estimated", because a trap is only known by what one costs on this host. */
static void put_tls_overhead(struct frame *f, const struct tls_overhead *t)
{
	struct text each = format_duration(t->per_exchange), cores = format_percent(t->cores),
		    part = format_percent(t->of_service);
	struct line l;

	line_init_long(&l);
	if (!f->terminal) {
		line_put(&l, "overhead tls estimated per_exchange=%s cores=%s of_service=%s", format_joined(each).s,
		         cores.s, part.s);
		if (isfinite(t->budget))
			line_put(&l, " budget=%s exceeded=%s", format_percent(t->budget).s, t->exceeded ? "yes" : "no");
	} else if (!isfinite(t->cores)) {
		line_put(&l, "Reading TLS: its cost is not measured");
	} else {
		line_put(&l, "Reading TLS: about ");
		if (isfinite(t->per_exchange))
			line_put(&l, "%s per request, ", each.s);
		line_put(&l, "%s of a core", cores.s);
		if (isfinite(t->of_service))
			line_put(&l, ", %s of the service's CPU time", part.s);
		if (isfinite(t->budget))
			line_put(&l, "; the budget is %s%s", format_percent(t->budget).s,
			         t->exceeded ? " and exceeded, with one worker of each version" : "");
	}
	frame_prose(f, t->exceeded ? RANK_STAYS : RANK_OVERHEAD, t->exceeded ? RED : DIM, 0, "%s", l.text);
}

void part_overhead(struct frame *f, const struct comparison *c)
{
	const struct overhead *o = &c->overhead;
	struct text kernel = format_duration(o->kernel_ns_per_request / 1e9), cpu = format_percent(agent_share(c));
	struct text memory = o->agent_rss_bytes ? format_bytes(o->agent_rss_bytes) : format_duration(NAN);
	struct line l;

	line_init_long(&l);
	if (!f->terminal) {
		line_put(&l, "overhead kernel_per_request=%s agent_cpu=%s agent_rss=%s", format_joined(kernel).s, cpu.s,
		         format_joined(memory).s);
	} else {
		line_put(&l, "Overhead: kernel ");
		line_put(&l, isfinite(o->kernel_ns_per_request) ? "%s per request" : "not measured", kernel.s);
		line_put(&l, isfinite(agent_share(c)) ? ", agent %s of a core" : ", agent not measured", cpu.s);
		if (o->agent_rss_bytes)
			line_put(&l, " and %s", memory.s);
	}
	frame_prose(f, RANK_OVERHEAD, DIM, 0, "%s", l.text);
	if (o->tls.watched)
		put_tls_overhead(f, &o->tls);
}

void part_notes(struct frame *f, const struct comparison *c, unsigned int rank)
{
	for (size_t i = 0; i < c->n_notes; i++)
		frame_prose(f, rank, PLAIN, 0, f->terminal ? "%s" : "note %s", c->notes[i]);
}

/* "v2: 3 unanswered, 1 reset_by_server" */
static void put_outcomes(struct line *l, const struct comparison *c, enum arm arm, const struct arm_figures *a)
{
	const char *separator = ": ";

	line_put(l, "%s%s", l->len ? "; " : "", a->version ? a->version : arm_label(c, arm));
	for (int i = TW_ANSWERED + 1; i < TW_OUTCOME_NR; i++) {
		if (!a->outcome[i])
			continue;
		line_put(l, "%s%s %s", separator, format_count(a->outcome[i]).s, outcome_names[i]);
		separator = ", ";
	}
}

void part_outcomes(struct frame *f, const struct comparison *c, const struct endpoint_figures *ep)
{
	struct line l;

	line_init_long(&l);
	for (int arm = 0; arm < ARM_NR; arm++)
		if (has_abnormal_outcomes(&ep->arm[arm]))
			put_outcomes(&l, c, arm, &ep->arm[arm]);
	if (!l.len)
		return;
	if (f->terminal)
		frame_prose(f, RANK_STAYS, YELLOW, 4, "%s", l.text);
	else
		frame_prose(f, RANK_STAYS, PLAIN, 0, "outcomes \"%s\" %s", ep->name, l.text);
}

void part_folded(struct frame *f, const struct endpoint_figures *const *list, size_t first, size_t n)
{
	uint64_t requests = 0;

	if (first >= n)
		return;
	for (size_t i = first; i < n; i++)
		requests += endpoint_requests(list[i]);
	if (f->terminal)
		frame_prose(f, RANK_STAYS, DIM, 2, "... and %zu more (%s requests)", n - first,
		            format_count(requests).s);
	else
		frame_prose(f, RANK_STAYS, PLAIN, 0, "more endpoints=%zu requests=%" PRIu64, n - first, requests);
}

void part_blank(struct frame *f)
{
	frame_prose(f, RANK_BLANK, PLAIN, 0, "%s", "");
}

void part_endpoints(struct frame *f, const struct endpoint_figures *const *list, size_t n, size_t rows,
                    endpoint_block block, const void *layout)
{
	size_t used = 0, i;

	for (i = 0; i < n; i++) {
		struct frame one;

		frame_init_like(&one, f);
		block(&one, list[i], layout);
		/* The line that stands for the rest needs its room, too. */
		if (used + one.n + (i + 1 < n) > rows) {
			frame_fini(&one);
			break;
		}
		used += one.n;
		frame_append(f, &one);
	}
	if (used < rows)
		part_folded(f, list, i, n);
}
