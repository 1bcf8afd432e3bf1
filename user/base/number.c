// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "base/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct number_text number_text(double value)
{
	struct number_text text;
	char *comma;

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text.s, sizeof(text.s), "%.*g", digits, value);
		if (strtod(text.s, NULL) == value)
			break;
	}
	comma = strchr(text.s, ','); /* of a locale that the process may have set */
	if (comma)
		*comma = '.';
	return text;
}
