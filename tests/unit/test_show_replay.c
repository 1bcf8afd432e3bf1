/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The two faces of a replay: the pieces of the document make one, people are told what differs, and coverage says what
 * can be replayed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_at.h"
#include "show/replay.h"
#include "show/show.h"
#include "ticklog/ticklog.h"

static const struct log_header header = {
	.tillwatch = "0.1.0",
	.run = "r1",
	.started = "2026-11-21T10:13:20Z",
	.service = "shop",
	.version = { "v1", "v2" },
	.policy = { .alpha = 0.05, .max_error_ratio = 1.5, .min_requests = 500, .max_dropped_sessions = NO_DROP_LIMIT }
};

static struct verdict verdict_of(enum verdict_kind kind, double log_e_bad)
{
	struct verdict v = { .kind = kind, .alpha = 0.05, .log_e_bad = log_e_bad, .n_reasons = 1 };

	v.reasons[0].code = "undecided";
	snprintf(v.reasons[0].text, sizeof(v.reasons[0].text), "GET /\x1b[2J\xff is not decided");
	return v;
}

static struct log_tick tick_of(bool given, enum verdict_kind kind, double log_e_bad)
{
	return (struct log_tick){ .number = 3,
		                  .told = { .start = 10, .end = 15 },
		                  .verdict = { given, kind, log_e_bad } };
}

/* What a function prints. free() it. */
static char *printed(void (*show)(FILE *out, const void *what), const void *what)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	show(out, what);
	fclose(out);
	return text;
}

static void head(FILE *out, const void *what)
{
	show_replay_head(out, what);
}

static void tick(FILE *out, const void *what)
{
	show_replay_tick(out, what);
}

static void sum(FILE *out, const void *what)
{
	show_replay_sum(out, what, true);
}

static void another_verdict_and_other_figures_are_two_things(void **state)
{
	static const struct {
		struct log_verdict then;
		enum verdict_kind kind;
		double log_e_bad;
		bool differs, inexact;
	} rows[] = {
		{ { true, VERDICT_HOLD, 0.25 }, VERDICT_HOLD, 0.25, false, false },
		{ { true, VERDICT_HOLD, 0.25 }, VERDICT_PROMOTE, 0.25, true, false },
		{ { true, VERDICT_HOLD, 0.25 }, VERDICT_HOLD, 0.25 + 0x1p-54, false, true },
		{ { true, VERDICT_HOLD, NAN }, VERDICT_HOLD, 0.25, false, true },
		{ { true, VERDICT_HOLD, NAN }, VERDICT_HOLD, -INFINITY, false, false },
		/* Then it was refused: there is nothing to differ from. */
		{ { false, VERDICT_PROMOTE, 1 }, VERDICT_HOLD, 0.25, false, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct verdict v = verdict_of(rows[i].kind, rows[i].log_e_bad);
		struct log_tick t = tick_of(rows[i].then.given, rows[i].then.kind, rows[i].then.log_e_bad);
		struct replay_tick replayed = { &t, &v };

		assert_int_equal(replay_differs(&replayed), rows[i].differs);
		assert_int_equal(replay_inexact(&replayed), rows[i].inexact);
	}
}

static void people_are_told_what_differs_and_foreign_bytes_stay_out(void **state)
{
	struct gate_policy strict = header.policy;
	struct log_header alone = header;
	struct replay_head h = { &header, &strict, "strict.yaml" };
	struct verdict v = verdict_of(VERDICT_HOLD, 0);
	struct log_tick t = tick_of(true, VERDICT_PROMOTE, 0);
	struct replay_tick replayed = { &t, &v };
	struct verdict_cutover units[] = {
		{ .name = "checkout", .owner = "team-pay", .kind = VERDICT_ROLLBACK, .text = "it fails" },
		{ .name = "seo", .kind = VERDICT_HOLD, .text = "no traffic" },
	};
	struct replay_sum s = { .ticks = 9, .seconds = 45, .other = 2, .last = &v, .error = "x.log:7: cut" };
	char *text;

	strict.max_error_ratio = 1.1;
	strict.min_requests = 700;
	strict.deadline = 60;
	strict.at_deadline = DEADLINE_ROLLBACK;
	text = printed(head, &h);
	assert_string_equal(text, "shop: v1 (baseline) against v2 (canary), run r1 of 2026-11-21T10:13:20Z, watched by "
	                          "tillwatch 0.1.0\nunder the policy of strict.yaml: max_error_ratio 1.1 instead of "
	                          "1.5, min_requests 700 instead of 500, deadline 60 instead of none, at_deadline "
	                          "rollback instead of hold\n");
	free(text);
	alone.version[ARM_BASELINE] = NULL;
	h = (struct replay_head){ &alone, &alone.policy, NULL };
	text = printed(head, &h);
	assert_string_equal(text, "shop: v2 (canary), run r1 of 2026-11-21T10:13:20Z, watched by tillwatch 0.1.0\n");
	free(text);
	text = printed(tick, &replayed);
	assert_string_equal(text,
	                    "   15.0 s  hold (promote when it was watched)\n           GET /?[2J? is not decided\n");
	free(text);
	snprintf(v.summary, sizeof(v.summary), "Nothing is known yet.");
	v.cutovers = units;
	v.n_cutovers = 2;
	text = printed(sum, &s);
	assert_string_equal(
		text,
		"   45.0 s  hold after 9 ticks\n           Nothing is known yet.\n           GET /?[2J? is not decided\n"
		"           unit checkout of team-pay: rollback: it fails\n"
		"           unit seo: hold: no traffic\n"
		"this is not the whole run: x.log:7: cut\n"
		"2 of 9 ticks have another verdict than when it was watched\n");
	free(text);
}

static void the_pieces_of_a_document_make_one(void **state)
{
	struct replay_head h = { &header, &header.policy, NULL };
	struct verdict v = verdict_of(VERDICT_HOLD, 0.1);
	struct log_tick t = tick_of(true, VERDICT_PROMOTE, 0.1);
	struct replay_tick replayed = { &t, &v };
	struct replay_sum s = { .ticks = 2, .other = 2, .last = &v, .whole = true };
	char *pieces[4] = { json_replay_head(&h), json_replay_tick(&replayed), json_replay_tick(&replayed),
		            json_replay_sum(&s) };
	char document[8192];
	cJSON *root;

	snprintf(document, sizeof(document), "%s%s,%s%s", pieces[0], pieces[1], pieces[2], pieces[3]);
	root = cJSON_Parse(document);
	if (!root)
		fail_msg("%s", document);
	text_is(root, "schema", "tillwatch.replay/1");
	number_is(root, "policy.min_requests", 500);
	null_is(root, "config");
	size_is(root, "ticks", 2);
	text_is(root, "ticks.0.watched", "promote");
	truth_is(root, "ticks.0.differs", true);
	text_is(root, "ticks.0.verdict.schema", "tillwatch.verdict/1");
	text_is(root, "ticks.0.verdict.verdict", "hold");
	truth_is(root, "complete", true);
	null_is(root, "error");
	number_is(root, "other_verdicts", 2);
	text_is(root, "verdict", "hold");
	cJSON_Delete(root);
	/* A log without a tick is a document, too. */
	snprintf(document, sizeof(document), "%s%s", pieces[0], pieces[3]);
	root = cJSON_Parse(document);
	assert_non_null(root);
	size_is(root, "ticks", 0);
	cJSON_Delete(root);
	for (int i = 0; i < 4; i++)
		free(pieces[i]);
}

static void coverage_says_how_much_of_the_run_is_in_its_log(void **state)
{
	struct ticklog_state log = { "x.log", 7, NULL };
	struct comparison c = { .service = "shop" };

	for (int i = 0; i < 3; i++) {
		char *text;
		cJSON *root, *said;

		c.log = i ? &log : NULL;
		log.stopped = i == 2 ? "no room" : NULL;
		text = json_comparison(&c);
		root = cJSON_Parse(text);
		said = cJSON_GetObjectItem(cJSON_GetObjectItem(root, "coverage"), "tick_log");
		if (i == 0) {
			assert_true(cJSON_IsNull(said));
		} else {
			assert_int_equal(cJSON_GetObjectItem(said, "ticks")->valueint, 7);
			assert_int_equal(cJSON_IsTrue(cJSON_GetObjectItem(said, "complete")), i == 1);
		}
		if (i == 2)
			assert_string_equal(cJSON_GetObjectItem(said, "error")->valuestring, "no room");
		cJSON_Delete(root);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_verdict_and_other_figures_are_two_things),
		cmocka_unit_test(people_are_told_what_differs_and_foreign_bytes_stay_out),
		cmocka_unit_test(the_pieces_of_a_document_make_one),
		cmocka_unit_test(coverage_says_how_much_of_the_run_is_in_its_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
