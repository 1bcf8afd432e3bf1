// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model/books.h"

struct books_gap books_gap(const struct books_reading *before, const struct books_reading *after, uint64_t in_flight)
{
	/* Unsigned differences are right modulo 2^64, whatever is the larger. */
	return (struct books_gap){
		.least = (int64_t)(before->seen - after->gone - in_flight),
		.most = (int64_t)(after->seen - before->gone - in_flight),
	};
}

bool books_gap_is_open(const struct books_gap *g)
{
	return g->least > 0 || g->most < 0;
}

struct books_gap books_gap_both(const struct books_gap *a, const struct books_gap *b)
{
	return (struct books_gap){
		.least = a->least < b->least ? a->least : b->least,
		.most = a->most > b->most ? a->most : b->most,
	};
}

void books_enter(struct books *b, const struct books_gap *g)
{
	if (g->least > 0 && (uint64_t)g->least > b->missing)
		b->missing = (uint64_t)g->least;
	if (g->most < 0 && (uint64_t)-g->most > b->surplus)
		b->surplus = (uint64_t)-g->most;
}

bool books_balance(const struct books *b)
{
	return !b->missing && !b->surplus;
}
