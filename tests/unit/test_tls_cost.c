// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: tls capture base
 *
 * What reading TLS costs: traps that were counted, each at what it costs on this host. Oracles: sums by hand, and the
 * code of this very process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "capture/trap.h"
#include "tls/cost.h"

#define US 1e-6

static const struct trap_cost trap = { .emulated = 0.5 * US, .stepped = 20 * US, .returned = 0.25 * US };
static struct tls_mix mix;
static struct tls_runs runs;
static struct tls_cost cost;

static int fresh(void **state)
{
	memset(&mix, 0, sizeof(mix));
	memset(&runs, 0, sizeof(runs));
	return 0;
}

static void assert_near(double is, double expected)
{
	if (!(fabs(is - expected) <= 1e-9 * fabs(expected)))
		fail_msg("%.12g, not %.12g", is, expected);
}

static void each_job_costs_what_its_place_costs_and_what_its_program_takes(void **state)
{
	static const struct tls_site sites[] = { { .job = TLS_READ_IN, .how = TLS_EMULATED },
		                                 { .job = TLS_READ_OUT, .how = TLS_URETPROBE },
		                                 { .job = TLS_WRITE_IN, .how = TLS_STEPPED },
		                                 { .job = TLS_FREE_IN, .how = TLS_STEPPED } };

	tls_mix__add(&mix, sites, 4, 1);
	runs.runs[TLS_READ_IN] = runs.runs[TLS_READ_OUT] = 2000;
	runs.runs[TLS_WRITE_IN] = 1000;
	runs.ns[TLS_READ_OUT] = 3000000;
	tls_cost__of(&mix, &runs, &trap, &cost);
	assert_near(cost.traps[TLS_EMULATED], 2000);
	assert_near(cost.traps[TLS_URETPROBE], 2000);
	assert_near(cost.traps[TLS_STEPPED], 1000);
	assert_near(cost.seconds, 2000 * 0.5 * US + 2000 * 0.25 * US + 1000 * 20 * US + 3e-3);
}

/* One process three times as busy as the other, whose library has the place elsewhere. */
static void where_a_job_has_places_of_both_kinds_its_traps_are_dealt_by_the_time_of_the_processes(void **state)
{
	static const struct tls_site cheap = { .job = TLS_READ_IN, .how = TLS_EMULATED },
				     dear = { .job = TLS_READ_IN, .how = TLS_STEPPED };

	tls_mix__add(&mix, &cheap, 1, 0.75);
	tls_mix__add(&mix, &dear, 1, 0.25);
	runs.runs[TLS_READ_IN] = 4000;
	tls_cost__of(&mix, &runs, &trap, &cost);
	assert_near(cost.traps[TLS_EMULATED], 3000);
	assert_near(cost.traps[TLS_STEPPED], 1000);
	assert_near(cost.seconds, 3000 * 0.5 * US + 1000 * 20 * US);
}

/* As Go has it, where every return is watched: how many places there are does not change how many traps there were. */
static void many_places_of_a_job_are_no_more_traps(void **state)
{
	static const struct tls_site sites[] = { { .job = TLS_GO_READ_OUT, .how = TLS_STEPPED },
		                                 { .job = TLS_GO_READ_OUT, .how = TLS_STEPPED },
		                                 { .job = TLS_GO_READ_OUT, .how = TLS_STEPPED } };

	tls_mix__add(&mix, sites, 3, 0.1);
	runs.runs[TLS_GO_READ_OUT] = 100;
	tls_cost__of(&mix, &runs, &trap, &cost);
	assert_near(cost.traps[TLS_STEPPED], 100);
	assert_near(cost.seconds, 100 * 20 * US);
}

static void nothing_that_ran_is_no_cost_whatever_is_known(void **state)
{
	static const struct trap_cost unknown = { NAN, NAN, NAN };

	tls_cost__of(&mix, &runs, &unknown, &cost);
	assert_true(cost.seconds == 0);
}

static void traps_whose_cost_is_not_known_make_the_sum_unknown(void **state)
{
	static const struct trap_cost unknown = { NAN, NAN, NAN };

	runs.runs[TLS_READ_IN] = 1;
	tls_cost__of(&mix, &runs, &unknown, &cost);
	assert_true(isnan(cost.seconds));
}

/* ---- on this host ------------------------------------------------------------------------------------------------ */

void trap_emulated(void);
void trap_stepped(void);

static void a_trap_is_measured_in_this_process_and_its_code_is_as_it_was_afterwards(void **state)
{
	struct closer *closer = closer__new();
	unsigned char before[2], after[2];
	struct trap_cost c;
	int err;

	if (geteuid()) {
		closer__free(closer);
		print_message("skipped: not root, which programs in processes need\n");
		skip();
	}
	before[0] = *(volatile const unsigned char *)(uintptr_t)trap_emulated;
	before[1] = *(volatile const unsigned char *)(uintptr_t)trap_stepped;
	err = trap_cost__measure(closer, &c);
	closer__free(closer);
	if (err)
		fail_msg("not measured: %s", strerror(-err));
	print_message("a trap %.2f us, a stepped one %.2f us, a replaced return address %.2f us more\n",
	              c.emulated / US, c.stepped / US, c.returned / US);
	/* Anything else would be no trap, or no host. */
	assert_true(c.emulated > 0.05 * US && c.emulated < 100 * US);
	assert_true(c.stepped > c.emulated && c.stepped < 1000 * US);
	assert_true(c.returned >= 0 && c.returned < 100 * US);
	after[0] = *(volatile const unsigned char *)(uintptr_t)trap_emulated;
	after[1] = *(volatile const unsigned char *)(uintptr_t)trap_stepped;
	assert_memory_equal(before, after, 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, fresh)
	const struct CMUnitTest tests[] = {
		TEST(each_job_costs_what_its_place_costs_and_what_its_program_takes),
		TEST(where_a_job_has_places_of_both_kinds_its_traps_are_dealt_by_the_time_of_the_processes),
		TEST(many_places_of_a_job_are_no_more_traps),
		TEST(nothing_that_ran_is_no_cost_whatever_is_known),
		TEST(traps_whose_cost_is_not_known_make_the_sum_unknown),
		TEST(a_trap_is_measured_in_this_process_and_its_code_is_as_it_was_afterwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
