/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What most tests of the judge ask of a release; each says what it asks besides. */
#ifndef TW_TESTS_POLICIES_H
#define TW_TESTS_POLICIES_H

#include "judge/judge.h"

#define USUAL_POLICY .alpha = 0.05, .max_error_ratio = 1.5, .max_latency_increase = 0.2, .min_requests = 500, .tick = 5

#endif
