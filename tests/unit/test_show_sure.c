/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is shown beside an endpoint's ratios and its verdict: intervals, the second opinion, descriptive figures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "show/show.h"

/* One endpoint that both arms serve, and its verdict. */
struct fixture {
	struct comparison c;
	struct endpoint_figures ep[1];
	struct latencies lat[ARM_NR];
	struct verdict_endpoint judged[1];
};

static struct fixture *open_shop(void)
{
	struct fixture *x = test_calloc(1, sizeof(*x));
	struct verdict *v = &x->c.verdict;

	x->c.service = "shop";
	x->c.seconds = 60;
	x->c.endpoints = x->ep;
	x->c.n_endpoints = 1;
	x->c.version_name[ARM_BASELINE] = "v1";
	x->c.version_name[ARM_CANARY] = "v2";
	x->ep[0].name = "POST /pay";
	for (int arm = 0; arm <= ARM_CANARY; arm++) {
		x->ep[0].arm[arm] = (struct arm_figures){ .present = true, .requests = 1000, .bad = 5 };
		x->ep[0].arm[arm].lat = &x->lat[arm];
		latencies__add(&x->lat[arm], TW_LAT_TOTAL, 1000000);
	}
	x->judged[0] = (struct verdict_endpoint){
		.endpoint = "POST /pay", .has_ratio = true, .ratio = 8, .ratio_low = 1.5, .ratio_high = 40
	};
	x->c.has_verdict = true;
	v->kind = VERDICT_HOLD;
	v->alpha = 0.05;
	v->endpoints = x->judged;
	v->n_endpoints = 1;
	return x;
}

static void close_shop(struct fixture *x)
{
	for (int arm = 0; arm < ARM_NR; arm++)
		latencies__free(&x->lat[arm]);
	test_free(x);
}

/* On a terminal of 80 columns, where a line's end is cleared before it is left. */
static char *shown(const struct comparison *c, enum show_mode mode)
{
	const struct show_options o = { .mode = mode, .columns = 80, .rows = mode == SHOW_TERMINAL ? 40 : 0 };
	char *text = NULL, *at;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	show_comparison(out, c, &o);
	fclose(out);
	while ((at = strstr(text, "\033[K")))
		memmove(at, at + 3, strlen(at + 3) + 1);
	return text;
}

/* The interval of the error ratio is that of the fixture; each face says which limits there are. */
static void ratios_stand_beside_what_is_sure_of_them(void **state)
{
	struct fixture *x = open_shop();
	struct second_opinion *s = &x->judged[0].p95;
	char *text;

	*s = (struct second_opinion){ true, true, 0.0371, 0.024, true, true, true, true,
		                      1.35, 1.78, 0.0082, 0.019, 7,    -2.5, 1.25 };
	text = shown(&x->c, SHOW_TERMINAL);
	assert_non_null(
		strstr(text, "\n  95% sure: errors x1.50 to x40.0, p95 x1.35 to x1.78, +8.20 ms to +19.0 ms\n"));
	free(text);
	text = shown(&x->c, SHOW_LINES);
	assert_non_null(strstr(text, "\nsure \"POST /pay\" 95% errors=x1.50..x40.0 p95=x1.35..x1.78"
	                             " p95_difference=+8.20ms..+19.0ms p50=none p99=none server_p95 v1=24.0ms"
	                             " v2=37.1ms\n"));
	free(text);

	s->has_ratio_high = s->has_difference_high = false;
	s->ratio_low = 0.5;
	s->difference_low = -0.012;
	x->judged[0].ratio_low = 0;
	x->c.verdict.alpha = 0.01;
	text = shown(&x->c, SHOW_TERMINAL);
	assert_non_null(strstr(text, "\n  99% sure: errors at most x40.0, p95 at least x0.50, at least -12.0 ms\n"));
	free(text);
	text = shown(&x->c, SHOW_LINES);
	assert_non_null(
		strstr(text, "\nsure \"POST /pay\" 99% errors=..x40.0 p95=x0.50.. p95_difference=-12.0ms.. p50"));
	free(text);

	x->judged[0].ratio_high = 0x1p20; /* the judge's "no limit yet" */
	x->c.has_verdict = false;
	text = shown(&x->c, SHOW_TERMINAL);
	assert_null(strstr(text, "sure:"));
	free(text);
	x->c.has_verdict = true;
	text = shown(&x->c, SHOW_TERMINAL);
	assert_non_null(strstr(text, "99% sure: errors none yet, p95 at"));
	free(text);
	close_shop(x);
}

static void the_document_tells_the_second_opinion_and_what_nothing_is_decided_by(void **state)
{
	struct fixture *x = open_shop();
	struct verdict_endpoint *ep = &x->judged[0];
	char *text = json_verdict(&x->c.verdict);

	/* Nothing is known yet: null, never 0. */
	assert_non_null(strstr(text, "\"p95_c\":null,\"p95_b\":null,\"p95_difference\":null,\"p95_interval\":null,"
	                             "\"p95_ratio\":null,\"p95_ratio_interval\":null,\"log_e_p95_slower\":null,"
	                             "\"log_e_p95_within\":null,\"dispersion_p95\":null,\"descriptive\":{\"note\":"
	                             "\"looked at once only; nothing is decided by it\",\"excess_bad\":null,"
	                             "\"excess_bad_interval\":null,\"error_share_difference\":null,"
	                             "\"error_share_difference_interval\":null,\"mann_whitney\":{\"z\":null,"
	                             "\"p\":null,\"cles\":null}}"));
	free(text);
	ep->p95 = (struct second_opinion){ true, true, 0.75,  0.5, true, false, true, false,
		                           1.25, 0,    0.125, 0,   7,    -2.5,  1.25 };
	ep->descriptive = (struct descriptive){ 3.5, -1, 9, 0.035, -0.01, 0.09, true, true, 2.5, 0.0125, 0.625 };
	text = json_verdict(&x->c.verdict);
	assert_non_null(strstr(text, "\"p95_c\":0.75,\"p95_b\":0.5,\"p95_difference\":0.25,"
	                             "\"p95_interval\":[0.125,null],\"p95_ratio\":1.5,"
	                             "\"p95_ratio_interval\":[1.25,null],\"log_e_p95_slower\":7,"
	                             "\"log_e_p95_within\":-2.5,\"dispersion_p95\":1.25"));
	assert_non_null(strstr(text, "\"excess_bad\":3.5,\"excess_bad_interval\":[-1,9],"
	                             "\"error_share_difference\":0.035,"
	                             "\"error_share_difference_interval\":[-0.01,0.09],"
	                             "\"mann_whitney\":{\"z\":2.5,\"p\":0.0125,\"cles\":0.625}"));
	free(text);
	close_shop(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ratios_stand_beside_what_is_sure_of_them),
		cmocka_unit_test(the_document_tells_the_second_opinion_and_what_nothing_is_decided_by),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
