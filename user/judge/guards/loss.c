// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What was lost: too much of it, more on one side than on the other, or without a trace. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "judge/guards/guard.h"
#include "judge/steps.h"

#define CLEARLY      3.0   /* standard deviations beyond which losses differ by more than chance */
#define LARGE_PART   0.25  /* of the difference that is judged */
#define FEW_ERRORS   0.001 /* a baseline with fewer is certified by the floor */
#define FLOOR_JUDGED 0.01

bool guard_lost_events(const struct judge *j, struct verdict *out)
{
	const struct run_state *r = &j->run;
	double lost = fmax((double)r->lost_events, (double)r->lost_exchanges);
	double share = r->seen ? fmin(100, percent(lost, (double)r->seen)) : lost > 0 ? 100 : 0;
	bool high = loss_is_high(r->lost_events, r->lost_exchanges, r->seen);
	char forgotten[96] = "";

	if (r->forgotten)
		snprintf(forgotten, sizeof(forgotten), "; %" PRIu64 " more in the first tick, which is left out for it",
		         r->forgotten);
	if (r->lossy && !high)
		return guard(out, "lost_events", false,
		             "more than 0.1 %% of the latest requests were lost or could not be followed to their end, "
		             "as by answers that are not well-formed HTTP (%s %% in all%s)",
		             figure(share).s, forgotten);
	return guard(out, "lost_events", !high,
	             "%s %% of all requests were lost or could not be followed to their end; 0.1 %% is the limit%s",
	             figure(share).s, forgotten);
}

bool guard_ledger(const struct judge *j, struct verdict *out)
{
	if (j->run.unbalanced)
		return guard(out, "ledger", false, "requests seen do not add up to those ended, in flight and lost");
	if (j->run.ledger_unknown)
		return guard(out, "ledger", true,
		             "not applicable: this kernel cannot tell what is in flight, or which sockets have gone");
	return guard(out, "ledger", true, "every request seen is accounted for");
}

static bool is_opaque(const struct arm_state *a)
{
	return loss_is_high(0, a->unread, a->read);
}

static struct words unread_share(const struct arm_state *a)
{
	return figure(percent((double)a->unread, (double)a->read + (double)a->unread));
}

static struct words withheld_share(const struct arm_state *a)
{
	return figure(percent((double)a->withheld, (double)a->seen + (double)a->withheld));
}

/* What chance has left out is like what it has not: nothing is kept back for it. */
static bool all_that_can_be_read(const struct arm_state *c, const struct arm_state *b, struct verdict *out)
{
	return guard(
		out, "opaque_tls", true,
		"%s; %s %% of the canary's requests and %s %% of the baseline's were left out to stay within the overhead "
		"budget, by workers drawn by chance",
		c->unread || b->unread ? "less than 0.1 % of the requests came by TLS that cannot be read"
				       : "no requests came by TLS that cannot be read",
		withheld_share(c).s, withheld_share(b).s);
}

/* Requests that nobody could read are in no count, and may all have failed: nothing is promoted on the rest. */
bool guard_opaque_tls(const struct judge *j, struct verdict *out)
{
	const struct arm_state *c = &j->run.canary, *b = &j->run.baseline;
	bool alone = j->tests.policy.mode == GATE_ABSOLUTE, bad_c = is_opaque(c), bad_b = !alone && is_opaque(b);
	const char *see = "0.1 % is the limit; `tillwatch doctor -c` says why";

	if (bad_c && bad_b)
		return guard(out, "opaque_tls", false,
		             "TLS that cannot be read carries %s %% of the canary's requests and %s %% of the "
		             "baseline's, or more; %s",
		             unread_share(c).s, unread_share(b).s, see);
	if (bad_c || bad_b)
		return guard(out, "opaque_tls", false,
		             "TLS that cannot be read carries %s %% of the %s requests, or more; %s",
		             unread_share(bad_c ? c : b).s, bad_c ? "canary's" : "baseline's", see);
	if (c->withheld || b->withheld)
		return all_that_can_be_read(c, b, out);
	if (c->unread || b->unread)
		return guard(out, "opaque_tls", true,
		             "less than 0.1 %% of the requests came by TLS that cannot be read");
	return guard(out, "opaque_tls", true, "no requests came by TLS that cannot be read");
}

static double fraction(uint64_t part, uint64_t of)
{
	return of ? (double)part / (double)of : 0;
}

static uint64_t lost_of(const struct arm_state *a)
{
	return a->lost_events > a->lost_exchanges ? a->lost_events : a->lost_exchanges;
}

/* Bad exchanges of both arms on the endpoints that decide. */
static struct pair bad_counts(const struct judge *j)
{
	struct pair p = { 0, 0, 0, 0 };

	for (size_t i = 0; i < j->n; i++) {
		const struct evidence *ev = &j->eps[i]->ev;

		if (!judge__decides(j, j->eps[i]))
			continue;
		p.n_c += (double)ev->n_c;
		p.n_b += (double)ev->n_b;
		p.k_c += (double)ev->bad_c;
		p.k_b += (double)ev->bad_b;
	}
	return p;
}

/*
 * The difference that a verdict would rest on, as a share of all exchanges: for a rollback the one that was found; for
 * a promotion the one that it rules out, by the margin or, where the baseline has hardly any errors, by the floor.
 */
static double difference_judged(const struct judge *j, bool worse)
{
	struct pair p = bad_counts(j);
	double c = p.n_c > 0 ? p.k_c / p.n_c : 0, b = p.n_b > 0 ? p.k_b / p.n_b : 0;

	if (worse)
		return fabs(c - b);
	return fmax((j->tests.policy.max_error_ratio - 1) * b, b <= FEW_ERRORS ? FLOOR_JUDGED : 0);
}

/*
 * What was lost might all have been bad, or all have been good: where one version loses more than the other does, a
 * difference of that size can come from the losses alone.
 */
bool guard_differential_loss(const struct judge *j, struct verdict *out)
{
	const struct arm_state *c = &j->run.canary, *b = &j->run.baseline;
	double lost_c = fraction(lost_of(c), c->seen), lost_b = fraction(lost_of(b), b->seen), apart, chance, judged;
	bool high_c = loss_is_high(c->lost_events, c->lost_exchanges, c->seen);
	bool high_b = loss_is_high(b->lost_events, b->lost_exchanges, b->seen);

	if (high_c || high_b)
		return guard(out, "differential_loss", false,
		             "%s %% of the canary's requests and %s %% of the baseline's were lost; 0.1 %% is the "
		             "limit for each",
		             figure(fmin(100, 100 * lost_c)).s, figure(fmin(100, 100 * lost_b)).s);
	if (!is_side_by_side(j) || !c->seen || !b->seen)
		return guard(out, "differential_loss", true, "not applicable: there are no losses of two versions");
	apart = fabs(lost_c - lost_b);
	chance = fraction(lost_of(c) + lost_of(b), c->seen + b->seen);
	chance = CLEARLY * sqrt(chance * (1 / (double)c->seen + 1 / (double)b->seen));
	judged = difference_judged(j, out->log_e_bad >= j->tests.need);
	return guard(out, "differential_loss", apart <= chance || apart <= LARGE_PART * judged,
	             "%s %% of the canary's requests and %s %% of the baseline's were lost; a difference of %s %% "
	             "in errors is judged",
	             figure(100 * lost_c).s, figure(100 * lost_b).s, figure(100 * judged).s);
}
