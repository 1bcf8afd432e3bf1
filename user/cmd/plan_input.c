// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cmd/plan_input.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/report.h"
#include "config/value.h"

#define FIGURES_MAX 128 /* bytes behind the "=" */
#define MOST_RATE   1e9
#define MOST_P95    256 /* s: no histogram reaches beyond */

/* "40/s", "2400/m", "90/h" to requests a second. */
static int parse_rate(char *text, double *rate)
{
	char *slash = strchr(text, '/');
	double per;

	if (!slash || strlen(slash) != 2)
		return -EINVAL;
	per = slash[1] == 's' ? 1 : slash[1] == 'm' ? 60 : slash[1] == 'h' ? 3600 : 0;
	*slash = '\0';
	if (!per || parse_number(text, rate))
		return -EINVAL;
	*rate /= per;
	return 0;
}

/* "0.5%": unlike in the config a bare fraction is not taken, 0.5 could be meant as half a per cent. */
static int parse_percent(const char *text, double *share)
{
	return strchr(text, '%') ? parse_share(text, share) : -EINVAL;
}

static int parse_latency(char *text, struct plan_rate *r)
{
	char *slash = strchr(text, '/');

	if (!slash)
		return -EINVAL;
	*slash = '\0';
	if (parse_duration(text, &r->p50) || parse_duration(slash + 1, &r->p95))
		return -EINVAL;
	r->has_latency = true;
	return r->p50 > 0 && r->p50 < r->p95 && r->p95 <= MOST_P95 ? 0 : -EINVAL;
}

static int bad(struct err *e, const char *text, const char *what)
{
	char shown[CLIP_LEN];

	return err_set(e, EINVAL, "--rate \"%s\": %s", clip(text, shown), what);
}

static int parse_figures(const char *text, const char *figures, struct plan_rate *r, struct err *e)
{
	char copy[FIGURES_MAX], *errors, *latency;

	if (strlen(figures) >= sizeof(copy))
		return bad(e, text, "too long");
	snprintf(copy, sizeof(copy), "%s", figures);
	errors = strchr(copy, ',');
	if (!errors)
		return bad(e, text, "the share of errors is missing: write 40/s,0.5% (0% for none)");
	*errors++ = '\0';
	latency = strchr(errors, ',');
	if (latency)
		*latency++ = '\0';
	if (parse_rate(copy, &r->rate))
		return bad(e, text, "a rate is a number with its unit: write 40/s, 2400/m or 90/h");
	if (!(r->rate > 0))
		return bad(e, text, "at a rate of 0 nothing can ever be called: leave the endpoint out");
	if (r->rate > MOST_RATE)
		return bad(e, text, "more than a billion requests a second");
	if (parse_percent(errors, &r->errors))
		return bad(e, text, "the share of errors is a percentage: write 40/s,0.5% (0% for none)");
	if (r->errors >= 1)
		return bad(e, text, "the share of errors must be below 100%: nothing can be worse than that");
	if (latency && parse_latency(latency, r))
		return bad(e, text,
		           "latencies are p50/p95, the larger one last, at most 256s: write 40/s,0.5%,12ms/45ms");
	return 0;
}

/* The names that are most like it, or those there are. */
static int unknown(const struct config *c, const char *name, struct err *e)
{
	const char *known[64];
	char shown[CLIP_LEN], near[256];
	size_t n = 0;

	if (!c->n_routes)
		return err_set(e, EINVAL,
		               "--rate: %s names no endpoints: add those that earn money, or let --observe find them",
		               c->file);
	for (; n < c->n_routes && n < sizeof(known) / sizeof(*known); n++)
		known[n] = c->routes[n].name;
	suggest(name, known, n, near, sizeof(near));
	return err_set(e, EINVAL, "--rate: %s has no endpoint \"%s\"%s", c->file, clip(name, shown), near);
}

static const struct route *find_route(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_routes; i++)
		if (!strcmp(c->routes[i].name, name))
			return &c->routes[i];
	return NULL;
}

static int parse_one(const struct config *c, const char *text, struct plan_rate *r, struct err *e)
{
	const char *equals = strrchr(text, '='); /* a path may hold one, figures do not */
	char name[1024];

	memset(r, 0, sizeof(*r));
	if (!equals || equals == text || (size_t)(equals - text) >= sizeof(name))
		return bad(e, text, "write ENDPOINT=RATE,ERRORS, for example \"POST /checkout=40/s,0.5%\"");
	snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
	r->route = find_route(c, name);
	if (!r->route)
		return unknown(c, name, e);
	return parse_figures(text, equals + 1, r, e);
}

int plan_input__rates(const struct config *c, const char *const *texts, size_t n, struct plan_rate *out, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		int err = parse_one(c, texts[i], &out[i], e);

		if (err)
			return err;
		for (size_t k = 0; k < i; k++)
			if (out[k].route == out[i].route)
				return bad(e, texts[i], "this endpoint already has a rate: give one");
	}
	return 0;
}

static int take_share(const char *text, struct plan_shares *out, struct err *e)
{
	char shown[CLIP_LEN];
	double share;

	if (out->n == PLAN_MAX_SHARES)
		return err_set(e, EINVAL, "--share: more than %d shares", PLAN_MAX_SHARES);
	if (parse_percent(text, &share))
		return err_set(e, EINVAL, "--share: '%s' is not a percentage: write 5%%, or 5%%,25%%,50%%",
		               clip(text, shown));
	if (!(share > 0))
		return err_set(e, EINVAL, "--share: a canary with 0%% of the traffic can never be called");
	if (share >= 1)
		return err_set(e, EINVAL,
		               "--share: at %s nothing is left to compare the canary with; give less than 100%%",
		               clip(text, shown));
	if (out->n && share <= out->share[out->n - 1])
		return err_set(e, EINVAL, "--share: %s does not rise: each share must be larger than the one before",
		               clip(text, shown));
	out->share[out->n++] = share;
	return 0;
}

int plan_input__shares(const char *text, struct plan_shares *out, struct err *e)
{
	const char *end;
	char one[32];
	int err;

	out->n = 0;
	for (;; text = end + 1) {
		end = strchrnul(text, ',');
		snprintf(one, sizeof(one), "%.*s", (int)(end - text), text);
		err = take_share(one, out, e);
		if (err || !*end)
			return err;
	}
}

void plan_input__stages(const struct config *c, struct plan_shares *out)
{
	out->n = 0;
	for (size_t i = 0; i < c->n_stages && out->n < PLAN_MAX_SHARES; i++)
		if (c->stages[i] < 1)
			out->share[out->n++] = c->stages[i];
	if (!out->n)
		out->share[out->n++] = PLAN_DEFAULT_SHARE;
}
