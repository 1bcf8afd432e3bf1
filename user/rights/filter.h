/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The filters of system calls, and nothing of when they are set; see confine.h. */
#ifndef TW_RIGHTS_FILTER_H
#define TW_RIGHTS_FILTER_H

#include "rights/confine.h"

/* For all threads of this process, with no_new_privs. 0 or a negative errno: then nothing is filtered. */
int filter__observer(const struct confine_options *o);
int filter__keeper(void);

#endif
