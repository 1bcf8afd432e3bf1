// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <stdio.h>

#include "capture/features.h"
#include "rights/keeper.h"
#include "session/internal.h"

/* Run-time statistics cost two clock readings a run: they are on for a moment now and then only. */
#define STATS_EVERY 5.0
#define STATS_FOR   0.25

int ledger_read(struct session *s)
{
	int err = loader__read_ledger(s->loader, s->now);

	if (!err)
		http2_ledger_add(s, s->now);
	return err;
}

/* All versions together, since the start. */
void ledger_total(const struct session *s, struct tw_ledger_row *out)
{
	memset(out, 0, sizeof(*out));
	for (int v = 0; v < TW_MAX_VERSIONS; v++)
		for (int i = 0; i < TW_L_NR; i++)
			out->c[i] += s->now[v].c[i];
	/* In two rows, and seen once. */
	out->c[TW_L_REQUESTS] -= out->c[TW_L_MOVED];
}

static struct ledger_figures row_figures(const struct session *s, int v)
{
	const struct inflight_state *f = &s->inflight;
	const __u64 *c = s->now[v].c;

	return (struct ledger_figures){
		.seen = c[TW_L_REQUESTS] - c[TW_L_MOVED] - c[TW_L_TLS_WITHDRAWN],
		.ended = c[TW_L_ENDED],
		.lost_exchanges = c[TW_L_LOST_EXCHANGES],
		.lost_events = c[TW_L_LOST_EVENTS],
		.in_flight_measured = f->measured,
		.in_flight = f->counts.requests[v],
		.checked = ledger_is_checked(s),
		.missing = f->books[v].missing,
		.surplus = f->books[v].surplus,
	};
}

void version_ledger_fill(const struct session *s, struct version_figures *v, unsigned int row)
{
	const struct inflight_state *f = &s->inflight;

	v->ledger = row_figures(s, (int)row);
	v->in_flight_max = f->most[row];
	v->oldest = f->counts.oldest[row] ? session_now() - (double)f->counts.oldest[row] / 1e9 : NAN;
}

void ledger_fill(struct session *s, struct comparison *c)
{
	const struct feature_state *f = features__try();
	struct coverage *v = &c->coverage;
	struct ledger_figures *l = &c->ledger;
	struct tw_ledger_row t;

	ledger_total(s, &t);
	*l = row_figures(s, 0);
	for (int row = 1; row < TW_MAX_VERSIONS; row++) {
		const struct ledger_figures r = row_figures(s, row);

		l->in_flight += r.in_flight;
		l->missing += r.missing;
		l->surplus += r.surplus;
	}
	l->seen = t.c[TW_L_REQUESTS] - t.c[TW_L_TLS_WITHDRAWN];
	/* Of what ended, the part that user space could not keep. */
	l->ended = t.c[TW_L_ENDED] - s->lost_in_user_space;
	l->lost_exchanges = t.c[TW_L_LOST_EXCHANGES] + s->lost_in_user_space;
	l->lost_events = t.c[TW_L_LOST_EVENTS];
	v->connections = t.c[TW_L_CONNECTIONS];
	v->decoded = t.c[TW_L_DECODED];
	/* One service after the other (top) is given what was found for all of them together. */
	if (c == &s->comparison)
		tls_coverage_fill(s, &v->tls, &t);
	else
		v->tls = s->comparison.coverage.tls;
	v->opaque_tls = v->tls.opaque;
	http2_coverage_fill(s, &v->h2);
	v->http2 = t.c[TW_L_HTTP2];
	v->not_http = t.c[TW_L_NOT_HTTP];
	v->upgraded = t.c[TW_L_UPGRADED];
	v->desynchronised = v->h2.desynchronised + t.c[TW_L_DESYNC] + t.c[TW_L_NO_STATE] + t.c[TW_L_CONTENDED] +
	                    loader__lanes_exhausted(s->loader);
	v->resynchronised = v->h2.resynchronised + t.c[TW_L_RESYNC];
	v->midstream = t.c[TW_L_MIDSTREAM];
	v->unattributed = s->unattributed;
	v->unnamed = s->unnamed + t.c[TW_L_UNNAMED];
	c->cuts_lost = t.c[TW_L_LOST_DETAILS];
	v->queue_measured = f[FEATURE_READ].ok;
	v->complete = !v->desynchronised && !v->opaque_tls && !v->tls.unjoined && !v->tls.mismatched &&
	              http2_is_complete(&v->h2) && !v->unattributed && !c->ledger.lost_exchanges &&
	              !c->ledger.lost_events && !t.c[TW_L_EARLY_FULL];
}

/* ---- what it costs ----------------------------------------------------------------------------------------------- */

void overhead_sample(struct session *s, double now)
{
	struct tw_ledger_row t;
	uint64_t ns, runs;

	if (now < s->stats_at || ledger_read(s))
		return;
	ledger_total(s, &t);
	if (s->stats_fd < 0) {
		s->stats_fd = keeper__statistics();
		s->stats_at = now + (s->stats_fd < 0 ? STATS_EVERY : STATS_FOR);
		loader__run_time(s->loader, &s->stats_ns, &runs);
		s->stats_requests = t.c[TW_L_REQUESTS];
		if (s->stats_fd >= 0)
			tls_budget_open(s, now);
		return;
	}
	if (!loader__run_time(s->loader, &ns, &runs)) {
		/* All windows together: a quiet one has too few requests to say anything by itself. */
		s->sampled_ns += ns - s->stats_ns;
		s->sampled_requests += t.c[TW_L_REQUESTS] - s->stats_requests;
	}
	tls_budget_close(s, now);
	close(s->stats_fd);
	s->stats_fd = -1;
	s->stats_at = now + STATS_EVERY;
}

void drain_adjust(struct session *s, double now)
{
	struct tw_ledger_row t;

	if (!drain_is_due(&s->drain, now) || ledger_read(s))
		return;
	ledger_total(s, &t);
	loader__drain_mask(s->loader, drain_look(&s->drain, now, t.c[TW_L_REQUESTS]));
}

double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static uint64_t resident_bytes(void)
{
	unsigned long size, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

void overhead_fill(const struct session *s, struct overhead *o)
{
	o->kernel_ns_per_request =
		s->sampled_requests >= SAMPLE_LEAST ? (double)s->sampled_ns / (double)s->sampled_requests : NAN;
	tls_overhead_fill(s, &o->tls);
	o->agent_rss_bytes = resident_bytes();
	o->agent_cpu_seconds = cpu_seconds() - s->cpu_at_start;
}
