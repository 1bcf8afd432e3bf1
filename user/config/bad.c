// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What makes an exchange bad: statuses, outcomes, and how long it may take. */
#include "config/language.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "config/value.h"
#include "tw_rule.h"

const char *const outcome_names[TW_OUTCOME_NR] = {
	[TW_ANSWERED] = "answered",
	[TW_UNANSWERED] = "unanswered",
	[TW_TRUNCATED] = "truncated",
	[TW_RESET_BY_SERVER] = "reset_by_server",
	[TW_RESET_BY_CLIENT] = "reset_by_client",
	[TW_CLIENT_ABANDONED] = "client_abandoned",
	[TW_TIMEOUT] = "timeout",
	[TW_UNOBSERVED] = "unobserved",
};

/* The kernel does not ask a rule about answers below this. */
#define STATUS_FIRST 300
#define STATUS_LAST  599
#define GRPC         "grpc-"

/*
 * Of gRPC's statuses those that HTTP would say with a 5xx: unknown, deadline exceeded, unimplemented, internal,
 * unavailable, data loss.
 */
#define GRPC_FAILURES (1U << 2 | 1U << 4 | 1U << 12 | 1U << 13 | 1U << 14 | 1U << 15)

static void add_statuses(struct tw_rule *r, unsigned int from, unsigned int to)
{
	for (unsigned int code = from; code <= to; code++)
		r->statuses[code >> 6] |= 1ULL << (code & 63);
}

void bad_events__defaults(struct bad_events *b)
{
	*b = (struct bad_events){
		.has_statuses = true,
		.has_grpc = true,
		.has_outcomes = true,
		.has_slower_than = true,
		.rule = { .outcomes = TW_FAULTS, .slower_than = TW_NEVER_SLOW },
	};
	add_statuses(&b->rule, 500, 599);
	b->rule.grpc = GRPC_FAILURES;
}

/* "grpc-14" */
static int add_grpc(const struct source *s, const struct ynode *v, const char *number, struct tw_rule *r)
{
	char buf[CLIP_LEN];
	uint64_t code = 0;

	if (!*number || (*number == '0' && number[1]) || parse_count(number, &code) || code >= TW_GRPC_NR)
		return source_error(s, v->line, "status \"%s\" is none of gRPC's: they are grpc-0 to grpc-%d",
		                    clip(v->text, buf), TW_GRPC_NR - 1);
	r->grpc |= 1U << code;
	return 0;
}

static bool is_grpc(const struct ynode *v)
{
	return v->kind == YNODE_SCALAR && !strncmp(v->text, GRPC, strlen(GRPC));
}

/* "5xx" or "503" */
static int add_status(const struct source *s, const struct key *k, const struct ynode *v, struct tw_rule *r)
{
	char buf[CLIP_LEN];
	uint64_t code = 0;
	const char *text;
	int err = want_text(s, k, v, &text);

	if (err)
		return err;
	if (text[0] >= '1' && text[0] <= '5' && strcmp(text + 1, "xx") == 0) {
		code = (uint64_t)(text[0] - '0') * 100;
		if (code >= STATUS_FIRST) {
			add_statuses(r, (unsigned int)code, (unsigned int)code + 99);
			return 0;
		}
	} else if (strlen(text) != 3 || parse_count(text, &code)) {
		return source_error(
			s, v->line,
			"status \"%s\" is none: write a code or a class, %s: %s; of gRPC's grpc-0 to grpc-%d",
			clip(text, buf), k->name, k->example, TW_GRPC_NR - 1);
	}
	if (code < STATUS_FIRST || code > STATUS_LAST)
		return source_error(s, v->line,
		                    "status \"%s\" cannot be bad: it must be from %d to %d, or 3xx, 4xx, 5xx",
		                    clip(text, buf), STATUS_FIRST, STATUS_LAST);
	add_statuses(r, (unsigned int)code, (unsigned int)code);
	return 0;
}

int read_statuses(const struct source *s, const struct key *k, const struct ynode *v, void *bad_events)
{
	struct bad_events *b = bad_events;
	int err = want_kind(s, k, v, YNODE_SEQUENCE);
	bool http = !err && !v->first, grpc = false;

	for (const struct ynode *n = v->first; n && !err; n = n->next) {
		grpc |= is_grpc(n);
		http |= !is_grpc(n);
	}
	/* Of two kinds: the list replaces what it speaks of. */
	if (http)
		memset(b->rule.statuses, 0, sizeof(b->rule.statuses));
	if (grpc)
		b->rule.grpc = 0;
	b->has_statuses |= http;
	b->has_grpc |= grpc;
	for (const struct ynode *n = v->first; n && !err; n = n->next)
		err = is_grpc(n) ? add_grpc(s, n, n->text + strlen(GRPC), &b->rule) : add_status(s, k, n, &b->rule);
	return err;
}

static int add_outcome(const struct source *s, const struct key *k, const struct ynode *v, struct tw_rule *r)
{
	static const struct key word = { "outcome", 0, NULL, 0, 0, "timeout", false, NULL };
	const char *const *words = outcome_names + TW_UNANSWERED;
	int i = 0, err;

	/* Only those in between: what was answered is told by its status, and what was not observed is lost. */
	_Static_assert(TW_ANSWERED == 0 && TW_UNOBSERVED == TW_OUTCOME_NR - 1, "outcomes that can be bad");
	if (v->kind == YNODE_SCALAR && strcmp(v->text, outcome_names[TW_ANSWERED]) == 0)
		return source_error(s, v->line,
		                    "outcome \"answered\" is good: what is bad among it is said by statuses");
	if (v->kind == YNODE_SCALAR && strcmp(v->text, outcome_names[TW_UNOBSERVED]) == 0)
		return source_error(s, v->line, "outcome \"unobserved\" is lost to both versions: %s",
		                    "it makes a verdict invalid, not an exchange bad");
	err = want_word(s, &word, v, words, TW_OUTCOME_NR - 2, &i);
	if (!err)
		r->outcomes |= 1U << (i + TW_UNANSWERED);
	return err;
}

int read_outcomes(const struct source *s, const struct key *k, const struct ynode *v, void *bad_events)
{
	struct bad_events *b = bad_events;
	int err = want_kind(s, k, v, YNODE_SEQUENCE);

	b->rule.outcomes = 0;
	b->has_outcomes = true;
	for (const struct ynode *n = v->first; n && !err; n = n->next)
		err = add_outcome(s, k, n, &b->rule);
	return err;
}

int read_slower_than(const struct source *s, const struct key *k, const struct ynode *v, void *bad_events)
{
	struct bad_events *b = bad_events;
	double seconds;
	int err;

	b->has_slower_than = true;
	b->rule.slower_than = TW_NEVER_SLOW;
	if (v->kind == YNODE_SCALAR && strcmp(v->text, "never") == 0)
		return 0;
	err = read_duration(s, k, v, &seconds);
	if (!err)
		b->rule.slower_than = (uint64_t)llround(seconds * 1e9);
	return err;
}
