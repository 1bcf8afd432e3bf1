/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tick logs that are not what was written: cut off, bits turned, lines missing, and lines that were changed by somebody
 * who knew how to repair their checks. Whatever it is: an answer that names the line, never a crash, never a NaN.
 */
#include "ticklog_rig.h"

#include <cjson/cJSON.h>

/* A header, a cut-over unit, two endpoints; three ticks; an end. */
#define SMALL_HEAD  4
#define SMALL_TICKS 3
#define SMALL_LINES (SMALL_HEAD + SMALL_TICKS + 1)

/* Of so many whole lines. */
static unsigned int ticks_in(unsigned int lines)
{
	if (lines <= SMALL_HEAD)
		return 0;
	return lines - SMALL_HEAD < SMALL_TICKS ? lines - SMALL_HEAD : SMALL_TICKS;
}

static struct bytes small_log(void)
{
	static struct histogram h;
	static const struct judge_cutover unit = { "checkout", "team-pay" };
	struct judge *j = judge__new(&rig_way.policy);
	struct err e = { "" };
	struct ticklog *log;

	unlink(rig_file("log"));
	log = ticklog__new(rig_file("log"), &e);
	assert_int_equal(ticklog__start(log, &rig_header, &e), 0);
	assert_int_equal(ticklog__add_cutover(log, j, &unit), 0);
	for (int i = 0; i < 2; i++) {
		struct judge_endpoint def = rig_way.def[i];

		def.cutover = i == 0;
		assert_int_equal(ticklog__add_endpoint(log, j, &def, &rig_rule), i);
	}
	memset(&h, 0, sizeof(h));
	for (int i = 0; i < 30; i++)
		histogram_add(&h, 1000000 + 50000 * (unsigned int)i);
	for (int i = 0; i < SMALL_TICKS; i++) {
		struct endpoint_tick eps[2] = { 0 };
		struct tick t = { .start = 0.1 * i,
			          .end = 0.1 * (i + 1),
			          .seen = 60 + i,
			          .ledger_balanced = true,
			          .planned_share = 0.5,
			          .canary = { .seen = 30, .opened = 3, .builds = 1 },
			          .endpoints = eps };

		eps[0].baseline = (struct arm_tick){ .n = 30, .bad = 2, .latency = &h };
		eps[0].baseline.outcome[TW_ANSWERED] = 30;
		eps[0].canary = (struct arm_tick){ .n = (1ULL << 60) + 1, .bad = 1, .latency = &h };
		eps[1].baseline = (struct arm_tick){ .n = i };
		assert_int_equal(ticklog__tick(log, j, &t, 2), 0);
	}
	ticklog__end(log);
	ticklog__free(log);
	judge__free(j);
	return rig_load(rig_file("log"));
}

static unsigned int lines_before(const struct bytes *b, size_t at)
{
	unsigned int n = 0;

	for (size_t i = 0; i < at; i++)
		n += b->s[i] == '\n';
	return n;
}

/* The message begins with the file's name and this line's number. */
static void assert_at_line(const struct replayed *r, unsigned int line)
{
	char where[160];

	snprintf(where, sizeof(where), "%s:%u: ", rig_changed(), line);
	if (strncmp(r->e.text, where, strlen(where)) != 0)
		fail_msg("\"%s\" does not begin with \"%s\"", r->e.text, where);
}

static unsigned int line_of(const struct replayed *r)
{
	const char *colon = strchr(r->e.text, ':');

	assert_non_null(colon);
	return (unsigned int)strtoul(colon + 1, NULL, 10);
}

static void a_log_cut_at_any_byte_is_replayed_up_to_there(void **state)
{
	static struct replayed whole, r;
	struct bytes b = small_log();

	rig_replay_bytes(b.s, b.len, &whole);
	assert_int_equal(whole.ending, LOG_WHOLE);
	for (size_t len = 0; len < b.len; len++) {
		/* Before the newline a line is all there. */
		unsigned int lines = lines_before(&b, len) + (b.s[len] == '\n');
		bool between = b.s[len] == '\n' || (len && b.s[len - 1] == '\n');

		rig_replay_bytes(b.s, len, &r);
		if (lines == 0) {
			assert_int_equal(r.err, -EBADMSG);
			assert_at_line(&r, 1);
			continue;
		}
		assert_int_equal(r.err, 0);
		assert_int_equal(r.ending, lines == SMALL_LINES ? LOG_WHOLE : between ? LOG_OPEN : LOG_CUT);
		assert_int_equal(r.ticks, ticks_in(lines));
		assert_same_said(&whole.said, &r.said, r.ticks);
	}
	free(b.s);
}

static void no_bit_can_be_turned_unnoticed(void **state)
{
	static struct replayed whole, r;
	struct bytes b = small_log();

	rig_replay_bytes(b.s, b.len, &whole);
	for (size_t bit = 0; bit < 8 * b.len; bit++) {
		unsigned int line = lines_before(&b, bit / 8) + 1;
		bool last = bit / 8 == b.len - 1;

		b.s[bit / 8] ^= (char)(1 << bit % 8);
		rig_replay_bytes(b.s, b.len, &r);
		b.s[bit / 8] ^= (char)(1 << bit % 8);
		/* The very last newline: what stands before it is no line any more. */
		if (last) {
			assert_int_equal(r.err, 0);
			assert_int_equal(r.ending, LOG_CUT);
			continue;
		}
		assert_int_equal(r.err, -EBADMSG);
		assert_at_line(&r, line);
		assert_int_equal(r.ticks, ticks_in(line - 1));
		assert_same_said(&whole.said, &r.said, r.ticks);
	}
	free(b.s);
}

/* The bytes of b without [from, from + len), with `more` in their place. */
static struct bytes spliced(const struct bytes *b, size_t from, size_t len, const char *more, size_t n)
{
	struct bytes out = { malloc(b->len + n + 1), b->len - len + n };

	assert_non_null(out.s);
	memcpy(out.s, b->s, from);
	memcpy(out.s + from, more, n);
	memcpy(out.s + from + n, b->s + from + len, b->len - from - len);
	return out;
}

/* Where line i (from 1) begins, and its length with its newline. */
static size_t line_at(const struct bytes *b, unsigned int i, size_t *len)
{
	size_t at = 0;

	while (--i)
		at = (size_t)((char *)memchr(b->s + at, '\n', b->len - at) - b->s) + 1;
	*len = (size_t)((char *)memchr(b->s + at, '\n', b->len - at) - b->s) + 1 - at;
	return at;
}

static void lines_that_are_missing_or_there_twice_are_noticed(void **state)
{
	static struct replayed r;
	struct bytes b = small_log(), out;

	for (unsigned int i = 1; i <= SMALL_LINES; i++) {
		size_t len, at = line_at(&b, i, &len);

		out = spliced(&b, at, len, "", 0);
		rig_replay_bytes(out.s, out.len, &r);
		if (i < SMALL_LINES)
			assert_at_line(&r, i);
		else
			assert_int_equal(r.ending, LOG_OPEN);
		free(out.s);
		out = spliced(&b, at, 0, b.s + at, len);
		rig_replay_bytes(out.s, out.len, &r);
		assert_at_line(&r, i + 1);
		free(out.s);
	}
	free(b.s);
}

static void what_stands_behind_the_end_is_no_part_of_a_log(void **state)
{
	static const char *const more[] = { "\n", "x", "{}\n", "{\"tick\":4" };
	static struct replayed r;
	struct bytes b = small_log(), out;

	for (size_t i = 0; i < sizeof(more) / sizeof(*more); i++) {
		out = spliced(&b, b.len, 0, more[i], strlen(more[i]));
		rig_replay_bytes(out.s, out.len, &r);
		assert_int_equal(r.err, -EBADMSG);
		assert_at_line(&r, SMALL_LINES + 1);
		free(out.s);
	}
	free(b.s);
}

/* --- changed by somebody who repairs the checks ---------------------------------------------------------------- */

/* Replaces line i by text, which wants a seal of any kind at its end, and repairs the checks. */
static void replay_with(const struct bytes *b, unsigned int i, const char *text, struct replayed *r)
{
	size_t len, at = line_at(b, i, &len);
	char line[8192];
	struct bytes out;
	int n;

	n = snprintf(line, sizeof(line), "%s,\"crc\":\"00000000\"}\n", text);
	assert_in_range(n, 0, sizeof(line) - 1);
	out = spliced(b, at, len, line, (size_t)n);
	rig_seal(&out);
	rig_replay_bytes(out.s, out.len, r);
	free(out.s);
}

/* clang-format off */
#define RUN "{\"seen\":1,\"lost_events\":0,\"lost_exchanges\":0,\"opened\":1,\"dropped\":0,\"builds\":1,\"gone\":false,\"unread\":0,\"withheld\":0}"
#define TICK_OF(share, run, counts)                                                                        \
	"{\"tick\":1,\"start\":0,\"end\":1,\"seen\":1,\"lost_events\":0,\"lost_exchanges\":0,"                 \
	"\"ledger_balanced\":true,\"ledger_unknown\":false,\"warming\":false,\"planned_share\":" share      \
	",\"clock_jump\":0,\"baseline\":" RUN ",\"canary\":" run ",\"endpoints\":[" counts                  \
	"],\"verdict\":\"hold\",\"log_e_bad\":0"
#define TICK(counts)      TICK_OF("0", RUN, counts)
#define ARM(more)         "{\"n\":1,\"bad\":0,\"turned_away\":0,\"outcomes\":{}" more "}"
#define BOTH(i, more)     "{\"i\":" i ",\"baseline\":" ARM() ",\"canary\":" ARM(more) "}"
#define ENDPOINT(n, name) "{\"endpoint\":" n ",\"name\":\"" name "\",\"critical\":true,\"named\":true,\"fail_fast\":false"
#define WEIGHTS(w)        ",\"weight\":" w ",\"slo_p50\":null,\"slo_p90\":null,\"slo_p95\":null,\"slo_p99\":null,\"slo_error_rate\":null"
#define REST(error_ratio) ",\"max_error_ratio\":" error_ratio ",\"max_latency_increase\":null,\"unit\":\"exchange\",\"cutover\":null" RULE
#define RULE              ",\"bad\":{\"statuses\":[],\"outcomes\":[],\"slower_than\":1}"
#define GRPC(list)        ",\"bad\":{\"statuses\":[],\"outcomes\":[],\"slower_than\":1,\"grpc\":" list "}"
/* clang-format on */

static const struct {
	unsigned int line;
	const char *text, *message;
} wrong_lines[] = {
	{ 1, "{\"ticklog\":1,\"anything\":{}", "format 1; this tillwatch reads tick logs of format 3" },
	{ 1, "{\"ticklog\":3", "header: \"tillwatch\" is missing" },
	{ 1, "{\"tick\":1", "the first line is not a header" },
	{ 2, "{\"ticklog\":3", "a second header" },
	{ 2, "{\"tock\":1", "this is no line of a tick log" },
	{ 2, "{\"tick\":1,}", "this is not a JSON object" },
	{ 2, "{\"cutover\":1,\"name\":\"b\",\"owner\":null", "cut-over unit 1 where cut-over unit 0 should be" },
	{ 2, "{\"cutover\":0,\"name\":null,\"owner\":null", "cut-over unit: \"name\" is not a text" },
	{ 3, "{\"cutover\":1,\"name\":\"checkout\",\"owner\":\"x\"", "has the name of cut-over unit 0" },
	{ 4, "{\"cutover\":1,\"name\":\"late\",\"owner\":\"x\"", "unit 1 after the first endpoint" },
	{ 3, ENDPOINT("0", "a"), "endpoint: \"unit\" is missing" },
	{ 3, ENDPOINT("0", "a") ",\"cutover\":1", "\"cutover\" is not the number of a cut-over unit" },
	{ 3, ENDPOINT("1", "a") WEIGHTS("null") REST("null"), "endpoint 1 where endpoint 0 should be" },
	{ 4, ENDPOINT("1", "POST /checkout") WEIGHTS("null") REST("null"), "endpoint 1 has the name of endpoint 0" },
	{ 3, ENDPOINT("0", "a") WEIGHTS("null") REST("101"), "a weight or limit that no endpoint can have" },
	{ 3, ENDPOINT("0", "a") WEIGHTS("null") REST("1.009"), "a weight or limit that no endpoint can have" },
	{ 2, ENDPOINT("0", "a") WEIGHTS("-1"), "\"weight\" is neither a number above 0 nor null" },
	{ 2, ENDPOINT("0", "a") WEIGHTS("1e999"), "\"weight\" is neither a number above 0 nor null" },
	{ 2, ENDPOINT("0", "a") WEIGHTS("1.01") REST("null"), "a weight or limit that no endpoint can have" },
	{ 2, ENDPOINT("0", "a") WEIGHTS("1") ",\"bad\":{\"statuses\":[[500,499]],\"outcomes\":[],\"slower_than\":1}",
	  "\"statuses\" is not a list of [first, last], rising and below 1024" },
	{ 2, ENDPOINT("0", "a") WEIGHTS("1") ",\"bad\":{\"statuses\":[],\"outcomes\":[\"late\"],\"slower_than\":1}",
	  "\"outcomes\" is \"late\", which means nothing here" },
	{ 2, ENDPOINT("0", "a") WEIGHTS("1") GRPC("[17]"), "\"grpc\" is not a list of statuses, rising and below 17" },
	{ 2, ENDPOINT("0", "a") WEIGHTS("1") GRPC("[2,2]"), "\"grpc\" is not a list of statuses" },
	{ 2, ENDPOINT("0", "a") WEIGHTS("1") GRPC("[-1]"), "\"grpc\" is not a list of statuses" },
	{ 2, ENDPOINT("0", "a") WEIGHTS("1") GRPC("[1.5]"), "\"grpc\" is not a list of statuses" },
	{ 2, ENDPOINT("0", "a") WEIGHTS("1") GRPC("[\"14\"]"), "\"grpc\" is not a list of statuses" },
	{ 2, ENDPOINT("0", "a") WEIGHTS("1") GRPC("[]"), "\"grpc\" is not a list of statuses" },
	{ 2, ENDPOINT("0", "a") WEIGHTS("1") GRPC("{\"14\":14}"), "\"grpc\" is not a list of statuses" },
	{ 2, ENDPOINT("0", "a") WEIGHTS("1") ",\"unit\":\"dozen\"", "\"unit\" is \"dozen\", which means nothing here" },
	{ 2, ENDPOINT("0", "a") WEIGHTS("1") ",\"name\":\"b\"", "\"name\" is there twice" },
	{ 2, ENDPOINT("0", "a") WEIGHTS("1") ",\"colour\":1", "\"colour\" is not a field of a tick log" },
	{ 5, TICK(BOTH("2", "")), "\"i\" is not the number of an endpoint that can come here" },
	{ 5, TICK(BOTH("1", "") "," BOTH("1", "")), "\"i\" is not the number of an endpoint that can come here" },
	{ 5, TICK_OF("1.5", RUN, ""), "tick: \"planned_share\" is not a number from 0 to 1" },
	{ 5, TICK_OF("0", "null", ""), "canary is not an object" },
	{ 5, TICK_OF("0", "{\"seen\":-1}", ""), "canary: \"seen\" is not a count" },
	{ 5, TICK_OF("0", "{\"builds\":4294967296}", ""), "canary: \"builds\" is not a count below 2^32" },
	{ 5, TICK_OF("0", "{\"seen\":1}", ""), "canary: \"lost_events\" is missing" },
	{ 5, TICK("7"), "counts is not an object" },
	{ 5, TICK(BOTH("0", ",\"latency\":{\"count\":2,\"sum\":0,\"max\":0,\"b\":[[3,1]]}")),
	  "endpoint 0, canary: \"latency\" counts 1 exchanges in its buckets and 2 in all" },
	{ 5,
	  TICK(BOTH("0", ",\"latency\":{\"count\":0,\"sum\":0,\"max\":0,\"b\":[[3,\"18446744073709551615\"],"
	                 "[4,1]]}")),
	  "\"latency\" counts more than 2^64 exchanges" },
	{ 5, TICK(BOTH("0", ",\"latency\":{\"count\":1,\"sum\":0,\"max\":0,\"b\":[[450,1]]}")),
	  "\"b\" is not a list of [index, count], indices rising and below 450" },
	{ 5, TICK(BOTH("0", ",\"latency\":{\"count\":2,\"sum\":0,\"max\":0,\"b\":[[3,1],[3,1]]}")), "indices rising" },
	{ 5, TICK(BOTH("0", ",\"groups\":{\"n\":[[16,1]],\"bad\":[]}")), "rising and below 16" },
	{ 5, TICK("{\"i\":0,\"slow_bucket\":450,\"baseline\":" ARM() ",\"canary\":" ARM() "}"),
	  "\"slow_bucket\" is not a bucket" },
	{ 5, TICK("{\"i\":0,\"baseline\":" ARM() "}"), "endpoint 0, counts: \"canary\" is missing" },
	{ 5, TICK("{\"i\":0,\"baseline\":" ARM() ",\"canary\":{\"n\":1,\"bad\":2,\"turned_away\":0,\"outcomes\":{}}}"),
	  "the judge refuses this tick" },
	{ 5,
	  TICK("{\"i\":0,\"baseline\":" ARM() ",\"canary\":{\"n\":9007199254740993,\"bad\":0,\"turned_away\":0,\"outcomes\":{}}}"),
	  "endpoint 0, canary: \"n\" is not a count (from 2^53 on they are strings of digits)" },
	{ 5,
	  TICK("{\"i\":0,\"baseline\":" ARM() ",\"canary\":{\"n\":\"17\",\"bad\":0,\"turned_away\":0,\"outcomes\":{}}}"),
	  "\"n\" is not a count" },
	{ 5,
	  TICK("{\"i\":0,\"baseline\":" ARM() ",\"canary\":{\"n\":\"18446744073709551616\",\"bad\":0,\"turned_away\":0,\"outcomes\":"
	                                      "{}}}"),
	  "\"n\" is not a count" },
	{ 6, TICK(""), "tick 1 where tick 2 should be" },
	{ 8, "{\"end\":4,\"verdict\":\"hold\"", "the end of 4 ticks after 3 of them" },
	{ 8, "{\"end\":3,\"verdict\":\"maybe\"", "\"verdict\" is \"maybe\", which means nothing here" },
};

static void what_is_wrong_with_a_line_is_said(void **state)
{
	static struct replayed r;
	struct bytes b = small_log();

	for (size_t i = 0; i < sizeof(wrong_lines) / sizeof(*wrong_lines); i++) {
		replay_with(&b, wrong_lines[i].line, wrong_lines[i].text, &r);
		if (!r.err)
			fail_msg("accepted: %s", wrong_lines[i].text);
		assert_at_line(&r, wrong_lines[i].line);
		if (!strstr(r.e.text, wrong_lines[i].message))
			fail_msg("row %zu: \"%s\" does not say \"%s\"", i, r.e.text, wrong_lines[i].message);
	}
	free(b.s);
}

/* Prints line i with one of its fields changed: the step-th of all changes there are. NULL: no more of them. */
static char *changed_line(const char *line, size_t len, unsigned int step)
{
	static const char *const values[] = { "null",
		                              "-1",
		                              "0",
		                              "1",
		                              "1.5",
		                              "1e308",
		                              "-1e308",
		                              "1e999",
		                              "1e-320",
		                              "\"\"",
		                              "true",
		                              "9007199254740991",
		                              "9007199254740992",
		                              "\"9007199254740992\"",
		                              "\"18446744073709551615\"",
		                              "[]",
		                              "{}",
		                              "[[0,1]]",
		                              "\"hold\"",
		                              "\"NaN\"" };
	enum { N = sizeof(values) / sizeof(*values), KINDS = N + 2 };
	unsigned int node = step / KINDS, kind = step % KINDS, depth = 0;
	cJSON *root = cJSON_ParseWithLength(line, len), *at = root->child, *stack[16];
	char *out = NULL;

	/* In the order of the text: into what has children, else on, else up. The check stays. */
	while (at && node--) {
		if (at->child) {
			stack[depth++] = at;
			at = at->child;
			continue;
		}
		while (!at->next && depth)
			at = stack[--depth];
		at = at->next;
	}
	if (at && !(at->string && !strcmp(at->string, "crc"))) {
		cJSON *parent = depth ? stack[depth - 1] : root;

		if (kind < N) {
			cJSON *value = cJSON_Parse(values[kind]);

			/* cJSON would print the number as it understood it. */
			if (cJSON_IsNumber(value)) {
				cJSON_Delete(value);
				value = cJSON_CreateRaw(values[kind]);
			}
			if (at->string)
				value->string = strdup(at->string);
			cJSON_ReplaceItemViaPointer(parent, at, value);
		} else if (kind == N) {
			cJSON_Delete(cJSON_DetachItemViaPointer(parent, at));
		} else if (at->string && depth) {
			cJSON_AddItemToObject(parent, at->string, cJSON_CreateNumber(1));
		}
		out = cJSON_PrintUnformatted(root);
	} else if (at) {
		out = strdup("");
	}
	cJSON_Delete(root);
	return out;
}

static void no_changed_field_makes_a_crash_or_a_nan(void **state)
{
	static struct replayed r;
	struct bytes b = small_log(), out;
	unsigned int refused = 0, accepted = 0;

	for (unsigned int i = 1; i <= SMALL_LINES; i++) {
		size_t len, at = line_at(&b, i, &len);
		char *text;

		for (unsigned int step = 0; (text = changed_line(b.s + at, len - 1, step)); step++) {
			if (!*text) {
				free(text);
				continue;
			}
			out = spliced(&b, at, len - 1, text, strlen(text));
			rig_seal(&out);
			/* Looks at each verdict itself. */
			rig_replay_bytes(out.s, out.len, &r);
			if (r.err) {
				refused++;
				assert_true(line_of(&r) >= i);
			} else {
				accepted++;
				assert_int_equal(r.ending, LOG_WHOLE);
			}
			free(out.s);
			free(text);
		}
	}
	/* Other counts make another log that is as good; other types do not. */
	assert_true(refused > 3 * accepted && accepted > 100);
	free(b.s);
}

static int clean(void **state)
{
	rig_clean();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_log_cut_at_any_byte_is_replayed_up_to_there),
		cmocka_unit_test(no_bit_can_be_turned_unnoticed),
		cmocka_unit_test(lines_that_are_missing_or_there_twice_are_noticed),
		cmocka_unit_test(what_stands_behind_the_end_is_no_part_of_a_log),
		cmocka_unit_test(what_is_wrong_with_a_line_is_said),
		cmocka_unit_test(no_changed_field_makes_a_crash_or_a_nan),
	};

	return cmocka_run_group_tests(tests, NULL, clean);
}
