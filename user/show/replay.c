// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "show/replay.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "show/format.h"
#include "show/screen.h"

bool replay_differs(const struct replay_tick *t)
{
	return t->log->verdict.given && t->log->verdict.kind != t->now->kind;
}

bool replay_inexact(const struct replay_tick *t)
{
	double then = t->log->verdict.log_e_bad, now = t->now->log_e_bad;

	if (!t->log->verdict.given || replay_differs(t))
		return false;
	return isfinite(now) ? !(now == then) : isfinite(then);
}

/* Off a terminal and on one alike: nothing is redrawn, and foreign bytes stay out. */
static void begin(struct frame *f)
{
	const struct show_options lines = { .mode = SHOW_LINES };

	frame_init(f, &lines);
}

static void draw(struct frame *f, FILE *out)
{
	frame_draw(f, out);
	frame_fini(f);
}

static struct number_text value_text(const struct gate_policy *p, size_t i)
{
	struct policy_field f = gate_policy__field(i);
	double value = gate_policy__get(p, i);
	struct number_text text = { "none" };

	if (f.words)
		snprintf(text.s, sizeof(text.s), "%s", f.words[(int)value]);
	else if (!isnan(value))
		text = number_text(value);
	return text;
}

/* "max_error_ratio 1.1 instead of 1.5" */
static void put_policy(struct frame *f, const struct replay_head *h)
{
	struct line l;
	bool any = false;

	line_init_long(&l);
	line_put(&l, "under the policy of %s:", h->config);
	for (size_t i = 0; i < POLICY_FIELDS; i++) {
		struct number_text now = value_text(h->policy, i), then = value_text(&h->log->policy, i);

		if (!strcmp(now.s, then.s))
			continue;
		line_put(&l, "%s %s %s instead of %s", any ? "," : "", gate_policy__field(i).name, now.s, then.s);
		any = true;
	}
	if (!any)
		line_put(&l, " its limits are the same");
	frame_prose(f, 0, PLAIN, 0, "%s", l.text);
}

void show_replay_head(FILE *out, const struct replay_head *h)
{
	struct frame f;
	struct line l;

	begin(&f);
	line_init_long(&l);
	line_put(&l, "%s: ", h->log->service);
	if (h->log->version[ARM_BASELINE])
		line_put(&l, "%s (baseline) against ", h->log->version[ARM_BASELINE]);
	line_put(&l, "%s (canary), run %s of %s, watched by tillwatch %s",
	         h->log->version[ARM_CANARY] ? h->log->version[ARM_CANARY] : "nothing", h->log->run, h->log->started,
	         h->log->tillwatch);
	frame_prose(&f, 0, PLAIN, 0, "%s", l.text);
	if (h->config)
		put_policy(&f, h);
	draw(&f, out);
}

static void put_reasons(struct frame *f, const struct verdict *v)
{
	if (v->summary[0])
		frame_prose(f, 0, PLAIN, 11, "%s", v->summary);
	for (size_t i = 0; i < v->n_reasons; i++)
		frame_prose(f, 0, PLAIN, 11, "%s", v->reasons[i].text);
	for (size_t i = 0; i < v->n_cutovers; i++) {
		const struct verdict_cutover *unit = &v->cutovers[i];

		frame_prose(f, 0, PLAIN, 11, "unit %s%s%s: %s: %s", unit->name, unit->owner ? " of " : "",
		            unit->owner ? unit->owner : "", verdict_names[unit->kind], unit->text);
	}
}

void show_replay_tick(FILE *out, const struct replay_tick *t)
{
	struct frame f;
	struct line l;

	begin(&f);
	line_init(&l, &f);
	line_put(&l, "%9s  %s", format_duration(t->log->told.end).s, verdict_names[t->now->kind]);
	if (replay_differs(t))
		line_put(&l, " (%s when it was watched)", verdict_names[t->log->verdict.kind]);
	frame_add(&f, &l, 0);
	put_reasons(&f, t->now);
	draw(&f, out);
}

void show_replay_sum(FILE *out, const struct replay_sum *s, bool reasons)
{
	struct frame f;
	struct line l;

	begin(&f);
	line_init(&l, &f);
	line_put(&l, "%9s  %s after %" PRIu64 " tick%s", format_duration(s->seconds).s, verdict_names[s->last->kind],
	         s->ticks, s->ticks == 1 ? "" : "s");
	frame_add(&f, &l, 0);
	if (reasons)
		put_reasons(&f, s->last);
	if (s->error)
		frame_prose(&f, 0, PLAIN, 0, "this is not the whole run: %s", s->error);
	if (s->other)
		frame_prose(&f, 0, PLAIN, 0,
		            "%" PRIu64 " of %" PRIu64 " ticks have another verdict than when it was watched", s->other,
		            s->ticks);
	if (s->inexact)
		frame_prose(&f, 0, PLAIN, 0,
		            "%" PRIu64 " of %" PRIu64
		            " ticks have the same verdict as when it was watched, with other figures",
		            s->inexact, s->ticks);
	if (!s->other && !s->inexact && s->ticks)
		frame_prose(&f, 0, PLAIN, 0, "every tick has the verdict it had when it was watched");
	draw(&f, out);
}
