// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "session/session.h"

#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "rights/confine.h"
#include "rights/keeper.h"
#include "rights/rights.h"
#include "session/internal.h"

/* Records wait in the ring for no longer than this; see ring_flags in bpf/verified.h. */
#define POLL_MS 100
/* New routes that may be announced in that time; ten thousand a second is more than any service has. */
#define ROUTES_A_POLL 1000
/* The same for details; together they fill a twentieth of the ring. */
#define DETAILS_A_POLL 1000
/* Records handled before the clock is looked at again. */
#define RECORDS_A_TIME 10000
/* Kernel memory that the counters of all slots and CPUs may take together. */
#define SERIES_MEMORY (64UL << 20)

double session_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static unsigned int slots_for(const struct config *c)
{
	unsigned long cpus = (unsigned long)sysconf(_SC_NPROCESSORS_CONF);
	unsigned long fit = SERIES_MEMORY / sizeof(struct tw_series) / (cpus ? cpus : 1);
	unsigned long want = (unsigned long)c->n_versions * (c->max_endpoints + 2UL);

	if (fit > TW_MAX_SLOTS - 1)
		fit = TW_MAX_SLOTS - 1;
	return (unsigned int)(want < fit ? want : fit);
}

static bool has_clients(const struct config *c)
{
	for (size_t i = 0; i < c->n_versions; i++)
		if (c->versions[i].match.has_upstream)
			return true;
	return false;
}

static bool by_process(const struct config *c)
{
	for (size_t i = 0; i < c->n_versions; i++) {
		const struct match *m = &c->versions[i].match;

		if (m->exe || m->env || m->build_id || m->unit || m->cgroup || m->pid)
			return true;
	}
	return false;
}

/*
 * From here on they are read from a descriptor: one that comes while the programs load ends the session as well. A
 * shell's background jobs start with SIGINT ignored, and an ignored signal is not kept; SIGHUP stays so under nohup.
 */
static void block_signals(sigset_t *set)
{
	struct sigaction hup;

	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	if (!sigaction(SIGHUP, NULL, &hup) && hup.sa_handler != SIG_IGN)
		sigaddset(set, SIGHUP);
	sigprocmask(SIG_BLOCK, set, NULL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
}

static int open_events(struct session *s, struct err *e)
{
	const struct itimerspec every = { { 0, POLL_MS * 1000000 }, { 0, POLL_MS * 1000000 } };
	struct epoll_event ev = { .events = EPOLLIN };
	sigset_t set;

	block_signals(&set);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->signal_fd < 0 || s->timer_fd < 0 || s->epoll_fd < 0 || timerfd_settime(s->timer_fd, 0, &every, NULL))
		return err_set(e, errno, "cannot set up timers and signals: %s", strerror(errno));
	for (int i = 0; i < 3; i++) {
		ev.data.fd = i == 0 ? s->signal_fd : i == 1 ? s->timer_fd : loader__ring_fd(s->loader);
		if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, ev.data.fd, &ev))
			return err_set(e, errno, "cannot wait for events: %s", strerror(errno));
	}
	return 0;
}

static int load(struct session *s, bool losses, struct err *e)
{
	struct loader_options o = { .seed = s->seed,
		                    .endpoint_other = routes__other(s->routes),
		                    .have_clients = has_clients(s->config),
		                    .timeout = (uint64_t)(s->config->gate.timeout * 1e9),
		                    .watch_process = s->by_process,
		                    .note_readers = s->judge != NULL,
		                    .tls = true,
		                    .slots = slots_for(s->config) };
	int err;

	s->loader = loader__new(&o, e);
	if (!s->loader)
		return -1;
	malloc_trim(0); /* what loading took, and will not be wanted again */
	err = loader__rules(s->loader, s->rules, s->n_rules);
	if (err)
		return err_set(e, -err, "cannot tell the kernel what is bad: %s", strerror(-err));
	loader__route_budget(s->loader, ROUTES_A_POLL);
	loader__detail_budget(s->loader, DETAILS_A_POLL);
	if (routes_announce_config(s))
		return err_set(e, ENOMEM, "out of memory");
	if (losses) {
		s->losses = losses__new(s->loader);
		if (!s->losses)
			return err_set(e, ENOMEM, "out of memory");
	}
	if (tls_begin(s) || http2_begin(s))
		return err_set(e, ENOMEM, "out of memory");
	if (open_events(s, e))
		return -1;
	err = versions_resolve(s, e);
	return err || s->resolve_at > s->resolved_at + RESOLVE_SOON ? err : versions_resolve(s, e);
}

/* Endpoints 1..n_routes are the config's, in its order. */
static int make_rules(struct session *s)
{
	const struct config *c = s->config;
	struct endpoint_policy p;

	s->rules = calloc(c->n_routes + 1, sizeof(*s->rules));
	if (!s->rules)
		return -ENOMEM;
	for (; s->n_rules <= c->n_routes; s->n_rules++) {
		config__policy(c, s->n_rules ? &c->routes[s->n_rules - 1] : NULL, &p);
		s->rules[s->n_rules] = p.bad;
	}
	return 0;
}

static int allocate(struct session *s, const struct session_options *o)
{
	s->cells = calloc((size_t)TW_MAX_VERSIONS * TW_MAX_ENDPOINTS, sizeof(struct cell *));
	s->live = calloc((size_t)TW_MAX_VERSIONS * TW_MAX_ENDPOINTS, sizeof(struct cell *));
	s->routes = routes__new(o->config, o->config->max_endpoints);
	s->generations = generations__new();
	if (o->judge)
		s->judge = judge__new(&o->config->gate);
	if (make_rules(s))
		return -ENOMEM;
	return s->cells && s->live && s->routes && s->generations && (!o->judge || s->judge) ? 0 : -ENOMEM;
}

static int start_log(struct session *s, struct ticklog *log, struct err *e)
{
	struct log_header h = { .tillwatch = TW_VERSION,
		                .run = s->run,
		                .service = s->config->service,
		                .stage = s->stage,
		                .policy = s->config->gate };
	char started[40];
	struct tm tm;

	if (gmtime_r(&s->started.tv_sec, &tm) && strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%SZ", &tm))
		h.started = started;
	for (int arm = 0; arm < ARM_NR; arm++) {
		int i = config__version_of_arm(s->config, arm);

		h.version[arm] = i < 0 ? NULL : s->config->versions[i].name;
	}
	s->log = log;
	return ticklog__start(log, &h, e);
}

/* All is attached: what is not needed any more goes. What cannot go is said, and nothing else is done about it. */
static void let_go_of_rights(const struct session *s, const struct session_options *o)
{
	const struct confine_options keep = { .perf_uprobes = s->tls && !loader__tls_many(s->loader),
		                              .writes_a_new = o->writes_a_new };
	struct err e = { "" };

	rights__warn();
	if (confine(&keep, &e))
		log_warn("%s; the run goes on with more rights than it needs", e.text);
}

/* What the judge is told before the first tick, behind the first line of a log. */
static int begin_judging(struct session *s, struct ticklog *log, struct err *e)
{
	if (log && start_log(s, log, e))
		return -1;
	return judge_units(s) ? err_set(e, ENOMEM, "out of memory") : 0;
}

struct session *session__new(const struct session_options *o, struct err *e)
{
	struct session *s = calloc(1, sizeof(*s));
	sigset_t set;

	if (!s) {
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	block_signals(&set);
	keeper__start();
	s->config = o->config;
	s->stage = o->stage;
	s->until_final = o->until_final;
	s->by_process = by_process(s->config);
	s->signal_fd = s->timer_fd = s->epoll_fd = s->cost.fd = -1;
	s->end = NAN;
	if (getrandom(&s->seed, sizeof(s->seed), 0) != sizeof(s->seed) || allocate(s, o)) {
		err_set(e, ENOMEM, "out of memory");
		goto fail;
	}
	if (load(s, o->losses, e))
		goto fail;
	clock_gettime(CLOCK_REALTIME, &s->started);
	snprintf(s->run, sizeof(s->run), "%lld-%d", (long long)s->started.tv_sec, (int)getpid());
	if (s->judge && begin_judging(s, o->log, e))
		goto fail;
	if (!cost_begin(s)) {
		err_set(e, ENOMEM, "out of memory");
		goto fail;
	}
	let_go_of_rights(s, o);
	s->start = s->tick_start = session_now();
	clock_shift(&s->clock);
	s->tick_at = s->start + s->config->gate.tick;
	cost_starts(s);
	return s;
fail:
	session__free(s);
	return NULL;
}

void session__free(struct session *s)
{
	if (!s)
		return;
	cost_end(s);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	if (s->timer_fd >= 0)
		close(s->timer_fd);
	if (s->signal_fd >= 0)
		close(s->signal_fd);
	http2_end(s); /* its open streams end here, as exchanges: all that counts them is still needed */
	losses__free(s->losses);
	tls_targets__free(s->tls);
	tls_budget_end(s);
	free(s->tls_clients);
	free(s->tls_readers);
	loader__free(s->loader);
	id_snapshot__free(s->ids);
	judge__free(s->judge);
	routes__free(s->routes);
	cuts_free(s);
	generations__free(s->generations);
	cells_free(s);
	arms_free(s);
	joined_free(s);
	free(s->rules);
	free(s->comparison.endpoints);
	versions_free(&s->comparison);
	keeper__stop();
	free(s);
}

void session__until(struct session *s, double seconds)
{
	s->end = isnan(seconds) ? NAN : session_now() + seconds;
}

double session__remaining(const struct session *s)
{
	double left = s->end - session_now();

	return left < 0 ? 0 : left;
}

bool session__interrupted(const struct session *s)
{
	return s->interrupted;
}

/* Takes what is in the ring, but not for ever: a flood must not keep the session from its ticks. false: there is more.
 */
static bool drain(struct session *s)
{
	s->records_left = RECORDS_A_TIME;
	return loader__drain(s->loader, record_handle, s) != -EAGAIN;
}

static void take_events(struct session *s, int timeout_ms)
{
	struct epoll_event ev[4];
	struct signalfd_siginfo sig;
	uint64_t ticks;
	int n = epoll_wait(s->epoll_fd, ev, 4, timeout_ms);

	for (int i = 0; i < n; i++) {
		if (ev[i].data.fd == s->signal_fd && read(s->signal_fd, &sig, sizeof(sig)) == sizeof(sig))
			s->interrupted = true;
		if (ev[i].data.fd == s->timer_fd && read(s->timer_fd, &ticks, sizeof(ticks)) == sizeof(ticks)) {
			loader__route_budget(s->loader, ROUTES_A_POLL);
			loader__detail_budget(s->loader, DETAILS_A_POLL);
		}
	}
	s->ring_empty = drain(s);
}

static bool is_final(struct session *s)
{
	struct verdict v;

	judge__verdict(s->judge, &v);
	return v.final;
}

static int keep_in_step(struct session *s, double now)
{
	struct err e = { "" };
	int err = 0;

	if (now >= s->resolve_at) {
		err = versions_resolve(s, &e);
		if (err) {
			/* The host changes under our eyes: what fails now may work in a moment. */
			log_warn("%s; trying again", e.text);
			s->resolve_at = now + 1;
			err = 0;
		}
	}
	tls_keep(s);
	losses_keep(s, now);
	cost_keep(s, now);
	drain_adjust(s, now);
	http2_keep(s, now);
	joined_keep(s, now);
	if (!err)
		err = inflight_keep_in_step(s, now);
	versions_after_losses(s);
	if (!err && s->judge && now >= s->tick_at) {
		err = tick_close(s, now);
		s->decided = !err && s->until_final && is_final(s);
		s->tick_at += s->config->gate.tick;
		if (s->tick_at <= now) /* we were stopped for a while */
			s->tick_at = now + s->config->gate.tick;
	}
	return err;
}

static int finish(struct session *s)
{
	int err = 0;

	/*
	 * From here on nothing is added: the figures that are read one after the other are those of one moment.
	 * Programs in TLS libraries, which do nothing any more, go later, as that takes a while.
	 */
	loader__stop(s->loader);
	while (!drain(s))
		;
	http2_sweep(s);
	/* The last tick may be short: what was seen in it counts too, unless there is nothing left to decide. */
	if (s->judge && !s->decided && session_now() - s->tick_start > 0.1)
		err = tick_close(s, session_now());
	if (!err)
		ticklog__end(s->log);
	return err;
}

int session__run(struct session *s, double refresh)
{
	double until = session_now() + refresh;

	while (!s->interrupted) {
		double now = session_now(), wait;
		int err = keep_in_step(s, now);

		if (err)
			return err;
		if (now >= s->end || s->decided)
			break;
		if (now >= until)
			return 1;
		wait = until - now;
		if (s->end - now < wait)
			wait = s->end - now;
		if (s->judge && s->tick_at - now < wait)
			wait = s->tick_at - now;
		if (s->tls_due)
			wait = 0;
		take_events(s, wait <= 0 ? 0 : (int)ceil(wait * 1000));
	}
	return finish(s);
}

bool session__listeners_changed(struct session *s)
{
	bool changed = s->listeners_changed;

	s->listeners_changed = false;
	return changed;
}

int session__versions_changed(struct session *s, struct err *e)
{
	return versions_resolve(s, e);
}
