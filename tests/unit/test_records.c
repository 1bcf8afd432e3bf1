// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Records of the ring that no program of ours sends: numbers that name nothing, and records that are cut off. They are
 * counted as lost or passed over, and what is entered is shown. What breaks memory breaks under SAN=1.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "../fuzz/no_kernel.h"
#include "session/internal.h"

static const char text[] = "service: shop\n"
			   "versions:\n"
			   "  v1: { arm: baseline, match: { listen: 1 } }\n"
			   "  v2: { arm: canary, match: { exe: /v2 } }\n"
			   "endpoints: [ { route: \"GET /\" } ]\n";

struct rig {
	struct config *config;
	struct session *s;
};

static struct rig rig_new(void)
{
	struct err e = { "" };
	struct session_options o = { .judge = true };
	struct rig r;

	memset(&no_kernel, 0, sizeof(no_kernel));
	if (config__parse(&r.config, text, sizeof(text) - 1, "shop.yaml", &e))
		fail_msg("%s", e.text);
	o.config = r.config;
	r.s = session__new(&o, &e);
	if (!r.s)
		fail_msg("%s", e.text);
	r.s->records_left = 1000;
	return r;
}

static void rig_free(struct rig *r)
{
	assert_non_null(session__compare(r->s));
	session__free(r->s);
	config__free(r->config);
}

/* From a place of its own size: what reads beyond the record is noticed. */
static void take(struct session *s, const void *record, size_t len)
{
	void *copy = malloc(len);

	assert_non_null(copy);
	memcpy(copy, record, len);
	assert_int_equal(record_handle(s, copy, len), 0);
	free(copy);
}

static void take_exchange(struct session *s, uint16_t version, uint16_t endpoint)
{
	const struct tw_exchange_record r = { .type = TW_R_EXCHANGE,
		                              .version = version,
		                              .endpoint = endpoint,
		                              .outcome = 200,
		                              .status = 65535,
		                              .group = 255 };

	take(s, &r, sizeof(r));
}

static void an_exchange_of_a_version_or_endpoint_that_is_none_is_lost(void **state)
{
	static const uint16_t versions[] = { 3, 63, 64, 65535 }, endpoints[] = { TW_MAX_ENDPOINTS, 0xfffe };
	struct rig r = rig_new();
	uint64_t lost = 0;

	for (size_t i = 0; i < 4; i++, lost++)
		take_exchange(r.s, versions[i], 1);
	for (size_t i = 0; i < 2; i++, lost++)
		take_exchange(r.s, 2, endpoints[i]);
	assert_int_equal(r.s->lost_in_user_space, lost);
	assert_int_equal(r.s->n_live, 2); /* those of the endpoint that the file names */
	take_exchange(r.s, 2, 1);
	assert_int_equal(r.s->lost_in_user_space, lost);
	assert_int_equal(session__compare(r.s)->endpoints[0].arm[ARM_CANARY].requests, 1);
	rig_free(&r);
}

static void who_cut_what_of_a_version_that_is_none_is_not_kept(void **state)
{
	static const struct {
		uint16_t version, endpoint;
		bool kept;
	} cases[] = { { 3, 1, false },   { 63, 0, false }, { 65535, 1, false },
		      { 1, 600, false }, { 1, 3, false },  { 1, 1, true } };
	struct rig r = rig_new();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct tw_detail_record d = { .type = TW_R_DETAIL,
			                            .version = cases[i].version,
			                            .endpoint = cases[i].endpoint,
			                            .outcome = 255,
			                            .cause = 255 };

		take(r.s, &d, sizeof(d));
		assert_int_equal(session__compare(r.s)->n_cuts, cases[i].kept);
	}
	rig_free(&r);
}

static void the_child_of_a_version_that_is_none_is_of_none(void **state)
{
	const struct tw_fork_record fork = {
		.type = TW_R_FORK, .tgid = 99999999, .parent = 99999998, .version = 60000
	};
	const struct tw_process_record process = { TW_R_PROCESS, 99999999 };
	struct rig r = rig_new();

	take(r.s, &fork, sizeof(fork));
	assert_null(generations__find(r.s->generations, 99999999));
	take(r.s, &process, sizeof(process));
	rig_free(&r);
}

static void a_record_that_is_cut_off_is_passed_over(void **state)
{
	struct tw_route_record route = { .type = TW_R_ROUTE, .len = 200 };
	struct rig r = rig_new();

	for (uint32_t type = 0; type < 16; type++) {
		for (size_t len = 0; len < 48; len++) {
			route.type = type;
			if (len)
				take(r.s, &route, len);
		}
	}
	assert_int_equal(routes__count(r.s->routes), 2); /* that of the file, and "other" */
	assert_int_equal(r.s->lost_in_user_space, 0);
	rig_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_exchange_of_a_version_or_endpoint_that_is_none_is_lost),
		cmocka_unit_test(who_cut_what_of_a_version_that_is_none_is_not_kept),
		cmocka_unit_test(the_child_of_a_version_that_is_none_is_of_none),
		cmocka_unit_test(a_record_that_is_cut_off_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
