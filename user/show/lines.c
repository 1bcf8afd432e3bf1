/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <inttypes.h>
#include <math.h>

#include "show/format.h"
#include "show/lines.h"
#include "show/parts.h"

static void put_title(struct frame *f, const struct comparison *c, const struct show_options *o)
{
	struct line l;

	line_init(&l, f);
	line_put(&l, "watch %s run=%s left=%s", c->service ? c->service : "-", format_joined(format_span(c->seconds)).s,
	         format_joined(format_span(o->remaining)).s);
	for (int arm = 0; arm < ARM_NR; arm++)
		if (c->version_name[arm])
			line_put(&l, " %s=%s", arm_names[arm], c->version_name[arm]);
	frame_add(f, &l, RANK_STAYS);
}

static void put_quantile(struct line *l, const struct comparison *c, const struct endpoint_figures *ep,
                         const struct quantile *quantile)
{
	double value[2];

	line_put(l, " %s", quantile->name);
	for (int arm = ARM_BASELINE; arm <= ARM_CANARY; arm++) {
		value[arm] = ep->arm[arm].present ? arm_quantile(&ep->arm[arm], TW_LAT_TOTAL, quantile->q) : NAN;
		line_put(l, " %s=%s", arm_label(c, arm), format_joined(format_duration(value[arm])).s);
	}
	line_put(l, " %s", format_ratio(ratio_of(value[ARM_CANARY], value[ARM_BASELINE])).s);
}

static void put_endpoint(struct frame *f, const struct comparison *c, const struct endpoint_figures *ep)
{
	double share[2];
	struct line l;

	line_init(&l, f);
	line_put(&l, "endpoint \"%s\"%s requests", ep->name, ep->critical ? " critical" : "");
	for (int arm = ARM_BASELINE; arm <= ARM_CANARY; arm++) {
		const struct arm_figures *a = &ep->arm[arm];

		if (a->present)
			line_put(&l, " %s=%" PRIu64, arm_label(c, arm), a->requests);
		else
			line_put(&l, " %s=-", arm_label(c, arm));
	}
	line_put(&l, " errors");
	for (int arm = ARM_BASELINE; arm <= ARM_CANARY; arm++) {
		const struct arm_figures *a = &ep->arm[arm];

		share[arm] = error_share(a);
		if (a->present)
			line_put(&l, " %s=%" PRIu64 "(%s)", arm_label(c, arm), arm_errors(a),
			         format_percent(share[arm]).s);
		else
			line_put(&l, " %s=-", arm_label(c, arm));
	}
	line_put(&l, " %s", format_ratio(ratio_of(share[ARM_CANARY], share[ARM_BASELINE])).s);
	for (int i = 0; i < TABLE_QUANTILES; i++)
		put_quantile(&l, c, ep, &table_quantiles[i]);
	frame_add(f, &l, RANK_STAYS);
	part_sure(f, c, ep);
	part_outcomes(f, c, ep);
	part_streams(f, c, ep);
}

static void put_waiting(struct frame *f, const struct comparison *c)
{
	for (int arm = ARM_BASELINE; arm <= ARM_CANARY; arm++)
		if (c->version_name[arm] && !arm_requests(c, arm))
			frame_prose(f, RANK_STAYS, PLAIN, 0, "waiting for the first request on %s (%s)",
			            arm_label(c, arm), arm_names[arm]);
}

static void put_verdict(struct frame *f, const struct comparison *c)
{
	const struct verdict *v = &c->verdict;

	if (!c->has_verdict) {
		frame_prose(f, RANK_STAYS, PLAIN, 0, "verdict none");
		return;
	}
	frame_prose(f, RANK_STAYS, PLAIN, 0, "verdict %s%s", verdict_names[v->kind], v->final ? " final" : "");
	if (*v->summary)
		frame_prose(f, RANK_STAYS, PLAIN, 0, "summary %s", v->summary);
	for (size_t i = 0; i < v->n_cutovers; i++) {
		const struct verdict_cutover *u = &v->cutovers[i];

		frame_prose(f, RANK_STAYS, PLAIN, 0, "unit %s %s owner=\"%s\" certified=%zu/%zu: %s", u->name,
		            verdict_names[u->kind], u->owner ? u->owner : "-", u->certified, u->deciding, u->text);
	}
	for (size_t i = 0; i < v->n_reasons; i++) {
		const struct reason *r = &v->reasons[i];

		if (r->endpoint)
			frame_prose(f, RANK_STAYS, PLAIN, 0, "reason %s \"%s\": %s", r->code, r->endpoint, r->text);
		else
			frame_prose(f, RANK_STAYS, PLAIN, 0, "reason %s: %s", r->code, r->text);
	}
	for (size_t i = 0; i < v->n_guards; i++)
		if (!v->guards[i].ok)
			frame_prose(f, RANK_STAYS, PLAIN, 0, "guard %s: %s", v->guards[i].name, v->guards[i].text);
	part_limits(f, v);
	if (v->has_eta && isfinite(v->eta_seconds))
		frame_prose(f, RANK_STAYS, PLAIN, 0, "eta %s", format_joined(format_span(v->eta_seconds)).s);
}

void lines_comparison(struct frame *f, const struct comparison *c, const struct show_options *o,
                      const struct endpoint_figures *const *list, size_t n)
{
	size_t most = o->rows > 0 ? (size_t)o->rows : LINES_ENDPOINTS, i;

	put_title(f, c, o);
	for (i = 0; i < n && i < most; i++)
		put_endpoint(f, c, list[i]);
	part_folded(f, list, i, n);
	put_waiting(f, c);
	part_losses(f, c);
	part_cuts(f, c);
	part_coverage(f, c);
	part_tls(f, c);
	part_ledger(f, c);
	part_overhead(f, c);
	part_cost(f, c);
	part_notes(f, c, RANK_STAYS);
	put_verdict(f, c);
	part_blank(f);
}
