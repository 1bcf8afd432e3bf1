// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <math.h>
#include <string.h>

#include "capture/features.h"
#include "capture/passed_over.h"
#include "session/internal.h"

int ledger_read(struct session *s)
{
	int err = loader__read_ledger(s->loader, s->now);

	if (!err)
		http2_ledger_add(s, s->now);
	passed_over__read(s->loader, &s->passed_over);
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
	/* Whose they were is not known. */
	out->c[TW_L_LOST_EVENTS] += passed_over_lost(&s->passed_over);
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
	c->passed_over = s->passed_over;
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
	v->foreign = s->foreign;
	v->unnamed = s->unnamed + t.c[TW_L_UNNAMED];
	c->cuts_lost = t.c[TW_L_LOST_DETAILS];
	v->queue_measured = f[FEATURE_READ].ok;
	v->complete = !v->desynchronised && !v->opaque_tls && !v->tls.unjoined && !v->tls.mismatched &&
	              http2_is_complete(&v->h2) && !v->unattributed && !c->ledger.lost_exchanges &&
	              !c->ledger.lost_events && !t.c[TW_L_EARLY_FULL];
}

void drain_adjust(struct session *s, double now)
{
	struct tw_ledger_row t;
	unsigned int mask;

	if (!drain_is_due(&s->drain, now) || ledger_read(s))
		return;
	ledger_total(s, &t);
	mask = drain_look(&s->drain, now, t.c[TW_L_REQUESTS]);
	/* What it costs is more than it may be: see cost.c. */
	loader__drain_mask(s->loader, s->cost.budget.shed ? DRAIN_NONE : mask);
}
