// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * HTTP/2 on connections that are older than we are: what their header tables hold is not known, so a request that
 * refers to it is of no endpoint that could be judged. Where that is most of a version's requests, waiting for more of
 * them is in vain: that is said, with what helps.
 */
#include <stdio.h>
#include <stdlib.h>

#include "session/internal.h"

/* Requests, before anything is said: tables fill anew, and the first few tell nothing. */
#define ENOUGH 50

static bool hides_most(const struct session *s, size_t version)
{
	uint64_t unknown = http2_joined_unknown(s, version);

	return unknown >= ENOUGH && unknown > s->now[version].c[TW_L_ENDED] / 2;
}

const char *joined_note(struct session *s, size_t version)
{
	char **note = &s->joined.notes[version];

	if (!hides_most(s, version))
		return NULL;
	if (!*note && asprintf(note,
	                       "%s: most of its requests come on HTTP/2 connections that were open before they were "
	                       "watched, and their endpoints cannot be told; more of them do not change this, but new "
	                       "connections do: have what holds these open, a proxy for instance, reloaded while this "
	                       "runs",
	                       s->config->versions[version - 1].name) < 0)
		*note = NULL;
	return *note;
}

void joined_keep(struct session *s, double now)
{
	if (now < s->joined.at || ledger_read(s))
		return;
	s->joined.at = now + s->config->gate.tick;
	for (size_t v = 1; v <= s->config->n_versions; v++) {
		const char *note = joined_note(s, v);

		/* Versions that no file names (top) are looked at, not judged. */
		if (!note || s->joined.warned[v] || !s->config->versions[v - 1].line)
			continue;
		log_warn("%s", note);
		s->joined.warned[v] = true;
	}
}

void joined_free(struct session *s)
{
	for (int v = 0; v < TW_MAX_VERSIONS; v++)
		free(s->joined.notes[v]);
}
