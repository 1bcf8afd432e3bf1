// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Foreign text in messages. Oracle: RFC 3629, ECMA-48 and the bidirectional controls of UAX 9, as bytes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/tame.h"
#include "capture/proc_text.h"
#include "tls/process.h"

static const struct {
	const char *wild, *tamed;
} cases[] = {
	{ "", "" },
	{ "nginx: master", "nginx: master" },
	{ "gr\xc3\xb6\xc3\x9f"
	  "e \xe2\x82\xac \xf0\x9f\x90\x8b",
	  "gr\xc3\xb6\xc3\x9f"
	  "e \xe2\x82\xac \xf0\x9f\x90\x8b" },
	{ "\x1b[2J\x07", "?[2J?" },
	{ "a\tb\rc\x7f", "a?b?c?" },
	{ "\xc2\x9b"
	  "2J",
	  "??2J" }, /* CSI of the upper control characters */
	{ "\x9b"
	  "2J",
	  "?2J" },                           /* the same as one byte */
	{ "\xc2\xa0", "\xc2\xa0" },          /* the first behind them */
	{ "\xc0\x9b\xe0\x80\x9b", "?????" }, /* overlong */
	{ "\xed\xa0\x80", "???" },           /* half of a pair of UTF-16 */
	{ "\xf4\x90\x80\x80", "????" },      /* beyond the last character */
	{ "\xff\xfe\xc3", "???" },           /* no UTF-8, and cut off */
	{ "\xe2\x80\xae"
	  "exe.txt",
	  "???exe.txt" }, /* written from right to left */
	{ "\xe2\x81\xa6\xe2\x80\x8f", "??????" },
	{ "\xe2\x80\x8d", "\xe2\x80\x8d" }, /* joins letters of some scripts */
};

static void what_could_harm_a_terminal_becomes_question_marks(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* Its end touches the end of the memory: what reads beyond it is noticed. */
		char *copy = strdup(cases[i].wild);

		assert_non_null(copy);
		assert_string_equal(tame_line(copy), cases[i].tamed);
		assert_string_equal(tamed(cases[i].wild).s, cases[i].tamed);
		free(copy);
	}
}

static void a_line_feed_stays_where_lines_are_allowed(void **state)
{
	char lines[] = "a\nb", line[] = "a\nb";

	assert_string_equal(tame(lines), "a\nb");
	assert_string_equal(tame_line(line), "a?b");
}

static void what_is_too_long_for_a_message_says_so(void **state)
{
	char longer[6000];
	struct tamed t;

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	t = tamed(longer);
	assert_int_equal(strlen(t.s), sizeof(t.s) - 1);
	assert_string_equal(t.s + sizeof(t.s) - 6, "xx...");
}

static void an_error_about_a_file_of_any_name_is_plain_text(void **state)
{
	struct err e = { "" };

	assert_int_equal(err_set(&e, 2, "cannot open %s", "/tmp/\x1b]0;x\x07"), -2);
	assert_string_equal(e.text, "cannot open /tmp/?]0;x?");
}

#define STAT " S 1 1 1 0 -1 0 0 0 0 0 1 2 0 0 20 0 1 0 77 0 0 0 10 0 30 0 0"

static void a_process_may_be_called_anything(void **state)
{
	char first[] = "7 (\x1b[2J) (\xc2\x9b\n)" STAT, second[sizeof(first)];
	struct process p = { .pid = 7 };
	struct tls_process q;

	memcpy(second, first, sizeof(first));
	assert_true(proc_text__stat(first, &p));
	assert_string_equal(p.comm, "?[2J) (???");
	assert_int_equal(p.ppid, 1);
	assert_int_equal(p.start_ticks, 77);
	assert_true(tls_process__parse(second, &q));
	assert_string_equal(q.comm, p.comm);
	assert_int_equal(q.start_ticks, 77);
	assert_int_equal(q.cpu, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_could_harm_a_terminal_becomes_question_marks),
		cmocka_unit_test(a_line_feed_stays_where_lines_are_allowed),
		cmocka_unit_test(what_is_too_long_for_a_message_says_so),
		cmocka_unit_test(an_error_about_a_file_of_any_name_is_plain_text),
		cmocka_unit_test(a_process_may_be_called_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
