// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What reading TLS costs, and in how many workers of each version it goes on, so that it stays within the budget.
 *
 * Which workers are left out is drawn once for each, by its number, its start and the run's seed: those that are read
 * are a random sample, and as few as possible change when their number does.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/internal.h"

/* Beside the CPU time that it has used: a process that does nothing yet is one, too. */
#define IDLE_WEIGHT 1e-6

/* ---- workers ----------------------------------------------------------------------------------------------------- */

/* Processes that are known to speak TLS, with a library that can be watched. */
struct worker {
	const struct tls_target *target;
	uint64_t lot;
};

static bool can_be_read(const struct tls_target *at)
{
	for (size_t i = 0; i < at->n_uses; i++)
		if (at->uses[i].file->library && at->uses[i].file->library->n_sites)
			return true;
	return false;
}

static uint64_t lot_of(const struct session *s, const struct tls_target *at)
{
	uint64_t x = s->seed ^ at->was.start_ticks << 24 ^ (uint64_t)at->tgid;

	/* The finaliser of splitmix64: every bit of the one depends on every bit of the other. */
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static int by_lot(const void *a, const void *b)
{
	const struct worker *x = a, *y = b;

	return (x->lot > y->lot) - (x->lot < y->lot);
}

/* Those of a version, in the order in which they are read; there is room for all processes. */
static unsigned int workers_of(const struct session *s, unsigned int version, struct worker *w)
{
	unsigned int n = 0;

	for (size_t i = 0; i < tls_targets__count(s->tls); i++) {
		const struct tls_target *at = tls_targets__at(s->tls, i);

		if (at->version == version && tls_reads(s, at->tgid) && can_be_read(at))
			w[n++] = (struct worker){ at, lot_of(s, at) };
	}
	qsort(w, n, sizeof(*w), by_lot);
	return n;
}

/* Makes it so: the first ones are read. */
static void deal(struct session *s)
{
	struct tls_budget *b = &s->tls_budget;
	struct worker *w = calloc(tls_targets__count(s->tls) + 1, sizeof(*w));

	for (unsigned int v = 0; v <= s->config->n_versions; v++) {
		unsigned int n = w ? workers_of(s, v, w) : 0, read = tls_share__of(&b->share, n);

		b->workers[v] = n;
		b->read[v] = read;
		for (unsigned int i = 0; i < n; i++)
			tls_targets__withhold(s->tls, w[i].target->tgid, i >= read);
	}
	free(w);
}

void tls_budget_deal(struct session *s)
{
	if (s->tls && s->tls_budget.share.share > 0 && s->tls_budget.share.share < 1)
		deal(s);
}

/* ---- what it costs ----------------------------------------------------------------------------------------------- */

static void calibrate(struct tls_budget *b)
{
	int err;

	b->calibrated = true;
	err = trap_cost__measure(b->closer, &b->trap);
	if (err)
		log_warn(
			"what a probe costs on this host could not be measured (%s): the overhead budget cannot be kept",
			strerror(-err));
	else
		log_debug("a trap costs %.2f us, a stepped one %.2f us, a replaced return address %.2f us",
		          b->trap.emulated * 1e6, b->trap.stepped * 1e6, b->trap.returned * 1e6);
}

static double service_time(const struct session *s)
{
	double sum = 0;

	for (size_t i = 0; i < tls_targets__count(s->tls); i++) {
		const struct tls_target *at = tls_targets__at(s->tls, i);

		if (tls_reads(s, at->tgid) && isfinite(at->cpu))
			sum += at->cpu;
	}
	return sum;
}

/* True if anything is watched at all. */
static bool mix_of(const struct session *s, struct tls_mix *m)
{
	bool any = false;

	memset(m, 0, sizeof(*m));
	for (size_t i = 0; i < tls_targets__count(s->tls); i++) {
		const struct tls_target *at = tls_targets__at(s->tls, i);
		double weight = IDLE_WEIGHT + (isfinite(at->cpu) ? at->cpu : 0);

		for (size_t k = 0; k < at->n_uses; k++) {
			const struct tls_use *u = &at->uses[k];
			const struct tls_site *sites;
			size_t n;

			if (at->reading == TLS_AWAY || !u->hold.attached || !u->file->library)
				continue;
			sites = tls_library__sites(u->file->library, loader__tls_told(s->loader), &n);
			tls_mix__add(m, sites, n, weight);
			any = true;
		}
	}
	return any;
}

static uint64_t exchanges(const struct session *s)
{
	struct tw_ledger_row t;

	ledger_total(s, &t);
	return t.c[TW_L_TLS_REQUESTS];
}

void tls_budget_open(struct session *s, double now)
{
	struct tls_budget *b = &s->tls_budget;

	if (!s->tls)
		return;
	b->opened = loader__tls_runs(s->loader, &b->runs) ? now : NAN;
	b->exchanges = exchanges(s);
}

static void say(const struct session *s, enum tls_share_step step)
{
	const struct tls_budget *b = &s->tls_budget;
	char where[400] = "";
	size_t len = 0;

	for (unsigned int v = 1; v <= s->config->n_versions && len < sizeof(where); v++)
		if (b->workers[v])
			len += (size_t)snprintf(where + len, sizeof(where) - len, "%s%u of %u workers of %s",
			                        len ? ", " : "", b->read[v], b->workers[v],
			                        s->config->versions[v - 1].name);
	if (step == TLS_SHARE_LESS)
		log_warn(
			"reading TLS takes %.3g %% of the CPU time of the processes it is read in (estimated), more than the "
			"budget of %.3g %%: from now on it is read in %s",
			100 * b->share.cost_before / b->share.service_before, 100 * s->config->overhead.budget, where);
	else
		log_warn("there is room in the overhead budget again: TLS is read in %s", where);
}

static void steer(struct session *s, const struct tls_share_sample *sample)
{
	struct tls_budget *b = &s->tls_budget;
	bool exceeded = b->share.exceeded;
	enum tls_share_step step;

	/* So many workers there are now; how many are read follows from the step. */
	deal(s);
	step = tls_share__step(&b->share, sample, s->config->overhead.budget, b->workers, s->config->n_versions + 1);
	if (step != TLS_SHARE_SAME) {
		deal(s);
		say(s, step);
	}
	if (b->share.exceeded && !exceeded)
		log_warn(
			"reading TLS takes %.3g %% of the CPU time of the processes it is read in (estimated), more than the "
			"budget of %.3g %%; of each version one worker is read, which is the least",
			100 * b->share.cost / b->share.service, 100 * s->config->overhead.budget);
}

void tls_budget_close(struct session *s, double now)
{
	struct tls_budget *b = &s->tls_budget;
	struct tls_share_sample sample;
	struct tls_runs runs;
	struct tls_cost cost;
	struct tls_mix mix;

	if (!s->tls)
		return;
	tls_targets__measure(s->tls);
	b->watched = mix_of(s, &mix) || b->watched;
	if (!b->watched || !isfinite(b->opened) || now <= b->opened || !loader__tls_runs(s->loader, &runs))
		return;
	if (!b->calibrated)
		calibrate(b);
	for (int i = 0; i < TLS_JOB_NR; i++) {
		runs.runs[i] -= b->runs.runs[i];
		runs.ns[i] -= b->runs.ns[i];
	}
	tls_cost__of(&mix, &runs, &b->trap, &cost);
	for (int i = 0; i < TLS_HOW_NR; i++)
		b->traps[i] += cost.traps[i];
	b->measured += now - b->opened;
	b->seconds += cost.seconds;
	b->sampled += exchanges(s) - b->exchanges;
	sample = (struct tls_share_sample){ cost.seconds / (now - b->opened),
		                            b->sampled_at > 0 ? service_time(s) : NAN };
	if (b->sampled_at > 0) {
		b->service += sample.service * (now - b->sampled_at);
		b->serviced += now - b->sampled_at;
	}
	b->sampled_at = now;
	steer(s, &sample);
}

void tls_overhead_fill(const struct session *s, struct tls_overhead *o)
{
	const struct tls_budget *b = &s->tls_budget;
	double cores = b->measured > 0 ? b->seconds / b->measured : NAN;

	*o = (struct tls_overhead){ .watched = s->tls && b->watched, .budget = s->config->overhead.budget };
	o->per_exchange = b->sampled >= COST_LEAST ? b->seconds / (double)b->sampled : NAN;
	o->cores = cores;
	o->of_service = b->service > 0 ? cores * b->serviced / b->service : NAN;
	for (int i = 0; i < TLS_HOW_NR; i++)
		o->traps[i] = b->measured > 0 ? b->traps[i] / b->measured : NAN;
	o->trap.emulated = b->trap.emulated;
	o->trap.stepped = b->trap.stepped;
	o->trap.returned = b->trap.returned;
	o->exceeded = b->share.exceeded;
}

bool tls_budget_begin(struct session *s)
{
	s->tls_budget = (struct tls_budget){ .closer = closer__new(), .opened = NAN, .trap = { NAN, NAN, NAN } };
	trap_cost__prepare(); /* what fails now fails again, and is said, when it is measured */
	return s->tls_budget.closer;
}

void tls_budget_end(struct session *s)
{
	closer__free(s->tls_budget.closer);
}
