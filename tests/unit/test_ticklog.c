/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The lines of a tick log: what is written, and what comes back. The oracle is their text, written out here from the
 * description of the format, with checks computed by Python's zlib.crc32.
 */
#include "ticklog_rig.h"

#include "ticklog/decode.h"
#include "ticklog/encode.h"
#include "ticklog/judged.h"

static struct log_record decoded(struct log_decoder *d, const char *line)
{
	struct err e = { "" };
	struct log_record r;

	if (log_decoder__line(d, line, strlen(line), &r, &e))
		fail_msg("%s: %s", e.text, line);
	return r;
}

/* --- the text -------------------------------------------------------------------------------------------------- */

static const char *const golden[] = {
	"{\"ticklog\":3,\"tillwatch\":\"0.1.0\",\"run\":\"r1\",\"started\":\"2026-11-21T10:13:20Z\",\"service"
	"\":\"shop\",\"baseline\":\"v1\",\"canary\":\"v2\",\"stage\":0.25,\"buckets\":{\"schema\":4,\"min_exp"
	"\":-20,\"n\":450},\"policy\":{\"alpha\":0.05,\"max_error_ratio\":1.5,\"max_latency_increase\":0.2,\""
	"min_requests\":100,\"warmup\":10,\"tick\":5,\"timeout\":30,\"promote_alpha\":0.05,\"deadline\":null,"
	"\"at_deadline\":\"hold\",\"share_tolerance\":0.1,\"max_dropped_sessions\":null,\"mode\":\"canary\","
	"\"bad\":{\"statuses\":[[515,515]],\"outcomes\":[\"unanswered\",\"truncated\",\"reset_by_server\",\"t"
	"imeout\"],\"slower_than\":null}},\"crc\":\"b020f8e9\"}",
	"{\"cutover\":0,\"name\":\"checkout\",\"owner\":\"team-pay\",\"crc\":\"0603771d\"}",
	"{\"endpoint\":0,\"name\":\"POST /checkout\",\"critical\":true,\"named\":true,\"fail_fast\":true,\"we"
	"ight\":null,\"slo_p50\":null,\"slo_p90\":0.2,\"slo_p95\":0.3,\"slo_p99\":null,\"slo_error_rate\":nul"
	"l,\"max_error_ratio\":1.25,\"max_latency_increase\":0.05,\"unit\":\"exchange\",\"cutover\":0,\"bad\""
	":{\"statuses\":[[500,500],[508,510]],\"outcomes\":[\"timeout\"],\"slower_than\":2500000000},\"crc\":"
	"\"ed3cad71\"}",
	"{\"tick\":1,\"start\":0,\"end\":5.1,\"seen\":9007199254740991,\"lost_events\":\"9007199254740992\","
	"\"lost_exchanges\":\"18446744073709551615\",\"ledger_balanced\":true,\"ledger_unknown\":false,\"warm"
	"ing\":true,\"planned_share\":0.25,\"clock_jump\":-3600.5,\"baseline\":{\"seen\":\"184467440737095516"
	"14\",\"lost_events\":1,\"lost_exchanges\":2,\"opened\":3,\"dropped\":\"9007199254740993\",\"builds\""
	":4294967295,\"gone\":false,\"unread\":10,\"withheld\":11},\"canary\":{\"seen\":4,\"lost_events\":5,\"lost_exchanges"
	"\":6,\"opened\":7,\"dropped\":8,\"builds\":9,\"gone\":true,\"unread\":\"9007199254740992\",\"withheld\":12},\"endpoi"
	"nts\":[{\"i\":0,\"slow_bucket\":160,\"baseline\":{\"n\":3,\"bad\":1,\"turned_away\":2,\"outcomes\":{"
	"\"answered\":2,\"timeout\":1},\"latency\":{\"count\":3,\"sum\":7000,\"max\":3000,\"b\":[[0,1],[449,2"
	"]]},\"waited\":{\"count\":1,\"sum\":50,\"max\":50,\"b\":[[3,1]]},\"groups\":{\"n\":[[0,2],[15,1]],\""
	"bad\":[[15,1]],\"slow\":[]}},\"canary\":{\"n\":0,\"bad\":0,\"turned_away\":0,\"outcomes\":{}}}],\"ve"
	"rdict\":\"hold\",\"log_e_bad\":-0.25,\"crc\":\"87da20bb\"}",
	"{\"end\":1,\"verdict\":\"hold\",\"crc\":\"66383a9b\"}",
};

static const struct tick golden_tick = {
	.end = 5.1,
	.seen = (1ULL << 53) - 1,
	.lost_events = 1ULL << 53,
	.lost_exchanges = UINT64_MAX,
	.ledger_balanced = true,
	.warming = true,
	.planned_share = 0.25,
	.clock_jump = -3600.5,
	.baseline = { UINT64_MAX - 1, 1, 2, 3, (1ULL << 53) + 1, UINT32_MAX, false, 10, 11 },
	.canary = { 4, 5, 6, 7, 8, 9, true, 1ULL << 53, 12 },
};

static struct log_record golden_record(int i)
{
	static struct histogram h = { .count = 3, .sum = 7000, .max = 3000 };
	static struct histogram waited = { .count = 1, .sum = 50, .max = 50 };
	static struct connection_groups g = { .has_slow = true };
	static struct log_counts c = { .slow_bucket = 160 };
	struct log_record r = { .kind = (enum log_kind)i };

	h.b[0] = waited.b[3] = g.n[15] = g.bad[15] = 1;
	h.b[449] = g.n[0] = 2;
	c.baseline =
		(struct arm_tick){ .n = 3, .bad = 1, .turned_away = 2, .latency = &h, .waited = &waited, .groups = &g };
	c.baseline.outcome[TW_ANSWERED] = 2;
	c.baseline.outcome[TW_TIMEOUT] = 1;
	if (i == LOG_HEADER)
		r.header = (struct log_header){ .tillwatch = "0.1.0",
			                        .run = "r1",
			                        .started = "2026-11-21T10:13:20Z",
			                        .service = "shop",
			                        .stage = 0.25,
			                        .version = { "v1", "v2" },
			                        .policy = RIG_POLICY };
	if (i == LOG_CUTOVER)
		r.cutover = (struct log_cutover){ .def = { "checkout", "team-pay" } };
	if (i == LOG_ENDPOINT)
		r.endpoint = (struct log_endpoint){
			.def = { .name = "POST /checkout",
			         .critical = true,
			         .named = true,
			         .slo_p90 = 0.2,
			         .slo_p95 = 0.3,
			         .unit = UNIT_EXCHANGE,
			         .margins = { 1.25, 0.05 },
			         .fail_fast = true,
			         .cutover = 1 },
			.bad = { { [7] = 1ULL << 52 | 7ULL << 60 }, 2500000000, 1U << TW_TIMEOUT }
		};
	if (i == LOG_TICK)
		r.tick = (struct log_tick){ .number = 1,
			                    .told = golden_tick,
			                    .counts = &c,
			                    .n_counts = 1,
			                    .verdict = { true, VERDICT_HOLD, -0.25 } };
	if (i == LOG_END)
		r.end = (struct log_end){ 1, VERDICT_HOLD };
	return r;
}

static void a_line_is_written_as_the_format_says(void **state)
{
	struct log_text t = { 0 };
	uint32_t check = 0;

	for (int i = 0; i <= LOG_END; i++) {
		struct log_record r = golden_record(i);

		assert_int_equal(log_text__record(&t, &r, &check), 0);
		assert_int_equal(t.len, strlen(golden[i]) + 1);
		assert_int_equal(t.s[t.len - 1], '\n');
		t.s[t.len - 1] = '\0';
		assert_string_equal(t.s, golden[i]);
	}
	free(t.s);
}

static void assert_same_run(const struct arm_run *a, const struct arm_run *b)
{
	assert_true(a->seen == b->seen && a->lost_events == b->lost_events);
	assert_true(a->lost_exchanges == b->lost_exchanges && a->opened == b->opened && a->dropped == b->dropped);
	assert_true(a->builds == b->builds && a->gone == b->gone);
	assert_true(a->unread == b->unread && a->withheld == b->withheld);
}

static void every_field_of_a_line_comes_back(void **state)
{
	struct log_decoder *d = log_decoder__new();
	struct log_record r = decoded(d, golden[LOG_HEADER]);
	const struct log_counts *c;

	assert_int_equal(r.kind, LOG_HEADER);
	assert_string_equal(r.header.run, "r1");
	assert_string_equal(r.header.version[ARM_CANARY], "v2");
	assert_int_equal(r.header.policy.min_requests, 100);
	assert_true(r.header.policy.alpha == 0.05 && r.header.policy.timeout == 30 && r.header.stage == 0.25);
	assert_true(r.header.policy.deadline == 0 && r.header.policy.max_dropped_sessions == NO_DROP_LIMIT);
	assert_memory_equal(&r.header.policy.bad.rule, &rig_rule, sizeof(rig_rule));
	r = decoded(d, golden[LOG_CUTOVER]);
	assert_string_equal(r.cutover.def.name, "checkout");
	assert_string_equal(r.cutover.def.owner, "team-pay");
	r = decoded(d, golden[LOG_ENDPOINT]);
	assert_string_equal(r.endpoint.def.name, "POST /checkout");
	assert_int_equal(r.endpoint.bad.slower_than, 2500000000);
	assert_int_equal(r.endpoint.bad.outcomes, 1U << TW_TIMEOUT);
	assert_true(r.endpoint.bad.statuses[7] == (1ULL << 52 | 7ULL << 60));
	assert_int_equal(r.endpoint.def.unit, UNIT_EXCHANGE);
	assert_true(r.endpoint.def.critical && r.endpoint.def.slo_p95 == 0.3 && r.endpoint.def.weight == 0);
	assert_true(r.endpoint.def.margins.max_error_ratio == 1.25);
	assert_true(r.endpoint.def.margins.max_latency_increase == 0.05);
	assert_true(r.endpoint.def.fail_fast && r.endpoint.def.cutover == 1);
	r = decoded(d, golden[LOG_TICK]);
	assert_int_equal(r.kind, LOG_TICK);
	/* Field by field, because what lies between them is anything. */
	assert_true(r.tick.told.end == 5.1 && r.tick.told.clock_jump == -3600.5);
	assert_true(r.tick.told.planned_share == 0.25 && r.tick.verdict.log_e_bad == -0.25);
	assert_true(r.tick.told.ledger_balanced && !r.tick.told.ledger_unknown && r.tick.told.warming);
	assert_true(r.tick.told.seen == golden_tick.seen && r.tick.told.lost_events == golden_tick.lost_events);
	assert_true(r.tick.told.lost_exchanges == UINT64_MAX);
	assert_same_run(&r.tick.told.baseline, &golden_tick.baseline);
	assert_same_run(&r.tick.told.canary, &golden_tick.canary);
	assert_int_equal(r.tick.n_counts, 1);
	c = r.tick.counts;
	assert_int_equal(c->slow_bucket, 160);
	assert_int_equal(c->baseline.outcome[TW_TIMEOUT], 1);
	assert_int_equal(c->baseline.latency->b[449], 2);
	assert_int_equal(c->baseline.latency->sum, 7000);
	assert_int_equal(c->baseline.waited->b[3], 1);
	assert_int_equal(c->baseline.waited->max, 50);
	assert_int_equal(c->baseline.groups->n[0], 2);
	assert_int_equal(c->baseline.groups->bad[15], 1);
	assert_true(c->baseline.groups->has_slow);
	assert_null(c->canary.latency);
	assert_null(c->canary.waited);
	assert_null(c->canary.groups);
	assert_false(log_decoder__ended(d));
	assert_int_equal(decoded(d, golden[LOG_END]).end.ticks, 1);
	assert_true(log_decoder__ended(d));
	log_decoder__free(d);
}

/* An exchange that was not told slow from quick is not one that was quick. */
static void slow_exchanges_that_nobody_counted_are_not_none(void **state)
{
	struct log_record r = golden_record(LOG_TICK);
	struct log_decoder *d = log_decoder__new();
	struct connection_groups g = { .n = { 5 } };
	struct log_counts c = { .slow_bucket = -1 };
	struct log_text t = { 0 };
	uint32_t check = 0;

	log_decoder__trust(d);
	for (int i = 0; i < LOG_TICK; i++)
		decoded(d, golden[i]);
	c.baseline.groups = &g;
	r.tick.counts = &c;
	assert_int_equal(log_text__record(&t, &r, &check), 0);
	t.s[t.len - 1] = '\0';
	r = decoded(d, t.s);
	assert_false(r.tick.counts->baseline.groups->has_slow);
	assert_int_equal(r.tick.counts->slow_bucket, -1);
	free(t.s);
	log_decoder__free(d);
}

static void a_number_that_is_none_is_not_written(void **state)
{
	struct log_record r = golden_record(LOG_TICK);
	struct log_text t = { 0 };
	uint32_t check = 17;

	r.tick.told.end = NAN;
	assert_int_equal(log_text__record(&t, &r, &check), -EINVAL);
	assert_int_equal(check, 17);
	free(t.s);
}

/* With every field that a policy can have. */
static void a_whole_policy_comes_back(void **state)
{
	struct log_record r = golden_record(LOG_HEADER);
	struct gate_policy *p = &r.header.policy, want;
	struct log_decoder *d = log_decoder__new();
	struct log_text t = { 0 };
	uint32_t check = 0;

	p->promote_alpha = 0.01;
	p->deadline = 1800;
	p->at_deadline = DEADLINE_ROLLBACK;
	p->max_dropped_sessions = 0;
	p->mode = GATE_BEFORE_AFTER;
	p->bad.rule.slower_than = 0;
	p->bad.rule.outcomes = 0;
	memset(p->bad.rule.statuses, 0xff, sizeof(p->bad.rule.statuses));
	p->bad.rule.grpc = 1U << 0 | 1U << 14 | 1U << 16;
	want = *p;
	assert_int_equal(log_text__record(&t, &r, &check), 0);
	t.s[t.len - 1] = '\0';
	r = decoded(d, t.s);
	assert_memory_equal(p, &want, sizeof(want));
	free(t.s);
	log_decoder__free(d);
}

/* The judge's own arithmetic goes on in doubles; what it was given must not have lost a digit before. */
static void counts_beyond_every_double_survive(void **state)
{
	static const uint64_t counts[] = { 1ULL << 32,       (1ULL << 53) - 1, 1ULL << 53,
		                           (1ULL << 53) + 1, UINT64_MAX - 1,   UINT64_MAX };
	static struct histogram h;
	struct log_decoder *d = log_decoder__new();
	struct log_text t = { 0 };
	uint32_t check = 0;

	for (int i = 0; i < LOG_TICK; i++) {
		struct log_record r = golden_record(i);

		assert_int_equal(log_text__record(&t, &r, &check), 0);
		t.s[t.len - 1] = '\0';
		decoded(d, t.s);
	}
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		struct log_record r = golden_record(LOG_TICK);
		struct log_counts c = { .slow_bucket = -1 };
		uint64_t n = counts[i];

		h = (struct histogram){ .count = n, .sum = n, .max = n };
		h.b[7] = n;
		c.canary = (struct arm_tick){ .n = n, .bad = n, .latency = &h };
		c.canary.outcome[TW_TIMEOUT] = n;
		r.tick.counts = &c;
		r.tick.number = i + 1;
		r.tick.told.seen = r.tick.told.lost_events = r.tick.told.lost_exchanges = n;
		r.tick.told.canary.opened = r.tick.told.baseline.dropped = n;
		assert_int_equal(log_text__record(&t, &r, &check), 0);
		t.s[t.len - 1] = '\0';
		r = decoded(d, t.s);
		assert_true(r.tick.told.seen == n && r.tick.told.lost_events == n && r.tick.told.lost_exchanges == n);
		assert_true(r.tick.told.canary.opened == n && r.tick.told.baseline.dropped == n);
		assert_true(r.tick.counts->canary.n == n && r.tick.counts->canary.bad == n);
		assert_true(r.tick.counts->canary.outcome[TW_TIMEOUT] == n);
		assert_memory_equal(r.tick.counts->canary.latency, &h, sizeof(h));
	}
	free(t.s);
	log_decoder__free(d);
}

/* Counted beyond another bucket than the judge would have announced, they answer another question. */
static void slow_exchanges_beyond_another_bucket_are_not_known(void **state)
{
	static struct histogram h;
	static const size_t place[] = { 0 };
	struct connection_groups g = { .n = { 30 }, .bad = { 1 }, .slow = { 7 }, .has_slow = true };
	struct endpoint_tick ep = { .baseline = { .n = 30, .latency = &h }, .canary = { .n = 30, .latency = &h } };
	struct tick tick = { .end = 5, .ledger_balanced = true, .endpoints = &ep };
	struct judge *j = judge__new(&rig_way.policy);
	struct tick_given given = { 0 };
	struct log_counts c = { 0 };
	struct log_tick r = { .told = { .start = 5, .end = 10 }, .counts = &c, .n_counts = 1 };

	memset(&h, 0, sizeof(h));
	for (int i = 0; i < 30; i++)
		histogram_add(&h, 1000000);
	assert_int_equal(judge__add_endpoint(j, &rig_way.def[0]), 0);
	assert_int_equal(judge__tick(j, &tick, 1), 0);
	c.baseline = (struct arm_tick){ .n = 30, .latency = &h, .groups = &g };
	c.canary = c.baseline;
	for (int off = -1; off <= 1; off++) {
		const struct arm_tick *a;

		c.slow_bucket = (int)histogram_bucket(1000000) + off;
		assert_int_equal(tick_given__fill(&given, j, &r, place, 1), 0);
		a = &given.endpoints[0].canary;
		assert_int_equal(a->groups->has_slow, off == 0);
		assert_int_equal(a->groups->n[0], 30);
		assert_int_equal(a->groups->bad[0], 1);
	}
	tick_given__free(&given);
	judge__free(j);
}

static int clean(void **state)
{
	rig_clean();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_written_as_the_format_says),
		cmocka_unit_test(every_field_of_a_line_comes_back),
		cmocka_unit_test(slow_exchanges_that_nobody_counted_are_not_none),
		cmocka_unit_test(a_number_that_is_none_is_not_written),
		cmocka_unit_test(a_whole_policy_comes_back),
		cmocka_unit_test(counts_beyond_every_double_survive),
		cmocka_unit_test(slow_exchanges_beyond_another_bucket_are_not_known),
	};

	return cmocka_run_group_tests(tests, NULL, clean);
}
