// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Whether each arm is what it is taken for: one version, still there, watched by a clock that runs. */
#include <math.h>
#include <stdio.h>

#include "judge/guards/guard.h"

#define JUMP_LIMIT 0.5  /* seconds; a clock that is slewed moves by a hundredth of that in a tick */
#define RECENT     60.0 /* seconds for which a jump, or a stop, is mentioned */
#define LONG_TICK  3.0  /* times what was planned */

bool clock_has_jumped(double jump)
{
	return fabs(jump) >= JUMP_LIMIT;
}

bool tick_is_long(double seconds, double planned)
{
	return planned > 0 && seconds > LONG_TICK * planned;
}

bool guard_purity(const struct judge *j, struct verdict *out)
{
	unsigned int c = j->run.canary.builds, b = j->run.baseline.builds;
	const char *who = c > 1 && b > 1 ? "canary and baseline" : c > 1 ? "the canary" : "the baseline";

	if (c > 1 || b > 1)
		return guard(out, "version_purity", false,
		             "%s: different builds of one program have served it since the start (%u), so its figures "
		             "are not those of one version",
		             who, c > b ? c : b);
	if (c && b)
		return guard(out, "version_purity", true, "each version is served by one build");
	return guard(out, "version_purity", true, "%s%s not known: no build id, or nothing has been read yet",
	             c   ? "the baseline's"
	             : b ? "the canary's"
	                 : "the versions'",
	             c || b ? " build is" : " builds are");
}

/* Before against after, the one is meant to go when the other comes. */
bool guard_vanished(const struct judge *j, struct verdict *out)
{
	bool c = j->run.canary.gone, b = j->run.baseline.gone && is_side_by_side(j);

	if (!c && !b)
		return guard(out, "arm_vanished", true, "no version that was found has gone");
	return guard(out, "arm_vanished", false, "%s has gone: nothing of it is left that could serve",
	             c && b ? "each version"
	             : c    ? "the canary"
	                    : "the baseline");
}

/* What happened lately, as the end of a sentence. */
static void tell_stop(const struct run_state *r, char *text, size_t len)
{
	text[0] = '\0';
	if (r->long_end > 0 && r->end - r->long_end < RECENT)
		snprintf(text, len, "; the observer was stopped for a while: one tick lasted %.3g s",
		         fmin(r->long_tick, 1e12));
}

bool guard_clock(const struct judge *j, struct verdict *out)
{
	const struct run_state *r = &j->run;
	double jump = fmax(-1e12, fmin(r->jump, 1e12));
	char stop[96];

	tell_stop(r, stop, sizeof(stop));
	if (r->jumped)
		return guard(
			out, "clock", false,
			"the clock was moved by %.3g s, or the host slept, in the latest tick, which is not judged%s",
			jump, stop);
	if (r->jump_end > 0 && r->end - r->jump_end < RECENT)
		return guard(out, "clock", true,
		             "the clock was moved by %.3g s, or the host slept, %.3g s ago; that tick is not judged%s",
		             jump, r->end - r->jump_end, stop);
	return guard(out, "clock", true, "the clock runs evenly%s", stop);
}
