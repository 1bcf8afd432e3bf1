/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Logs for the tests: a small release is judged with a log beside it; logs are read from memory by way of a file, and
 * replayed. Lines that a test has changed get a fitting check again, from a CRC-32 of its own (IEEE 802.3, bit by bit).
 */
#ifndef TW_TESTS_TICKLOG_RIG_H
#define TW_TESTS_TICKLOG_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dice.h"
#include "show/show.h"
#include "ticklog/reader.h"
#include "ticklog/replay.h"
#include "ticklog/ticklog.h"

#define RIG_ENDPOINTS 3
#define RIG_TICKS     40

struct bytes {
	char *s;
	size_t len;
};

/* --- files ----------------------------------------------------------------------------------------------------- */

static char rig_dir[64];

static inline const char *rig_file(const char *name)
{
	static char path[128];

	if (!rig_dir[0]) {
		snprintf(rig_dir, sizeof(rig_dir), "/tmp/tillwatch-ticklog-XXXXXX");
		assert_non_null(mkdtemp(rig_dir));
	}
	snprintf(path, sizeof(path), "%s/%s", rig_dir, name);
	return path;
}

static inline struct bytes rig_load(const char *path)
{
	struct stat st;
	struct bytes b;
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	b.s = malloc((size_t)st.st_size + 1);
	assert_non_null(b.s);
	b.len = (size_t)st.st_size;
	assert_int_equal(read(fd, b.s, b.len), (ssize_t)b.len);
	b.s[b.len] = '\0';
	close(fd);
	return b;
}

static inline void rig_store(const char *path, const char *s, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, s, len), (ssize_t)len);
	close(fd);
}

static inline void rig_clean(void)
{
	static const char *const names[] = { "log", "other", "empty" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unlink(rig_file(names[i]));
	rmdir(rig_dir);
	rig_dir[0] = '\0';
}

/* --- checks, done by hand -------------------------------------------------------------------------------------- */

static inline uint32_t rig_crc(uint32_t crc, const char *s, size_t len)
{
	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc ^= (uint8_t)s[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xedb88320U : crc >> 1;
	}
	return ~crc;
}

/* Gives every line of a log the check it should have. Lines end as they did: with {...,"crc":"01234567"}. */
static inline void rig_seal(struct bytes *b)
{
	uint32_t crc = 0;
	char *line = b->s, *end;
	char seal[32];

	for (; (end = memchr(line, '\n', b->len - (size_t)(line - b->s))); line = end + 1) {
		assert_true(end - line > 18);
		crc = rig_crc(crc, line, (size_t)(end - line) - 18);
		snprintf(seal, sizeof(seal), ",\"crc\":\"%08x\"}", crc);
		memcpy(end - 18, seal, 18);
	}
}

/* --- a release ------------------------------------------------------------------------------------------------- */

/* What the judge is told. */
struct rig_way {
	struct gate_policy policy;
	struct judge_endpoint def[RIG_ENDPOINTS];
	struct judge_endpoint unserved; /* behind the second; no name: none */
};

#define RIG_RULE                                                                                     \
	{                                                                                            \
		.statuses = { [8] = 1ULL << 3 }, .slower_than = TW_NEVER_SLOW, .outcomes = TW_FAULTS \
	} /* 515 */
#define RIG_POLICY                                                                                                     \
	{                                                                                                              \
		.alpha = 0.05, .max_error_ratio = 1.5, .max_latency_increase = 0.2, .min_requests = 100, .warmup = 10, \
		.tick = 5, .timeout = 30, .promote_alpha = 0.05, .share_tolerance = 0.1,                               \
		.max_dropped_sessions = NO_DROP_LIMIT,                                                                 \
		.bad = { true,                                                                                         \
			 true,                                                                                         \
			 true,                                                                                         \
			 true,                                                                                         \
			 RIG_RULE }                                                                                    \
	}

static const struct tw_rule rig_rule = RIG_RULE;

static const struct rig_way rig_way = {
	.policy = RIG_POLICY,
	.def = { { .name = "POST /checkout",
	           .critical = true,
	           .named = true,
	           .slo_p95 = 0.3,
	           .slo_error_rate = 0.005,
	           .unit = UNIT_EXCHANGE },
	         { .name = "GET /cart/{id}", .named = true, .slo_error_rate = -1, .unit = UNIT_EXCHANGE },
	         { .name = "GET /\"quoted\" \\ and \x01 \xc3\xa9", .weight = 0.01 } },
};

static const struct log_header rig_header = { .tillwatch = "0.1.0",
	                                      .run = "1763720000-4711",
	                                      .started = "2026-11-21T10:13:20Z",
	                                      .service = "shop",
	                                      .version = { "v1", "v2" },
	                                      .policy = RIG_POLICY };

/* What is said after each tick; text: all of it, as machines are told. said_clear() it. */
struct said {
	enum verdict_kind kind[RIG_TICKS];
	double log_e_bad[RIG_TICKS];
	char *text[RIG_TICKS];
	size_t n;
};

static inline void said_clear(struct said *said)
{
	for (size_t i = 0; i < said->n; i++)
		free(said->text[i]);
	said->n = 0;
}

static inline void said_add(struct said *said, const struct verdict *v)
{
	assert_true(said->n < RIG_TICKS);
	said->kind[said->n] = v->kind;
	said->log_e_bad[said->n] = v->log_e_bad;
	said->text[said->n] = json_verdict(v);
	assert_non_null(said->text[said->n]);
	said->n++;
}

/* What happened to one arm: bad ones come in bursts on one connection. */
struct rig_arm {
	struct arm_tick tick;
	struct histogram h, waited;
	struct connection_groups g;
};

static inline void rig_arm(struct rig_arm *a, struct dice *d, unsigned int n, double bad, int slow_bucket)
{
	unsigned int burst = dice_below(d, TW_GROUPS);

	memset(a, 0, sizeof(*a));
	a->tick.n = n;
	a->g.has_slow = slow_bucket >= 0;
	for (unsigned int i = 0; i < n; i++) {
		uint64_t ns = (uint64_t)(1e6 * exp(0.8 * (dice_uniform(d) + dice_uniform(d) - 1)));
		bool fails = dice_uniform(d) < bad;
		unsigned int group = fails ? burst : dice_below(d, TW_GROUPS);

		a->tick.bad += fails;
		a->tick.outcome[fails && i % 2 ? TW_TRUNCATED : TW_ANSWERED]++;
		histogram_add(&a->h, ns);
		a->g.n[group]++;
		a->g.bad[group] += fails;
		a->g.slow[group] += slow_bucket >= 0 && histogram_bucket(ns) > (unsigned int)slow_bucket;
	}
	histogram_add(&a->waited, 5000000);
	a->tick.latency = n ? &a->h : NULL;
	a->tick.waited = n % 3 ? &a->waited : NULL;
	a->tick.groups = &a->g;
}

/* Endpoints as they appear: the third with the fifth tick. Returns how many the judge knows. */
static inline size_t rig_appear(struct ticklog *log, struct judge *j, const struct rig_way *way, unsigned int t)
{
	size_t more = way->unserved.name != NULL;

	if (t == 0) {
		assert_int_equal(ticklog__add_endpoint(log, j, &way->def[0], &rig_rule), 0);
		assert_int_equal(ticklog__add_endpoint(log, j, &way->def[1], &rig_rule), 1);
		if (more)
			assert_int_equal(ticklog__add_endpoint(log, j, &way->unserved, &rig_rule), 2);
	}
	if (t == 5)
		assert_int_equal(ticklog__add_endpoint(log, j, &way->def[2], &rig_rule), 2 + more);
	return (t < 5 ? 2 : 3) + more;
}

/* The other judge would have had slow ones counted beyond its own bucket: these are not known to it. */
static inline struct arm_tick rig_for(const struct arm_tick *a, bool same, struct connection_groups *copy)
{
	struct arm_tick out = *a;

	*copy = *a->groups;
	copy->has_slow = copy->has_slow && same;
	out.groups = copy;
	return out;
}

/*
 * A release as rig_way's judge has it watched, and `way`'s judge is told of it. bad: the canary's share of errors; the
 * baseline's is 2 %. There is a quiet tick, a lossy one, one that does not add up.
 */
static inline void rig_watch(struct ticklog *log, const struct rig_way *way, double bad, struct said *said)
{
	static struct rig_arm arms[RIG_ENDPOINTS][2];
	static struct connection_groups copies[RIG_ENDPOINTS][2];
	struct judge *then = judge__new(&rig_way.policy), *j = judge__new(&way->policy);
	struct dice dice = { 7 };
	struct verdict v;

	for (unsigned int t = 0; t < RIG_TICKS; t++) {
		struct endpoint_tick seen[RIG_ENDPOINTS] = { 0 }, told[RIG_ENDPOINTS + 1] = { 0 };
		struct tick tick = { .start = 5.01 * t,
			             .end = 5.01 * (t + 1),
			             .ledger_balanced = t != 30,
			             .ledger_unknown = t == 31,
			             .warming = t < 2,
			             .baseline = { .seen = 660, .opened = 20, .builds = 1 },
			             .canary = { .seen = 340, .opened = 10, .builds = 1 },
			             .seen = 1000,
			             .lost_events = t == 33 ? 2 : 0 };
		size_t n = rig_appear(log, j, way, t), m = rig_appear(NULL, then, &rig_way, t);

		for (size_t i = 0; i < m && t != 12; i++) {
			size_t at = i + (i == 2 && way->unserved.name);
			int bucket = judge__slow_bucket(then, i);
			bool same = bucket == judge__slow_bucket(j, at);

			rig_arm(&arms[i][0], &dice, 200, 0.02, bucket);
			rig_arm(&arms[i][1], &dice, i == 1 && t % 3 ? 0 : 100, bad, bucket);
			seen[i] = (struct endpoint_tick){ arms[i][0].tick, arms[i][1].tick };
			told[at].baseline = rig_for(&seen[i].baseline, same, &copies[i][0]);
			told[at].canary = rig_for(&seen[i].canary, same, &copies[i][1]);
		}
		tick.endpoints = seen;
		assert_int_equal(judge__tick(then, &tick, m), 0);
		tick.endpoints = told;
		assert_int_equal(ticklog__tick(log, j, &tick, n), 0);
		judge__verdict(j, &v);
		if (said)
			said_add(said, &v);
	}
	judge__free(then);
	judge__free(j);
}

/* A whole log of it, named "log". */
static inline struct bytes rig_log(double bad, struct said *said)
{
	struct err e = { "" };
	struct ticklog *log;

	unlink(rig_file("log"));
	log = ticklog__new(rig_file("log"), &e);
	assert_non_null(log);
	assert_int_equal(ticklog__start(log, &rig_header, &e), 0);
	rig_watch(log, &rig_way, bad, said);
	ticklog__end(log);
	assert_null(ticklog__state(log)->stopped);
	ticklog__free(log);
	return rig_load(rig_file("log"));
}

/* --- and back -------------------------------------------------------------------------------------------------- */

/* Zeroed at first, or one that was used before. */
struct replayed {
	int err; /* of the reader, or the judge's */
	struct err e;
	enum log_ending ending;
	uint64_t ticks;
	struct log_verdict then[RIG_TICKS];
	struct said said;
};

static inline void assert_no_nan(const struct verdict *v)
{
	assert_true(isfinite(v->log_e_bad) || !v->n_endpoints);
	assert_true(isfinite(v->eta_seconds));
	for (size_t i = 0; i < v->n_endpoints; i++) {
		const struct verdict_endpoint *ep = &v->endpoints[i];

		assert_true(isfinite(ep->log_e_bad) && isfinite(ep->log_e_good));
		assert_true(isfinite(ep->log_e_slow_bad) && isfinite(ep->log_e_slow_good));
		assert_true(!ep->has_threshold || isfinite(ep->slow_threshold));
		assert_true(!ep->has_ratio ||
		            (isfinite(ep->ratio) && isfinite(ep->ratio_low) && isfinite(ep->ratio_high)));
	}
}

static inline void rig_replay(const char *path, const struct config *other, struct replayed *out)
{
	struct log_reader *reader;
	struct replay *replay = replay__new(other);
	struct log_record record;
	struct verdict v;

	said_clear(&out->said);
	memset(out, 0, sizeof(*out));
	reader = log_reader__new(path, &out->e);
	assert_non_null(reader);
	while ((out->err = log_reader__next(reader, &record, &out->e)) > 0) {
		struct err why = { "" };

		out->err = replay__take(replay, &record, &why);
		if (out->err) {
			log_reader__error(reader, -out->err, &out->e, "%s", why.text);
			break;
		}
		if (record.kind != LOG_TICK)
			continue;
		replay__verdict(replay, &v);
		assert_no_nan(&v);
		out->then[out->ticks++] = record.tick.verdict;
		said_add(&out->said, &v);
	}
	if (!out->err)
		out->ending = log_reader__ending(reader);
	else
		assert_string_not_equal(out->e.text, "");
	replay__free(replay);
	log_reader__free(reader);
}

/* From memory: there are many thousands of them. */
static inline const char *rig_changed(void)
{
	static char path[64];
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("changed", MFD_CLOEXEC);
		assert_true(fd >= 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	return path;
}

static inline void rig_replay_bytes(const char *s, size_t len, struct replayed *out)
{
	rig_store(rig_changed(), s, len);
	rig_replay(rig_changed(), NULL, out);
}

/* To the last digit. */
static inline void assert_same_said(const struct said *a, const struct said *b, size_t n)
{
	assert_true(a->n >= n && b->n >= n);
	for (size_t t = 0; t < n; t++) {
		assert_string_equal(a->text[t], b->text[t]);
		assert_memory_equal(&a->log_e_bad[t], &b->log_e_bad[t], sizeof(double));
	}
}

#endif
