/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Messages for people, and the exit codes of every command.
 *
 * stdout is data, stderr is talk. A library's messages go through log_at(LOG_DEBUG, ...), one level quieter than ours.
 */
#ifndef TW_ERR_H
#define TW_ERR_H

#include <stddef.h>

enum tw_exit {
	TW_EXIT_PROMOTE = 0,
	TW_EXIT_OK = 0,
	TW_EXIT_FAILURE = 1,
	TW_EXIT_USAGE = 2,
	TW_EXIT_ROLLBACK = 10,
	TW_EXIT_HOLD = 20,
	TW_EXIT_INVALID = 30,
};

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Messages above this level are dropped. Default LOG_INFO. */
extern enum log_level log_threshold;

/* Prints "tillwatch: [warning: ]text\n" to stderr. */
void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

/*
 * One message a function hands to its caller: what failed, on what, the number, what to try.
 * The function also returns a negative errno; text is empty when it returned 0.
 */
struct err {
	char text[512];
};

/* Formats into e (NULL is legal) and returns -code, so that a caller can `return err_set(e, EINVAL, "...")`. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
