/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a screen shows of a comparison: its size, its colours, hostile names. */
#include "show_shop.h"

static void a_wide_terminal_shows_one_line_for_each_endpoint(void **state)
{
	struct fixture *x = shop();
	char *text = shown(&x->c, SHOW_TERMINAL, 180, 40, false, NAN);

	without_cursor(text);
	assert_non_null(strstr(text, "until Ctrl-C"));
	assert_non_null(strstr(text, "* POST /pay        1,000       100      5  0.50%      4  4.00% x8.00"
	                             "  1.95 ms 15.6 ms x8.00  1.95 ms 15.6 ms x8.00  1.95 ms 15.6 ms x8.00\n"));
	free(text);
	close_shop(x);
}

static void no_line_is_wider_than_the_screen_and_no_frame_is_higher(void **state)
{
	struct fixture *x =
		crowd("POST /a/{id}/quite/a/long/path/that/goes/on/and/on/and/on/to/the/very/end/of/the/screen");
	const struct comparison *services[] = { &x->c, &x->c, &x->c };
	char *text;

	for (int columns = 1; columns <= 240; columns += columns < 90 ? 1 : 13) {
		for (int rows = 1; rows <= 60; rows += rows < 30 ? 1 : 9) {
			text = shown(&x->c, SHOW_TERMINAL, columns, rows, false, 59.7);
			without_cursor(text);
			assert_fits(text, columns, rows);
			free(text);
			text = shown_top(services, 3, SHOW_TERMINAL, columns, rows);
			without_cursor(text);
			assert_fits(text, columns, rows);
			free(text);
		}
	}
	close_shop(x);
}

static void a_figure_is_shown_whole_or_not_at_all(void **state)
{
	struct fixture *x = crowd("GET /");
	char *text;

	for (int columns = 1; columns <= 200; columns++) {
		text = shown(&x->c, SHOW_TERMINAL, columns, 60, false, 1);
		without(text, "1,234,567");
		assert_null(strstr(text, "1,2"));
		without(text, "59.0 s");
		assert_null(strstr(text, "59."));
		free(text);
	}
	close_shop(x);
}

static void endpoints_beyond_the_screen_are_folded_critical_ones_last(void **state)
{
	struct fixture *x = shop();
	char *text;

	x->c.n_endpoints = 23;
	for (int i = 3; i < 23; i++) {
		snprintf(x->names[i], sizeof(x->names[i]), "GET /item%d", i);
		x->ep[i].name = x->names[i];
		set_arm(x, i, ARM_BASELINE, "v1", 50 + i, 0);
	}
	text = shown(&x->c, SHOW_TERMINAL, 80, 24, false, 240);
	without_cursor(text);
	assert_fits(text, 80, 24);
	assert_true(strstr(text, "* POST /pay") < strstr(text, "  GET /  "));
	assert_true(strstr(text, "  GET /  ") < strstr(text, "  GET /item22"));
	assert_null(strstr(text, "GET /item3 "));
	assert_non_null(strstr(text, "  ... and "));
	assert_non_null(strstr(text, "  POST /pay: 4 of 100 failed"));
	free(text);

	/* 22 have traffic; 20 in lines, 53 + 54 requests in the two that are left. */
	text = shown(&x->c, SHOW_LINES, 0, 0, false, 240);
	assert_non_null(strstr(text, "\nmore endpoints=2 requests=107\n"));
	free(text);
	close_shop(x);
}

static void colours_come_only_when_asked_for_and_only_on_a_terminal(void **state)
{
	struct fixture *x = shop();
	char *text = shown(&x->c, SHOW_TERMINAL, 80, 40, true, 240);

	assert_non_null(strstr(text, "\033[31mVerdict: ROLLBACK (final)\033[0m"));
	free(text);
	text = shown(&x->c, SHOW_TERMINAL, 80, 40, false, 240);
	without_cursor(text);
	assert_null(strchr(text, '\033'));
	free(text);
	text = shown(&x->c, SHOW_LINES, 80, 40, true, 240);
	assert_null(strchr(text, '\033'));
	free(text);
	close_shop(x);
}

static void hostile_names_are_harmless_on_a_terminal(void **state)
{
	struct fixture *x = crowd(hostile);
	const struct comparison *services[] = { &x->c };
	char *text[4];

	text[0] = shown(&x->c, SHOW_TERMINAL, 100, 50, false, 240);
	text[1] = shown(&x->c, SHOW_LINES, 0, 0, false, 240);
	text[2] = shown_top(services, 1, SHOW_TERMINAL, 70, 50);
	text[3] = shown_top(services, 1, SHOW_LINES, 0, 0);
	for (int i = 0; i < 4; i++) {
		without_cursor(text[i]);
		assert_non_null(strstr(text[i], "POST "));
		for (const char *p = text[i]; *p; p++)
			assert_true(*p == '\n' || (unsigned char)*p >= 0x20);
		assert_null(strchr(text[i], 0x7f));
		assert_null(strstr(text[i], "\xc2\x9b"));     /* CSI as one character */
		assert_null(strstr(text[i], "\xe2\x80\xae")); /* right-to-left override */
		assert_valid_utf8(text[i]);
		free(text[i]);
	}
	close_shop(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wide_terminal_shows_one_line_for_each_endpoint),
		cmocka_unit_test(no_line_is_wider_than_the_screen_and_no_frame_is_higher),
		cmocka_unit_test(a_figure_is_shown_whole_or_not_at_all),
		cmocka_unit_test(endpoints_beyond_the_screen_are_folded_critical_ones_last),
		cmocka_unit_test(colours_come_only_when_asked_for_and_only_on_a_terminal),
		cmocka_unit_test(hostile_names_are_harmless_on_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
