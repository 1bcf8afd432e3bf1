/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a tick log is written to, and what becomes of the run when it cannot be written on. */
#include "ticklog_rig.h"

#include <signal.h>
#include <sys/resource.h>

static void a_file_that_holds_anything_is_not_touched(void **state)
{
	struct err e = { "" };
	struct bytes b;

	rig_store(rig_file("other"), "x", 1);
	assert_null(ticklog__new(rig_file("other"), &e));
	assert_non_null(strstr(e.text, "holds something"));
	b = rig_load(rig_file("other"));
	assert_int_equal(b.len, 1);
	free(b.s);
}

static void an_empty_file_is_taken_and_stays_when_nothing_was_written(void **state)
{
	struct err e = { "" };
	struct ticklog *log;

	rig_store(rig_file("empty"), "", 0);
	log = ticklog__new(rig_file("empty"), &e);
	assert_non_null(log);
	ticklog__free(log);
	assert_int_equal(access(rig_file("empty"), F_OK), 0);
	unlink(rig_file("empty"));
	log = ticklog__new(rig_file("empty"), &e);
	assert_non_null(log);
	ticklog__free(log);
	assert_int_not_equal(access(rig_file("empty"), F_OK), 0);
}

static void two_runs_do_not_write_one_log(void **state)
{
	struct err e = { "" };
	struct ticklog *log;

	unlink(rig_file("log"));
	log = ticklog__new(rig_file("log"), &e);
	assert_non_null(log);
	assert_null(ticklog__new(rig_file("log"), &e));
	assert_non_null(strstr(e.text, "another run"));
	ticklog__free(log);
}

static void what_is_no_file_is_refused_at_once(void **state)
{
	struct err e = { "" };

	rig_file("");
	assert_null(ticklog__new(rig_dir, &e));
	assert_non_null(strstr(e.text, "directory"));
	assert_null(ticklog__new("/nonexistent/log", &e));
	assert_non_null(strstr(e.text, "/nonexistent/log: No such file"));
	unlink(rig_file("other"));
	assert_int_equal(mkfifo(rig_file("other"), 0600), 0);
	for (int reader = -1;; reader = open(rig_file("other"), O_RDONLY | O_NONBLOCK)) {
		assert_null(ticklog__new(rig_file("other"), &e));
		assert_non_null(strstr(e.text, "not a file"));
		if (reader >= 0) {
			close(reader);
			break;
		}
	}
	unlink(rig_file("other"));
}

/* A limit on a file's size does to this file what a full disk does to all. */
static void a_disk_that_fills_up_stops_the_log_and_not_the_run(void **state)
{
	static struct said said, whole;
	static struct replayed again;
	struct rlimit before, small;
	struct err e = { "" };
	struct ticklog *log;
	struct bytes b;

	said_clear(&said);
	said_clear(&whole);
	b = rig_log(0.02, &whole);
	unlink(rig_file("log"));
	log = ticklog__new(rig_file("log"), &e);
	assert_int_equal(ticklog__start(log, &rig_header, &e), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){ b.len / 2, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	rig_watch(log, &rig_way, 0.02, &said);
	ticklog__end(log);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_same_said(&said, &whole, RIG_TICKS);
	assert_non_null(strstr(ticklog__state(log)->stopped, "File too large"));
	rig_replay(rig_file("log"), NULL, &again);
	assert_int_equal(again.err, 0);
	assert_int_equal(again.ending, LOG_OPEN);
	assert_int_equal(again.ticks, ticklog__state(log)->ticks);
	assert_in_range(again.ticks, RIG_TICKS / 3, RIG_TICKS - 1);
	assert_same_said(&said, &again.said, again.ticks);
	ticklog__free(log);
	free(b.s);
}

static void a_log_that_cannot_be_begun_says_so(void **state)
{
	struct err e = { "" };
	struct ticklog *log;

	/* By a name of our own: the device is everybody's. */
	assert_int_equal(symlink("/dev/full", rig_file("full")), 0);
	log = ticklog__new(rig_file("full"), &e);
	assert_non_null(log);
	assert_int_equal(ticklog__start(log, &rig_header, &e), -ENOSPC);
	assert_non_null(strstr(e.text, "full: No space left"));
	ticklog__free(log);
	assert_int_equal(unlink(rig_file("full")), 0);
}

static int clean(void **state)
{
	rig_clean();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_that_holds_anything_is_not_touched),
		cmocka_unit_test(an_empty_file_is_taken_and_stays_when_nothing_was_written),
		cmocka_unit_test(two_runs_do_not_write_one_log),
		cmocka_unit_test(what_is_no_file_is_refused_at_once),
		cmocka_unit_test(a_disk_that_fills_up_stops_the_log_and_not_the_run),
		cmocka_unit_test(a_log_that_cannot_be_begun_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, clean);
}
