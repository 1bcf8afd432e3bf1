// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The gate's policy as a list of fields, by the language's own table. */
#include <errno.h>
#include <math.h>

#include "config/language.h"

/*
 * A field that is not in the list would be forgotten by those who write a policy down. One more in the struct does not
 * compile here: it comes into the language's table before `bad`, is counted in POLICY_FIELDS, and gets its zero below.
 */
_Static_assert(offsetof(struct gate_policy, bad) == POLICY_FIELDS * 8, "POLICY_FIELDS");
_Static_assert(sizeof(struct gate_policy) == POLICY_FIELDS * 8 + sizeof(struct bad_events) + 8, "POLICY_FIELDS");
_Static_assert(sizeof(enum gate_mode) == sizeof(int) && sizeof(enum at_deadline) == sizeof(int), "words");
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wmissing-field-initializers"
static const struct gate_policy all_fields __attribute__((unused)) = {
	0,     0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* POLICY_FIELDS of them */
	{ 0 }, 0                                   /* what is bad; the line */
};
#pragma GCC diagnostic pop

static bool is_deadline(const struct key *k)
{
	return k->offset == offsetof(struct gate_policy, deadline);
}

static bool is_drop_limit(const struct key *k)
{
	return k->offset == offsetof(struct gate_policy, max_dropped_sessions);
}

struct policy_field gate_policy__field(size_t i)
{
	const struct key *k = &gate_schema.keys[i];
	struct policy_field f = { .name = k->name, .min = k->min, .max = k->max };

	f.may_be_absent = is_deadline(k) || is_drop_limit(k);
	if (k->read == read_mode) {
		f.words = gate_mode_names;
		f.n_words = GATE_MODE_NR;
	} else if (k->read == read_at_deadline) {
		f.words = at_deadline_names;
		f.n_words = DEADLINE_NR;
	}
	if (f.words)
		f.max = f.n_words - 1;
	return f;
}

double gate_policy__get(const struct gate_policy *p, size_t i)
{
	const struct key *k = &gate_schema.keys[i];
	const char *at = (const char *)p + k->offset;

	if (k->read == read_mode || k->read == read_at_deadline)
		return *(const int *)at;
	if (is_drop_limit(k) && p->max_dropped_sessions == NO_DROP_LIMIT)
		return NAN;
	if (k->read == read_count)
		return (double)*(const uint64_t *)at;
	return is_deadline(k) && !(p->deadline > 0) ? NAN : *(const double *)at;
}

int gate_policy__set(struct gate_policy *p, size_t i, double value)
{
	const struct policy_field f = gate_policy__field(i);
	const struct key *k = &gate_schema.keys[i];
	char *at = (char *)p + k->offset;
	bool whole = f.words || k->read == read_count;

	if (isnan(value) ? !f.may_be_absent : value < f.min || value > f.max || (whole && value != floor(value)))
		return -EINVAL;
	if (f.words)
		*(int *)at = (int)value;
	else if (k->read == read_count)
		*(uint64_t *)at = isnan(value) ? NO_DROP_LIMIT : (uint64_t)value;
	else
		*(double *)at = isnan(value) ? 0 : value;
	return 0;
}
