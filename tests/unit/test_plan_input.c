/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What `plan` is told: figures with their units, and clear words for what is not one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#include "cmd/plan_input.h"

static const char shop[] = "service: shop\n"
			   "versions: { v1: { arm: baseline, match: { listen: \"8081\" } } }\n"
			   "endpoints:\n"
			   "  - { route: \"POST /checkout\", critical: true }\n"
			   "  - { route: \"GET /cart/{id}\" }\n"
			   "  - { route: \"GET /a=b\" }\n"
			   "stages: [5%, 25%, 100%]\n";

static struct config *config_of(const char *text)
{
	struct config *c = NULL;
	struct err e;

	if (config__parse(&c, text, strlen(text), "shop.yaml", &e))
		fail_msg("%s", e.text);
	return c;
}

static int one_rate(const char *text, struct plan_rate *r, struct err *e)
{
	struct config *c = config_of(shop);
	int err = plan_input__rates(c, &text, 1, r, e);

	r->route = NULL; /* goes with the config */
	config__free(c);
	return err;
}

static void assert_close(double got, double want)
{
	if (!(fabs(got - want) <= 1e-12 * fabs(want)))
		fail_msg("got %.17g, want %.17g", got, want);
}

static void rates_are_taken_by_second_minute_and_hour(void **state)
{
	struct plan_rate r;
	struct err e;

	assert_int_equal(one_rate("POST /checkout=40/s,0.5%", &r, &e), 0);
	assert_close(r.rate, 40);
	assert_close(r.errors, 0.005);
	assert_false(r.has_latency);
	assert_int_equal(one_rate("GET /cart/{id}=90/m,0%", &r, &e), 0);
	assert_close(r.rate, 1.5);
	assert_true(r.errors == 0);
	assert_int_equal(one_rate("GET /cart/{id}=1.8/h,12.5%,12ms/1.5s", &r, &e), 0);
	assert_close(r.rate, 0.0005);
	assert_close(r.errors, 0.125);
	assert_true(r.has_latency);
	assert_close(r.p50, 0.012);
	assert_close(r.p95, 1.5);
}

static void a_path_may_hold_an_equals_sign(void **state)
{
	const char *text = "GET /a=b=7/s,1%";
	struct config *c = config_of(shop);
	struct plan_rate r;
	struct err e;

	assert_int_equal(plan_input__rates(c, &text, 1, &r, &e), 0);
	assert_string_equal(r.route->name, "GET /a=b");
	assert_close(r.rate, 7);
	config__free(c);
}

static void a_rate_that_is_not_one_is_refused_with_its_text_and_a_way_out(void **state)
{
	static const char *const odd[][2] = {
		{ "POST /checkout", "write ENDPOINT=RATE,ERRORS" },
		{ "=40/s,1%", "write ENDPOINT=RATE,ERRORS" },
		{ "POST /checkout=", "errors is missing" },
		{ "POST /checkout=40/s", "errors is missing" },
		{ "POST /checkout=40,1%", "40/s, 2400/m or 90/h" },
		{ "POST /checkout=40/d,1%", "40/s, 2400/m or 90/h" },
		{ "POST /checkout=40/,1%", "40/s, 2400/m or 90/h" },
		{ "POST /checkout=40/sec,1%", "40/s, 2400/m or 90/h" },
		{ "POST /checkout=/s,1%", "40/s, 2400/m or 90/h" },
		{ "POST /checkout=-4/s,1%", "40/s, 2400/m or 90/h" },
		{ "POST /checkout=nan/s,1%", "40/s, 2400/m or 90/h" },
		{ "POST /checkout=1e3/s,1%", "40/s, 2400/m or 90/h" },
		{ "POST /checkout=0/s,1%", "rate of 0" },
		{ "POST /checkout=0.000/h,1%", "rate of 0" },
		{ "POST /checkout=2000000000/s,1%", "billion" },
		{ "POST /checkout=40/s,0.5", "a percentage" },
		{ "POST /checkout=40/s,%", "a percentage" },
		{ "POST /checkout=40/s,-1%", "a percentage" },
		{ "POST /checkout=40/s,100%", "below 100%" },
		{ "POST /checkout=40/s,1%,", "p50/p95" },
		{ "POST /checkout=40/s,1%,12ms", "p50/p95" },
		{ "POST /checkout=40/s,1%,12/45", "p50/p95" },
		{ "POST /checkout=40/s,1%,45ms/12ms", "p50/p95" },
		{ "POST /checkout=40/s,1%,12ms/12ms", "p50/p95" },
		{ "POST /checkout=40/s,1%,0s/12ms", "p50/p95" },
		{ "POST /checkout=40/s,1%,1s/257s", "p50/p95" },
		{ "POST /checkout=40/s,1%,1s/2s,3", "p50/p95" },
	};

	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		struct plan_rate r;
		struct err e = { "" };

		if (one_rate(odd[i][0], &r, &e) != -EINVAL)
			fail_msg("%s was taken", odd[i][0]);
		if (!strstr(e.text, odd[i][0]) || !strstr(e.text, odd[i][1]))
			fail_msg("%s: %s", odd[i][0], e.text);
	}
}

static void figures_of_any_length_are_refused_without_harm(void **state)
{
	static char text[5000];
	struct plan_rate r;
	struct err e;

	for (size_t len = 20; len < sizeof(text); len += 97) {
		memset(text, '9', len);
		memcpy(text, "POST /checkout=", 15);
		text[len] = '\0';
		assert_int_equal(one_rate(text, &r, &e), -EINVAL);
		memset(text, 'x', len);
		memcpy(text + len - 8, "=4/s,1%", 8);
		assert_int_equal(one_rate(text, &r, &e), -EINVAL);
	}
}

static void an_endpoint_that_the_config_has_not_is_answered_with_the_nearest(void **state)
{
	struct plan_rate r;
	struct err e;

	assert_int_equal(one_rate("POST /chekout=40/s,1%", &r, &e), -EINVAL);
	assert_non_null(strstr(e.text, "shop.yaml"));
	assert_non_null(strstr(e.text, "did you mean \"POST /checkout\"?"));
	assert_int_equal(one_rate("DELETE /everything/of/it=40/s,1%", &r, &e), -EINVAL);
	assert_non_null(strstr(e.text, "known are POST /checkout, GET /cart/{id}"));
}

static void a_config_without_endpoints_is_said_to_have_none(void **state)
{
	struct config *c =
		config_of("service: shop\nversions: { v1: { arm: baseline, match: { listen: \"8081\" } } }\n");
	const char *text = "POST /checkout=40/s,1%";
	struct plan_rate r;
	struct err e;

	assert_int_equal(plan_input__rates(c, &text, 1, &r, &e), -EINVAL);
	assert_non_null(strstr(e.text, "names no endpoints"));
	config__free(c);
}

static void an_endpoint_has_one_rate(void **state)
{
	const char *const texts[] = { "POST /checkout=40/s,1%", "GET /cart/{id}=40/s,1%", "POST /checkout=41/s,1%" };
	struct config *c = config_of(shop);
	struct plan_rate r[3];
	struct err e;

	assert_int_equal(plan_input__rates(c, texts, 2, r, &e), 0);
	assert_int_equal(plan_input__rates(c, texts, 3, r, &e), -EINVAL);
	assert_non_null(strstr(e.text, "already has a rate"));
	assert_non_null(strstr(e.text, "41/s"));
	config__free(c);
}

static void shares_rise_between_nothing_and_all(void **state)
{
	static const char *const odd[][2] = {
		{ "", "not a percentage" },
		{ "5", "not a percentage" },
		{ "0.05", "not a percentage" },
		{ "5%,", "not a percentage" },
		{ ",5%", "not a percentage" },
		{ "five%", "not a percentage" },
		{ "-5%", "not a percentage" },
		{ "5% ", "not a percentage" },
		{ "0%", "never be called" },
		{ "100%", "less than 100%" },
		{ "250%", "less than 100%" },
		{ "5%,5%", "does not rise" },
		{ "25%,5%", "does not rise" },
		{ "5%,100%", "less than 100%" },
		{ "5%;25%", "not a percentage" },
		{ "1%,2%,3%,4%,5%,6%,7%,8%,9%,10%,11%,12%,13%,14%,15%,16%,17%,18%,19%,20%,21%", "more than 20" },
	};
	struct plan_shares s;
	struct err e;

	assert_int_equal(plan_input__shares("5%", &s, &e), 0);
	assert_int_equal(s.n, 1);
	assert_close(s.share[0], 0.05);
	assert_int_equal(plan_input__shares("0.5%,25%,99.9%", &s, &e), 0);
	assert_int_equal(s.n, 3);
	assert_close(s.share[0], 0.005);
	assert_close(s.share[2], 0.999);
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		if (plan_input__shares(odd[i][0], &s, &e) != -EINVAL)
			fail_msg("'%s' was taken", odd[i][0]);
		if (!strstr(e.text, odd[i][1]))
			fail_msg("'%s': %s", odd[i][0], e.text);
	}
}

static void the_configs_stages_are_planned_but_for_the_last(void **state)
{
	struct config *c = config_of(shop);
	struct plan_shares s;

	plan_input__stages(c, &s);
	assert_int_equal(s.n, 2);
	assert_close(s.share[0], 0.05);
	assert_close(s.share[1], 0.25);
	config__free(c);
	c = config_of("service: shop\nversions: { v1: { arm: baseline, match: { listen: \"8081\" } } }\n");
	plan_input__stages(c, &s);
	assert_int_equal(s.n, 1);
	assert_close(s.share[0], 0.05);
	config__free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates_are_taken_by_second_minute_and_hour),
		cmocka_unit_test(a_path_may_hold_an_equals_sign),
		cmocka_unit_test(a_rate_that_is_not_one_is_refused_with_its_text_and_a_way_out),
		cmocka_unit_test(figures_of_any_length_are_refused_without_harm),
		cmocka_unit_test(an_endpoint_that_the_config_has_not_is_answered_with_the_nearest),
		cmocka_unit_test(a_config_without_endpoints_is_said_to_have_none),
		cmocka_unit_test(an_endpoint_has_one_rate),
		cmocka_unit_test(shares_rise_between_nothing_and_all),
		cmocka_unit_test(the_configs_stages_are_planned_but_for_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
