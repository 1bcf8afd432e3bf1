// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "http2/settings.h"

void h2_settings__clear(struct h2_settings *s)
{
	*s = (struct h2_settings){ .n = 0 };
}

void h2_settings__size(struct h2_settings *s, uint32_t size)
{
	struct h2_table_size *r = &s->reading;

	if (!r->is_set || size < r->lowest)
		r->lowest = size;
	r->last = size;
	r->is_set = true;
}

bool h2_settings__sent(struct h2_settings *s)
{
	struct h2_table_size read = s->reading;

	s->reading = (struct h2_table_size){ .is_set = false };
	if (s->n == H2_SETTINGS_MAX)
		return false;
	s->sent[(s->first + s->n++) % H2_SETTINGS_MAX] = read;
	return true;
}

bool h2_settings__acked(struct h2_settings *s, struct h2_table_size *what)
{
	if (!s->n)
		return false;
	*what = s->sent[s->first];
	s->first = (s->first + 1) % H2_SETTINGS_MAX;
	s->n--;
	return true;
}
