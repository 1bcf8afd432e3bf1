// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/switch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int switch__read(enum tls_switch *out, struct err *e)
{
	const char *word = getenv(SWITCH_NAME);

	*out = SWITCH_BEST;
	if (!word || !*word)
		return 0;
	*out = !strcmp(word, "plain") ? SWITCH_PLAIN : SWITCH_FUNCTIONS;
	if (*out == SWITCH_PLAIN || !strcmp(word, "functions"))
		return 0;
	return err_set(e, EINVAL, SWITCH_NAME "=%s: it can be plain or functions", word);
}
