// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "show/format.h"
#include "show/parts.h"

/* More than a handful is for the JSON. */
#define CUTS_SHOWN      4
#define BUILD_ID_DIGITS 12

/* What a version's own process did; what clients do is in the outcomes. */
static bool is_by_server(const struct cut *cut)
{
	return cut->outcome == TW_UNANSWERED || cut->outcome == TW_TRUNCATED || cut->outcome == TW_RESET_BY_SERVER;
}

/* "13:02:11": on which clock does not matter to people, as it is theirs. */
static struct text time_of_day(double t)
{
	struct text out = { "-" };
	time_t seconds;
	struct tm tm;

	if (!isfinite(t))
		return out;
	seconds = (time_t)t;
	if (localtime_r(&seconds, &tm))
		strftime(out.s, sizeof(out.s), "%H:%M:%S", &tm);
	return out;
}

static const char *program_name(const struct cut *cut)
{
	const char *slash = cut->exe ? strrchr(cut->exe, '/') : NULL;

	return slash ? slash + 1 : cut->exe ? cut->exe : "a process that has gone";
}

static void put_process(struct line *l, const struct cut *cut)
{
	if (cut->cause == TW_CAUSE_UNKNOWN) {
		line_put(l, "; no process had read them, who closed them is not known");
		return;
	}
	line_put(l, " by %s, pid %d", program_name(cut), (int)cut->pid);
	if (isfinite(cut->process_started))
		line_put(l, " started %s", time_of_day(cut->process_started).s);
	if (cut->build_id)
		line_put(l, ", build %.*s", BUILD_ID_DIGITS, cut->build_id);
	if (cut->cause == TW_CAUSE_CLOSER)
		line_put(l, "; it had not read them");
}

static void put_words(struct line *l, const struct cut *cut)
{
	if (cut->cause == TW_CAUSE_UNKNOWN)
		line_put(l, " pid=-");
	else
		line_put(l, " pid=%d exe=\"%s\" started=%s build=%.*s", (int)cut->pid, cut->exe ? cut->exe : "-",
		         time_of_day(cut->process_started).s, BUILD_ID_DIGITS, cut->build_id ? cut->build_id : "-");
	line_put(l, " cause=%s count=%" PRIu64, cause_names[cut->cause] ? cause_names[cut->cause] : "-", cut->count);
}

void part_cuts(struct frame *f, const struct comparison *c)
{
	uint64_t more = c->cuts_other;
	size_t shown = 0;
	struct line l;

	for (size_t i = 0; i < c->n_cuts; i++) {
		const struct cut *cut = &c->cuts[i];

		if (!is_by_server(cut))
			continue;
		if (shown++ >= CUTS_SHOWN) {
			more += cut->count;
			continue;
		}
		line_init_long(&l);
		if (f->terminal) {
			line_put(&l, "%s %s: %s %s", cut->version ? cut->version : "-",
			         cut->endpoint ? cut->endpoint : "-", format_count(cut->count).s,
			         outcome_names[cut->outcome]);
			put_process(&l, cut);
		} else {
			line_put(&l, "cut \"%s\" version=%s %s", cut->endpoint ? cut->endpoint : "-",
			         cut->version ? cut->version : "-", outcome_names[cut->outcome]);
			put_words(&l, cut);
		}
		frame_prose(f, RANK_COVERAGE, YELLOW, 0, "%s", l.text);
	}
	if (more)
		frame_prose(f, RANK_NOTE, f->terminal ? YELLOW : PLAIN, 0,
		            f->terminal ? "and %s more that were not answered" : "more cuts=%s",
		            f->terminal ? format_count(more).s : format_joined(format_count_short(more)).s);
}
