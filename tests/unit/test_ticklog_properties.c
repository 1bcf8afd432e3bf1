/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What can be done to logs without changing what is said of them: the counts of several hosts can be added, endpoints
 * can come in another order. The oracle is the judge that was told everything at once.
 */
#include "ticklog_rig.h"

#include <cjson/cJSON.h>

#include "ticklog/encode.h"

#define HOSTS 2

/* A log that is written record by record. */
struct written {
	struct log_text line;
	uint32_t check;
	struct bytes bytes;
};

static void put(struct written *w, const struct log_record *r)
{
	assert_int_equal(log_text__record(&w->line, r, &w->check), 0);
	w->bytes.s = realloc(w->bytes.s, w->bytes.len + w->line.len);
	assert_non_null(w->bytes.s);
	memcpy(w->bytes.s + w->bytes.len, w->line.s, w->line.len);
	w->bytes.len += w->line.len;
}

static void written_free(struct written *w)
{
	free(w->line.s);
	free(w->bytes.s);
}

/* --- hosts ----------------------------------------------------------------------------------------------------- */

static void add_all(uint64_t *to, const uint64_t *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] += from[i];
}

/* Adds what an arm did on one host; sum->tick points to its own parts. */
static void add_arm(struct rig_arm *sum, const struct arm_tick *a)
{
	sum->tick.n += a->n;
	sum->tick.bad += a->bad;
	add_all(sum->tick.outcome, a->outcome, TW_OUTCOME_NR);
	if (a->latency) {
		histogram_merge(&sum->h, a->latency);
		sum->tick.latency = &sum->h;
	}
	if (a->waited) {
		histogram_merge(&sum->waited, a->waited);
		sum->tick.waited = &sum->waited;
	}
	if (a->groups) {
		add_all(sum->g.n, a->groups->n, TW_GROUPS);
		add_all(sum->g.bad, a->groups->bad, TW_GROUPS);
		add_all(sum->g.slow, a->groups->slow, TW_GROUPS);
		sum->g.has_slow = a->groups->has_slow;
		sum->tick.groups = &sum->g;
	}
}

static void add_run(struct arm_run *to, const struct arm_run *from)
{
	to->seen += from->seen;
	to->lost_events += from->lost_events;
	to->lost_exchanges += from->lost_exchanges;
	to->opened += from->opened;
	to->dropped += from->dropped;
	to->builds = to->builds > from->builds ? to->builds : from->builds;
}

static void add_tick(struct tick *to, const struct tick *from)
{
	to->seen += from->seen;
	to->lost_events += from->lost_events;
	to->lost_exchanges += from->lost_exchanges;
	to->ledger_balanced = to->ledger_balanced && from->ledger_balanced;
	to->warming = to->warming || from->warming;
	add_run(&to->baseline, &from->baseline);
	add_run(&to->canary, &from->canary);
}

/* Three endpoints are watched on several hosts, and each keeps a log; another judge is told of all hosts at once. */
static void watch_hosts(struct written *logs, double bad, struct said *said)
{
	static struct rig_arm arms[HOSTS][RIG_ENDPOINTS][2], sums[RIG_ENDPOINTS][2];
	struct judge *j = judge__new(&rig_way.policy);
	struct dice dice = { 11 };
	struct verdict v;

	for (int h = 0; h < HOSTS; h++)
		put(&logs[h], &(struct log_record){ .kind = LOG_HEADER, .header = rig_header });
	for (size_t i = 0; i < RIG_ENDPOINTS; i++) {
		struct log_record r = { .kind = LOG_ENDPOINT, .endpoint = { i, rig_way.def[i], rig_rule } };

		assert_int_equal(judge__add_endpoint(j, &rig_way.def[i]), (int)i);
		for (int h = 0; h < HOSTS; h++)
			put(&logs[h], &r);
	}
	for (unsigned int t = 0; t < RIG_TICKS; t++) {
		struct endpoint_tick told[RIG_ENDPOINTS];
		struct tick all = { .start = 5 * t, .end = 5 * (t + 1), .ledger_balanced = true, .endpoints = told };

		memset(sums, 0, sizeof(sums));
		for (int h = 0; h < HOSTS; h++) {
			struct log_counts counts[RIG_ENDPOINTS];
			struct log_record r = { .kind = LOG_TICK, .tick = { .number = t + 1, .told = all } };
			struct arm_run run = { .seen = 100 + t, .opened = 7, .builds = 1 };

			r.tick.told.endpoints = NULL;
			r.tick.told.seen = 200;
			/* Of what the other host saw nothing was lost. */
			r.tick.told.lost_events = r.tick.told.lost_exchanges = h && t == 9 ? 1 : 0;
			r.tick.told.warming = h == 0 && t < 3;
			r.tick.told.baseline = r.tick.told.canary = run;
			for (size_t i = 0; i < RIG_ENDPOINTS; i++) {
				int bucket = judge__slow_bucket(j, i);

				/* A host on which an endpoint is not served by the canary at all. */
				rig_arm(&arms[h][i][0], &dice, 150, 0.02, bucket);
				rig_arm(&arms[h][i][1], &dice, h && i == 2 ? 0 : 75, bad, bucket);
				counts[i] = (struct log_counts){ i, bucket, arms[h][i][0].tick, arms[h][i][1].tick };
				add_arm(&sums[i][0], &arms[h][i][0].tick);
				add_arm(&sums[i][1], &arms[h][i][1].tick);
			}
			r.tick.counts = counts;
			r.tick.n_counts = RIG_ENDPOINTS;
			put(&logs[h], &r);
			/* What all hosts said, as it goes to the judge. */
			r.tick.told.endpoints = told;
			if (h)
				add_tick(&all, &r.tick.told);
			else
				all = r.tick.told;
		}
		for (size_t i = 0; i < RIG_ENDPOINTS; i++)
			told[i] = (struct endpoint_tick){ sums[i][0].tick, sums[i][1].tick };
		assert_int_equal(judge__tick(j, &all, RIG_ENDPOINTS), 0);
		judge__verdict(j, &v);
		said_add(said, &v);
	}
	judge__free(j);
}

/* The sum of two logs, line by line. */
static void merge(const char *one, const char *two, struct written *out)
{
	static struct rig_arm sums[RIG_ENDPOINTS][2];
	struct err e = { "" };
	struct log_reader *a = log_reader__new(one, &e), *b = log_reader__new(two, &e);
	struct log_record r, s;

	assert_true(a && b);
	while (log_reader__next(a, &r, &e) > 0) {
		struct log_counts counts[RIG_ENDPOINTS];

		assert_int_equal(log_reader__next(b, &s, &e), 1);
		assert_int_equal(r.kind, s.kind);
		if (r.kind == LOG_TICK) {
			memset(sums, 0, sizeof(sums));
			add_tick(&r.tick.told, &s.tick.told);
			assert_int_equal(r.tick.n_counts, RIG_ENDPOINTS);
			for (size_t i = 0; i < RIG_ENDPOINTS; i++) {
				const struct log_counts *x = &r.tick.counts[i], *y = &s.tick.counts[i];

				assert_int_equal(x->slow_bucket, y->slow_bucket);
				add_arm(&sums[i][0], &x->baseline);
				add_arm(&sums[i][0], &y->baseline);
				add_arm(&sums[i][1], &x->canary);
				add_arm(&sums[i][1], &y->canary);
				counts[i] = (struct log_counts){ i, x->slow_bucket, sums[i][0].tick, sums[i][1].tick };
			}
			r.tick.counts = counts;
		}
		put(out, &r);
	}
	assert_string_equal(e.text, "");
	log_reader__free(a);
	log_reader__free(b);
}

static void the_logs_of_two_hosts_can_be_added(void **state)
{
	static const double canary[] = { 0.0, 0.2 };
	static struct said said;
	static struct replayed again;

	for (size_t i = 0; i < 2; i++) {
		struct written logs[HOSTS] = { 0 }, sum = { 0 };
		char one[128];

		said_clear(&said);
		watch_hosts(logs, canary[i], &said);
		rig_store(rig_file("log"), logs[0].bytes.s, logs[0].bytes.len);
		snprintf(one, sizeof(one), "%s", rig_file("log"));
		rig_store(rig_file("other"), logs[1].bytes.s, logs[1].bytes.len);
		merge(one, rig_file("other"), &sum);
		rig_replay_bytes(sum.bytes.s, sum.bytes.len, &again);
		assert_int_equal(again.err, 0);
		assert_int_equal(again.ticks, RIG_TICKS);
		assert_same_said(&said, &again.said, RIG_TICKS);
		for (int h = 0; h < HOSTS; h++)
			written_free(&logs[h]);
		written_free(&sum);
	}
}

/* --- order ----------------------------------------------------------------------------------------------------- */

/* A log whose first two endpoints have changed places. */
static void swap_endpoints(const char *path, struct written *out)
{
	static char first[128];
	struct err e = { "" };
	struct log_reader *reader = log_reader__new(path, &e);
	struct log_record r, held = { .kind = LOG_HEADER };

	assert_non_null(reader);
	while (log_reader__next(reader, &r, &e) > 0) {
		struct log_counts counts[RIG_ENDPOINTS];

		if (r.kind == LOG_ENDPOINT && r.endpoint.number == 0) {
			snprintf(first, sizeof(first), "%s", r.endpoint.def.name);
			held = r;
			held.endpoint.def.name = first;
			held.endpoint.number = 1;
			continue;
		}
		if (r.kind == LOG_ENDPOINT && r.endpoint.number == 1) {
			r.endpoint.number = 0;
			put(out, &r);
			r = held;
		}
		if (r.kind == LOG_TICK && r.tick.n_counts >= 2) {
			memcpy(counts, r.tick.counts, r.tick.n_counts * sizeof(*counts));
			counts[0] = r.tick.counts[1];
			counts[1] = r.tick.counts[0];
			counts[0].endpoint = 0;
			counts[1].endpoint = 1;
			r.tick.counts = counts;
		}
		put(out, &r);
	}
	assert_string_equal(e.text, "");
	log_reader__free(reader);
}

static const cJSON *endpoint_in(const cJSON *verdict, const char *name)
{
	const cJSON *ep;

	cJSON_ArrayForEach (ep, cJSON_GetObjectItem(verdict, "endpoints"))
		if (!strcmp(cJSON_GetObjectItem(ep, "endpoint")->valuestring, name))
			return ep;
	fail_msg("no endpoint %s", name);
	return NULL;
}

static void the_order_of_endpoints_changes_no_verdict(void **state)
{
	static const double canary[] = { 0.0, 0.02, 0.2 };
	static struct said said;
	static struct replayed again;

	for (size_t i = 0; i < 3; i++) {
		struct written swapped = { 0 };

		said_clear(&said);
		free(rig_log(canary[i], &said).s);
		swap_endpoints(rig_file("log"), &swapped);
		rig_replay_bytes(swapped.bytes.s, swapped.bytes.len, &again);
		assert_int_equal(again.err, 0);
		assert_int_equal(again.ending, LOG_WHOLE);
		for (size_t t = 0; t < RIG_TICKS; t++) {
			cJSON *a = cJSON_Parse(said.text[t]), *b = cJSON_Parse(again.said.text[t]);

			assert_int_equal(said.kind[t], again.said.kind[t]);
			/* A sum in another order may end in another last bit. */
			assert_true(fabs(said.log_e_bad[t] - again.said.log_e_bad[t]) <= 1e-9);
			for (size_t k = 0; k < (t < 5 ? 2 : 3); k++) {
				const char *name =
					k == 2 ? "GET /\"quoted\" \\ and \x01 \xc3\xa9" : rig_way.def[k].name;

				assert_true(cJSON_Compare(endpoint_in(a, name), endpoint_in(b, name), true));
			}
			cJSON_Delete(a);
			cJSON_Delete(b);
		}
		written_free(&swapped);
	}
}

static int clean(void **state)
{
	rig_clean();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_logs_of_two_hosts_can_be_added),
		cmocka_unit_test(the_order_of_endpoints_changes_no_verdict),
	};

	return cmocka_run_group_tests(tests, NULL, clean);
}
