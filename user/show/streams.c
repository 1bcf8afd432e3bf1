// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Long-lived streams of HTTP/2 on an endpoint, in one line. */
#include <inttypes.h>

#include "show/format.h"
#include "show/parts.h"

const char *const session_end_names[TW_END_NR] = {
	[TW_END_CLOSED] = "closed",
	[TW_END_RESET_BY_SERVER] = "reset_by_server",
	[TW_END_RESET_BY_CLIENT] = "reset_by_client",
	[TW_END_CUT] = "cut",
	[TW_END_CLIENT_ABANDONED] = "client_abandoned",
	[TW_END_TIMEOUT] = "timeout",
};

/* "v1: 3 streams open, the oldest for 2m 3s, 1,204 messages sent, 12 received, 4 closed, 1 cut" */
static void put_words(struct line *l, const struct comparison *c, const struct arm_figures *a)
{
	const struct stream_figures *f = a->streams;

	line_put(l, ": %s %s open", format_count(f->open).s, f->open == 1 ? "stream" : "streams");
	if (f->open)
		line_put(l, ", the oldest for %s", format_span(arm_oldest_stream(c, a)).s);
	line_put(l, ", %s messages sent", format_count(streams_messages(f, STREAM_SERVER)).s);
	line_put(l, ", %s received", format_count(streams_messages(f, STREAM_CLIENT)).s);
	for (int i = 0; i < TW_END_NR; i++)
		if (f->ended[i])
			line_put(l, ", %s %s", format_count(f->ended[i]).s, session_end_names[i]);
}

static void put_fields(struct line *l, const struct comparison *c, const struct arm_figures *a)
{
	const struct stream_figures *f = a->streams;

	line_put(l, " open=%" PRIu64 " oldest=%s from_server=%" PRIu64 " from_client=%" PRIu64, f->open,
	         format_joined(format_span(arm_oldest_stream(c, a))).s, streams_messages(f, STREAM_SERVER),
	         streams_messages(f, STREAM_CLIENT));
	for (int i = 0; i < TW_END_NR; i++)
		if (f->ended[i])
			line_put(l, " %s=%" PRIu64, session_end_names[i], f->ended[i]);
}

void part_streams(struct frame *f, const struct comparison *c, const struct endpoint_figures *ep)
{
	struct line l;

	line_init_long(&l);
	for (int arm = 0; arm < ARM_NR; arm++) {
		const struct arm_figures *a = &ep->arm[arm];

		if (!arm_has_streams(a))
			continue;
		line_put(&l, "%s%s", l.len ? "; " : "", a->version ? a->version : arm_label(c, arm));
		if (f->terminal)
			put_words(&l, c, a);
		else
			put_fields(&l, c, a);
	}
	if (!l.len)
		return;
	if (f->terminal)
		frame_prose(f, RANK_STAYS, DIM, 4, "%s", l.text);
	else
		frame_prose(f, RANK_STAYS, PLAIN, 0, "streams \"%s\" %s", ep->name, l.text);
}
