// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Long-lived streams as they are counted and shown. Oracle: lives of streams, added up by hand.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/comparison.h"
#include "show/show.h"

#define S 1000000000ULL

static const uint64_t few[2] = { 3, 1 }, many[2] = { 1000, 20 };

static void messages_of_open_and_ended_streams_add_up_over_many_looks(void **state)
{
	struct stream_figures f = { 0 };

	assert_false(streams_any(&f));
	for (int look = 0; look < 3; look++) {
		streams_look(&f);
		streams_open(&f, 7 * S, few);
		streams_open(&f, 5 * S, many);
		assert_int_equal(f.open, 2);
		assert_int_equal(f.oldest, 5 * S);
		assert_int_equal(streams_messages(&f, STREAM_SERVER), 1003);
		assert_int_equal(streams_messages(&f, STREAM_CLIENT), 21);
	}
	streams_ended(&f, TW_END_CUT, many);
	streams_look(&f);
	streams_open(&f, 7 * S, few);
	assert_int_equal(f.oldest, 7 * S);
	assert_int_equal(streams_messages(&f, STREAM_SERVER), 1003);
	streams_ended(&f, TW_END_NR, few); /* how is not known */
	streams_look(&f);
	assert_true(streams_any(&f));
	assert_int_equal(f.open, 0);
	assert_int_equal(f.ended[TW_END_CUT], 1);
	assert_int_equal(streams_messages(&f, STREAM_CLIENT), 21);
}

static void sessions_of_both_protocols_have_one_mean_age(void **state)
{
	struct session_figures to = { .ended = { [TW_END_CLOSED] = 9, [TW_END_CUT] = 2 },
		                      .age_mean = 10,
		                      .age_max = 15 };
	struct session_figures none = { .age_mean = NAN, .age_max = NAN };
	struct tw_sessions more = { .age_sum = 0 };

	sessions_add(&none, &more);
	assert_true(isnan(none.age_mean) && isnan(none.age_max));
	sessions_add_one(&more, TW_END_CLOSED, 500 * S);
	sessions_add(&none, &more);
	assert_true(isnan(none.age_mean) && none.ended[TW_END_CLOSED] == 1);
	sessions_add_one(&more, TW_END_RESET_BY_SERVER, 40 * S);
	sessions_add_one(&more, TW_END_CUT, 20 * S);
	sessions_add(&to, &more);
	assert_true(to.age_mean == (10.0 * 2 + 60) / 4 && to.age_max == 40);
	assert_int_equal(to.ended[TW_END_CLOSED], 10);
	assert_int_equal(to.ended[TW_END_CUT], 3);
	assert_int_equal(to.ended[TW_END_RESET_BY_SERVER], 1);
}

/* An endpoint with streams in one arm. */
static char *document(struct stream_figures *f, bool text)
{
	struct endpoint_figures ep = { .name = "CONNECT /chat" };
	struct comparison c = { .service = "shop", .endpoints = &ep, .n_endpoints = 1, .looked_at = 100 * S };
	struct show_options o = { .remaining = NAN };
	char *shown = NULL;
	size_t len;
	FILE *out;

	ep.arm[ARM_BASELINE] = (struct arm_figures){ .present = true, .version = "v1", .streams = f };
	ep.arm[ARM_CANARY] = (struct arm_figures){ .present = true, .version = "v2" };
	c.version_name[ARM_BASELINE] = "v1";
	c.version_name[ARM_CANARY] = "v2";
	if (!text)
		return json_comparison(&c);
	out = open_memstream(&shown, &len);
	assert_non_null(out);
	show_comparison(out, &c, &o);
	fclose(out);
	return shown;
}

static void expect(struct stream_figures *f, bool text, const char *part, bool there)
{
	char *shown = document(f, text), *to = shown;

	assert_non_null(shown);
	if (!text) { /* blanks are no part of it */
		for (const char *from = shown; *from; from++)
			if (!strchr(" \t\n", *from))
				*to++ = *from;
		*to = '\0';
	}
	if (!strstr(shown, part) == there)
		fail_msg("\"%s\" is %s in %s", part, there ? "not" : "", shown);
	free(shown);
}

static void streams_are_told_where_there_are_any_and_nowhere_else(void **state)
{
	struct stream_figures f = { 0 };

	expect(NULL, false, "\"streams\"", false);
	expect(&f, false, "\"streams\"", false);
	expect(&f, true, "streams ", false);
	streams_ended(&f, TW_END_CUT, few);
	expect(&f, false,
	       "\"streams\":{\"open\":0,\"oldest\":null,\"messages\":{\"from_server\":3,\"from_client\":1},"
	       "\"ended\":{\"closed\":0,\"reset_by_server\":0,\"reset_by_client\":0,\"cut\":1,"
	       "\"client_abandoned\":0,\"timeout\":0}}",
	       true);
	streams_open(&f, 40 * S, many);
	expect(&f, false,
	       "\"streams\":{\"open\":1,\"oldest\":60,\"messages\":{\"from_server\":1003,\"from_client\":21}", true);
	expect(&f, true, "streams \"CONNECT /chat\" v1 open=1 oldest=", true);
	expect(&f, true, " from_server=1003 from_client=21 cut=1\n", true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_of_open_and_ended_streams_add_up_over_many_looks),
		cmocka_unit_test(sessions_of_both_protocols_have_one_mean_age),
		cmocka_unit_test(streams_are_told_where_there_are_any_and_nowhere_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
