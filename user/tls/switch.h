/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A switch for measuring what the choice of places is worth. Internal to this folder. */
#ifndef TW_TLS_SWITCH_H
#define TW_TLS_SWITCH_H

#include "base/err.h"

#define SWITCH_NAME "TILLWATCH_TLS_PLACEMENT"
#define SWITCH_WHY  "as " SWITCH_NAME " says"

enum tls_switch {
	SWITCH_BEST,      /* the variable is not set, or empty */
	SWITCH_FUNCTIONS, /* "functions": the best places in the functions, and none inside the library */
	SWITCH_PLAIN,     /* "plain": the functions' first bytes, their return addresses replaced */
};

/* What the environment says. 0, or -EINVAL with e for any other word. */
int switch__read(enum tls_switch *out, struct err *e);

#endif
