// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "config/config.h"

int usage_error(const struct command *c, const char *fmt, ...)
{
	char text[sizeof(((struct err *)0)->text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "tillwatch %s: %s; see `tillwatch %s --help`\n", c->name, text, c->name);
	return TW_EXIT_USAGE;
}

static void print_help(const struct command *c, const struct option_spec *o, size_t n)
{
	char left[64];

	printf("usage: tillwatch %s %s\n\n%s.\n\n", c->name, c->synopsis, c->summary);
	for (size_t i = 0; i <= n; i++) {
		char letter[8] = "    ";

		if (i == n) {
			printf("  %-22s %s\n", "-h, --help", "this text");
			break;
		}
		if (o[i].letter)
			snprintf(letter, sizeof(letter), "-%c, ", o[i].letter);
		snprintf(left, sizeof(left), "%s%s%s%s", letter, o[i].name, o[i].arg ? " " : "",
		         o[i].arg ? o[i].arg : "");
		printf("  %-22s %s%s\n", left, o[i].help, o[i].required ? " (required)" : "");
	}
	if (c->text)
		printf("\n%s\n", c->text);
}

static const struct option_spec *find(const struct option_spec *o, size_t n, const char *arg, size_t len)
{
	for (size_t i = 0; i < n; i++) {
		if (o[i].name[0] != '-')
			continue;
		if (len == strlen(o[i].name) && !strncmp(o[i].name, arg, len))
			return &o[i];
		if (len == 2 && arg[0] == '-' && o[i].letter && arg[1] == o[i].letter)
			return &o[i];
	}
	return NULL;
}

/* The next argument without a name that is not given yet. */
static const struct option_spec *find_unnamed(const struct option_spec *o, size_t n, const char *arg, const bool *seen)
{
	for (size_t i = 0; i < n; i++)
		if (o[i].name[0] != '-' && arg[0] != '-' && !seen[i])
			return &o[i];
	return NULL;
}

static int lacks_value(const struct command *c, const struct option_spec *o)
{
	return usage_error(c, "%s needs a value: %s %s", o->name, o->name, o->arg);
}

static int take_value(const struct command *c, const struct option_spec *o, const char *value)
{
	if (!*value)
		return lacks_value(c, o);
	if (o->type == OPTION_TEXT) {
		*(const char **)o->value = value;
		return 0;
	}
	if (o->type == OPTION_LIST) {
		struct text_list *list = o->value;

		list->text[list->n++] = value;
		return 0;
	}
	if (parse_duration(value, o->value) || !(*(double *)o->value > 0))
		return usage_error(c, "%s: '%s' is not a duration that can be waited for; write 30s, 5m or 1h", o->name,
		                   value);
	return 0;
}

int options_parse(const struct command *c, const struct option_spec *o, size_t n, int argc, char **argv, int *code)
{
	bool seen[16] = { false };

	for (int i = 1; i < argc; i++) {
		const char *eq = strchr(argv[i], '=');
		size_t len = eq && argv[i][1] == '-' ? (size_t)(eq - argv[i]) : strlen(argv[i]);
		const struct option_spec *f = find(o, n, argv[i], len);

		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			print_help(c, o, n);
			*code = TW_EXIT_OK;
			return 1;
		}
		if (!f) {
			f = find_unnamed(o, n, argv[i], seen);
			if (f) {
				seen[f - o] = true;
				*(const char **)f->value = argv[i];
				continue;
			}
			*code = usage_error(c, "unknown %s '%.*s'", argv[i][0] == '-' ? "option" : "argument", (int)len,
			                    argv[i]);
			return 1;
		}
		seen[f - o] = true;
		if (f->type == OPTION_FLAG) {
			*(bool *)f->value = true;
			continue;
		}
		if (!argv[i][len] && i + 1 == argc) {
			*code = lacks_value(c, f);
			return 1;
		}
		*code = take_value(c, f, argv[i][len] ? argv[i] + len + 1 : argv[++i]);
		if (*code)
			return 1;
	}
	for (size_t i = 0; i < n; i++)
		if (o[i].required && !seen[i]) {
			*code = usage_error(c, "%s%s%s is missing", o[i].name, o[i].arg ? " " : "",
			                    o[i].arg ? o[i].arg : "");
			return 1;
		}
	return 0;
}
