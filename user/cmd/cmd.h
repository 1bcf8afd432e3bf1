/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Subcommands and their options as data: name, argument, help, where the value goes. Help texts come from the same
 * tables that are parsed.
 *
 * Invariant: usage errors exit with TW_EXIT_USAGE and name the option and the way out; data goes to stdout only.
 */
#ifndef TW_CMD_H
#define TW_CMD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum option_type { OPTION_FLAG, OPTION_TEXT, OPTION_DURATION, OPTION_LIST };

/* What an option that may be given more than once has collected. */
struct text_list {
	const char **text; /* with room for as many as argv has */
	size_t n;
};

struct option_spec {
	const char *name; /* "--for"; "FILE": an argument without a name, these in their order */
	char letter;      /* 'c', or 0 */
	enum option_type type;
	const char *arg; /* "T" */
	const char *help;
	void *value; /* bool, const char *, double or struct text_list */
	bool required;
};

struct command {
	const char *name, *summary;
	const char *synopsis; /* after the name */
	const char *text;     /* paragraph below the options, or NULL */
	int (*run)(int argc, char **argv);
};

/* Parses argv[1..]; --help prints the command's help. Returns 0 to go on, else *code is the exit code. */
int options_parse(const struct command *c, const struct option_spec *o, size_t n, int argc, char **argv, int *code);
/* "tillwatch NAME: text; see `tillwatch NAME --help`" to stderr; returns TW_EXIT_USAGE. */
int usage_error(const struct command *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define COST_BUDGET_HELP "of a core for each 10,000 requests/s, before detail is left out: 2%, or off"

extern const struct command cmd_doctor, cmd_top, cmd_init, cmd_watch, cmd_gate, cmd_plan, cmd_replay;

#endif
