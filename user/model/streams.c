// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model/streams.h"

#include <math.h>
#include <string.h>

void streams_look(struct stream_figures *f)
{
	f->open = f->oldest = 0;
	memset(f->open_messages, 0, sizeof(f->open_messages));
}

void streams_open(struct stream_figures *f, uint64_t t_start, const uint64_t messages[STREAM_SENDERS])
{
	if (!f->open++ || t_start < f->oldest)
		f->oldest = t_start;
	for (int i = 0; i < STREAM_SENDERS; i++)
		f->open_messages[i] += messages[i];
}

void streams_ended(struct stream_figures *f, enum tw_session_end how, const uint64_t messages[STREAM_SENDERS])
{
	if (how < TW_END_NR)
		f->ended[how]++;
	for (int i = 0; i < STREAM_SENDERS; i++)
		f->messages[i] += messages[i];
}

bool streams_any(const struct stream_figures *f)
{
	uint64_t n = f->open;

	for (int i = 0; i < TW_END_NR; i++)
		n += f->ended[i];
	return n > 0;
}

uint64_t streams_messages(const struct stream_figures *f, enum stream_sender from)
{
	return f->messages[from] + f->open_messages[from];
}

void sessions_add_one(struct tw_sessions *s, enum tw_session_end how, uint64_t age)
{
	s->ended[how]++;
	if (how == TW_END_CLOSED)
		return;
	s->age_sum += age;
	if (age > s->age_max)
		s->age_max = age;
}

void sessions_add(struct session_figures *to, const struct tw_sessions *more)
{
	uint64_t before = sessions_abrupt(to), n;
	double sum = before ? to->age_mean * (double)before : 0, max = (double)more->age_max / 1e9;

	for (int i = 0; i < TW_END_NR; i++)
		to->ended[i] += more->ended[i];
	n = sessions_abrupt(to);
	if (n == before)
		return;
	to->age_mean = (sum + (double)more->age_sum / 1e9) / (double)n;
	if (!before || max > to->age_max)
		to->age_max = max;
}
