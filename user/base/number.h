/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Numbers as text that loses nothing. */
#ifndef TW_NUMBER_H
#define TW_NUMBER_H

struct number_text {
	char s[32];
};

/* The shortest decimal text that reads back as the same finite double, with a point in every locale. */
struct number_text number_text(double value);

#endif
