// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `top` and `init`: every HTTP service on the host, without a configuration. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/observe.h"
#include "cmd/terminal.h"
#include "capture/identity.h"
#include "session/session.h"
#include "show/show.h"

#define MAX_SERVICES (TW_MAX_VERSIONS - 2)

/* A config that grows: one version a listening port. */
struct everything {
	struct config config;
	struct version versions[MAX_SERVICES];
	char *names[MAX_SERVICES];
	char comm[MAX_SERVICES][16];
};

static void everything_init(struct everything *x)
{
	memset(x, 0, sizeof(*x));
	x->config.service = (char *)"this host";
	x->config.file = (char *)"(top)";
	x->config.versions = x->versions;
	x->config.max_endpoints = 500;
	gate_policy__defaults(&x->config.gate);
	overhead_limits__defaults(&x->config.overhead);
	cost_limits__defaults(&x->config.cost);
}

static bool known_port(const struct everything *x, uint16_t port)
{
	for (size_t i = 0; i < x->config.n_versions; i++)
		if (x->versions[i].match.listen.port == port)
			return true;
	return false;
}

/* Adds the ports that listen now and did not before. Returns how many, or -1. */
static int everything_add(struct everything *x)
{
	struct listener *l = NULL;
	struct err e = { "" };
	size_t n = 0;
	int added = 0;

	if (listeners__list(&l, &n, &e)) {
		log_error("%s", e.text);
		return -1;
	}
	for (size_t i = 0; i < n && x->config.n_versions < MAX_SERVICES; i++) {
		struct version *v = &x->versions[x->config.n_versions];
		char *name;

		if (known_port(x, l[i].place.port))
			continue;
		if (asprintf(&name, "%.15s:%u", l[i].comm[0] ? l[i].comm : "port", l[i].place.port) < 0)
			break;
		memset(v, 0, sizeof(*v));
		x->names[x->config.n_versions] = v->name = name;
		memcpy(x->comm[x->config.n_versions], l[i].comm, sizeof(l[i].comm));
		v->arm = ARM_OTHER;
		v->match.has_listen = v->match.listen.any_addr = true;
		v->match.listen.port = l[i].place.port;
		x->config.n_versions++;
		added++;
	}
	free(l);
	return added;
}

static void watch_new(struct everything *x, struct session *s)
{
	struct err e = { "" };

	if (everything_add(x) > 0 && session__versions_changed(s, &e))
		log_warn("%s", e.text);
}

static void everything_free(struct everything *x)
{
	for (size_t i = 0; i < x->config.n_versions; i++)
		free(x->names[i]);
}

static void draw(struct session *s, const struct everything *x)
{
	struct comparison *c[MAX_SERVICES];
	struct show_options o = stdout_options(session__remaining(s));
	size_t n = 0;

	if (!session__compare(s))
		return;
	for (size_t v = 0; v < x->config.n_versions; v++) {
		c[n] = session__of_version(s, v);
		if (c[n])
			n++;
	}
	show_top(stdout, (const struct comparison *const *)c, n, &o);
	fflush(stdout);
	for (size_t i = 0; i < n; i++)
		session__comparison_free(c[i]);
}

/* The same for its cost (`--stats`). */
static void draw_cost(struct session *s, const struct everything *x)
{
	struct show_options o = stdout_options(session__remaining(s));
	const struct comparison *c = session__compare(s);

	if (c)
		show_cost(stdout, c, &o);
	fflush(stdout);
}

/* Observes everything for a while, or until nobody reads what is shown; each(…) after each refresh and at the end. */
static int observe_all(struct everything *x, double seconds, double refresh,
                       void (*each)(struct session *, const struct everything *), bool writes_a_new,
                       struct session **out)
{
	struct session_options o = { .config = &x->config, .writes_a_new = writes_a_new };
	struct err e = { "" };
	double wait = each ? REFRESH_FIRST : refresh;
	struct session *s;
	int more;

	if (everything_add(x) < 0)
		return TW_EXIT_FAILURE;
	s = session__new(&o, &e);
	if (!s) {
		log_error("%s", e.text);
		return TW_EXIT_FAILURE;
	}
	/* The kernel tells of listeners once all is attached: what came while it was being, only a look finds. */
	watch_new(x, s);
	session__until(s, seconds);
	log_info("watching %zu listening ports%s", x->config.n_versions, isnan(seconds) ? ", until interrupted" : "");
	do {
		more = session__run(s, wait);
		if (more < 0) {
			log_error("the observation ended early: error %d", -more);
			session__free(s);
			return TW_EXIT_FAILURE;
		}
		if (session__listeners_changed(s))
			watch_new(x, s);
		if (each)
			each(s, x);
		wait = refresh;
	} while (more && !ferror(stdout)); /* which main says */
	*out = s;
	return TW_EXIT_OK;
}

static int top(int argc, char **argv)
{
	double seconds = NAN;
	const char *budget = NULL;
	bool stats = false;
	const struct option_spec options[] = {
		{ "--for", 0, OPTION_DURATION, "T", "how long: 30s, 5m, 1h; without it until interrupted", &seconds,
		  false },
		{ "--stats", 0, OPTION_FLAG, NULL, "what watching costs, by kernel program, instead of the table",
		  &stats, false },
		{ "--cost-budget", 0, OPTION_TEXT, "SHARE", COST_BUDGET_HELP, &budget, false },
	};
	static struct everything x;
	struct session *s = NULL;
	struct err e = { "" };
	int code;

	if (options_parse(&cmd_top, options, 3, argc, argv, &code))
		return code;
	everything_init(&x);
	if (budget && config__cost_budget(budget, &x.config.cost.budget, &e)) {
		log_error("%s", e.text);
		return TW_EXIT_USAGE;
	}
	code = observe_all(&x, seconds, isatty(STDOUT_FILENO) ? 1.0 : 5.0, stats ? draw_cost : draw, false, &s);
	session__free(s);
	everything_free(&x);
	return code;
}

/* ---- init -------------------------------------------------------------------------------------------------------- */

/* Names that the config language can hold: those with a path, and not cut off. */
static bool can_be_configured(const char *name)
{
	return strstr(name, " /") && !strstr(name, "{...}") && !strchr(name, '"') && !strchr(name, '\\');
}

static int by_requests(const void *a, const void *b)
{
	uint64_t x = (*(const struct endpoint_figures *const *)a)->arm[ARM_BASELINE].requests;
	uint64_t y = (*(const struct endpoint_figures *const *)b)->arm[ARM_BASELINE].requests;

	return x < y ? 1 : x > y ? -1 : 0;
}

static uint64_t total_requests(const struct comparison *c)
{
	uint64_t n = 0;

	for (size_t i = 0; i < c->n_endpoints; i++)
		n += c->endpoints[i].arm[ARM_BASELINE].requests;
	return n;
}

/* Paths that usually earn money; init marks them, the reader decides. */
static bool looks_critical(const char *name)
{
	static const char *const words[] = { "checkout", "payment", "/pay", "login", "cart", "order" };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcasestr(name, words[i]))
			return true;
	return false;
}

static void print_endpoints(FILE *f, const struct comparison *c)
{
	const struct endpoint_figures **sorted = calloc(c->n_endpoints + 1, sizeof(*sorted));
	size_t n = 0;

	for (size_t i = 0; sorted && i < c->n_endpoints; i++)
		if (can_be_configured(c->endpoints[i].name))
			sorted[n++] = &c->endpoints[i];
	if (!n) {
		free(sorted);
		return;
	}
	qsort(sorted, n, sizeof(*sorted), by_requests);
	fputs("\nendpoints:\n", f);
	for (size_t i = 0; i < n; i++)
		fprintf(f, "  - { route: \"%s\"%s }  # %llu requests seen, p95 %.1f ms\n", sorted[i]->name,
		        looks_critical(sorted[i]->name) ? ", critical: true" : "",
		        (unsigned long long)sorted[i]->arm[ARM_BASELINE].requests,
		        sorted[i]->arm[ARM_BASELINE].requests
		                ? 1000 * arm_quantile(&sorted[i]->arm[ARM_BASELINE], TW_LAT_TOTAL, 0.95)
		                : 0.0);
	free(sorted);
}

/* A config for the busiest service; the second busiest stands in as canary when both know the same endpoints. */
static void print_config(FILE *f, const struct everything *x, size_t first, size_t second, bool has_second,
                         const struct comparison *c)
{
	fputs("# A starter written by `tillwatch init`: names and arms are guesses, endpoints are what was seen.\n", f);
	fprintf(f, "service: %s\n\nversions:\n",
	        x->comm[first][0] && !strpbrk(x->comm[first], ":#{}[]\"' ") ? x->comm[first] : "service");
	fprintf(f, "  v1: { arm: baseline, match: { listen: \"%u\" } }\n", x->versions[first].match.listen.port);
	if (has_second)
		fprintf(f, "  v2: { arm: canary,   match: { listen: \"%u\" } }\n",
		        x->versions[second].match.listen.port);
	else
		fputs("  # the new version, by listen:, cgroup:, exe:, unit:, env:, build_id:, pid: or upstream:\n"
		      "  # v2: { arm: canary, match: { listen: \"8082\" } }\n",
		      f);
	print_endpoints(f, c);
	fputs("\ngate: { alpha: 5%, max_error_ratio: 1.5, max_latency_increase: 20%, min_requests: 500, warmup: 10s, tick: 5s,\n"
	      "        timeout: 30s }\n"
	      "stages: [5%, 25%, 50%, 100%]\n",
	      f);
}

/* The largest config: as many endpoints as there may be, all with long names. */
#define RESERVED (256 << 10)

/*
 * That it cannot be written is found out now, and not when all has been observed. A file that was made here could not
 * be removed any more if that ended early (see rights/), so it goes at once, and only the room for it is kept, by a
 * descriptor; -1: it cannot be written, which is said.
 */
static int reserve(const char *file)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	int err = fd < 0 ? errno : posix_fallocate(fd, 0, RESERVED);

	if (fd >= 0)
		unlink(file);
	/* A file system that reserves nothing may have room all the same. */
	if (!err || err == EOPNOTSUPP || err == EINVAL)
		return fd;
	log_error("cannot write %s: %s", file, strerror(err));
	if (fd >= 0)
		close(fd);
	return -1;
}

static FILE *open_reserved(const char *file, int reserved)
{
	if (ftruncate(reserved, 0))
		log_debug("the room for %s is not given back: %s", file, strerror(errno));
	return fopen(file, "wxe");
}

static int write_config(struct session *s, const struct everything *x, const char *file, int reserved)
{
	struct comparison *c[MAX_SERVICES] = { NULL };
	size_t first = 0, second = 0, n = x->config.n_versions;
	uint64_t most = 0, next = 0;
	FILE *f = stdout;

	if (!session__compare(s))
		return TW_EXIT_FAILURE;
	for (size_t v = 0; v < n; v++) {
		uint64_t seen;

		c[v] = session__of_version(s, v);
		seen = c[v] ? total_requests(c[v]) : 0;
		if (seen > most) {
			second = first;
			next = most;
			first = v;
			most = seen;
		} else if (seen > next) {
			second = v;
			next = seen;
		}
	}
	if (!most)
		log_warn("no HTTP request was seen: the config names no endpoint");
	if (file && n)
		f = open_reserved(file, reserved);
	if (f && n)
		print_config(f, x, first, second, next && !strcmp(x->comm[first], x->comm[second]), c[first]);
	for (size_t v = 0; v < n; v++)
		session__comparison_free(c[v]);
	if (!f || !n || (f == stdout ? fflush(f) : fclose(f))) {
		log_error(n ? "cannot write %s: %s" : "nothing listens on this host: %s was not written",
		          file ? file : "the config", strerror(errno));
		return TW_EXIT_FAILURE;
	}
	if (file)
		log_info("wrote %s; look it over, then: tillwatch watch -c %s", file, file);
	return TW_EXIT_OK;
}

static int init(int argc, char **argv)
{
	double seconds = 30;
	const char *file = NULL;
	const struct option_spec options[] = {
		{ "--for", 0, OPTION_DURATION, "T", "how long to observe (30s)", &seconds, false },
		{ "--output", 'o', OPTION_TEXT, "FILE", "where to write (standard output)", &file, false },
	};
	static struct everything x;
	struct session *s = NULL;
	int code, reserved = -1;

	if (options_parse(&cmd_init, options, 2, argc, argv, &code))
		return code;
	if (file && !access(file, F_OK))
		return usage_error(&cmd_init, "%s exists, and is not overwritten", file);
	if (file && (reserved = reserve(file)) < 0)
		return TW_EXIT_FAILURE;
	everything_init(&x);
	code = observe_all(&x, seconds, 1.0, NULL, file != NULL, &s);
	if (!code)
		code = write_config(s, &x, file, reserved);
	session__free(s);
	if (reserved >= 0)
		close(reserved);
	everything_free(&x);
	return code;
}

const struct command cmd_top = { "top", "Shows every HTTP service on this host, live, per endpoint; needs no config",
	                         "[--for T] [--stats] [--cost-budget SHARE]", NULL, top };
const struct command cmd_init = { "init", "Observes and writes a starter config with the endpoints it saw",
	                          "[--for T] [-o FILE]", NULL, init };
