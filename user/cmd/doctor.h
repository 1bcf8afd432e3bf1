/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What `doctor` is made of; nobody else calls it. */
#ifndef TW_DOCTOR_H
#define TW_DOCTOR_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "capture/identity.h"
#include "config/config.h"
#include "tls/targets.h"

/* What TLS the processes of the snapshot speak, by looking: nothing is attached. NULL: out of memory. */
struct tls_targets *doctor_tls(const struct id_snapshot *s);
void doctor_tls_print(const struct tls_targets *t, const struct config *c);
/* An array; NULL: out of memory. */
cJSON *doctor_tls_json(const struct tls_targets *t, const struct config *c);

#endif
