/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Of `doctor`: which capabilities are there, and what is missing without each of the others. */
#ifndef TW_DOCTOR_RIGHTS_H
#define TW_DOCTOR_RIGHTS_H

#include <stdbool.h>

#include <cjson/cJSON.h>

void doctor_rights_print(void);
/* As "rights", an array. False: out of memory. */
bool doctor_rights_json(cJSON *root);

#endif
