// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model/comparison.h"

#include <math.h>

double arm_quantile(const struct arm_figures *a, enum tw_latency kind, double q)
{
	return a->present && a->lat ? histogram_quantile(&a->lat[kind], q) : NAN;
}

/*
 * A timeout is not the server's: it is a peer that stopped acknowledging. Statuses and outcomes are separate counts, so
 * a 5xx response that was also cut off is in both; the sum errs on the side of caution, and never beyond the requests.
 */
uint64_t arm_errors(const struct arm_figures *a)
{
	uint64_t n = a->outcome[TW_UNANSWERED] + a->outcome[TW_TRUNCATED] + a->outcome[TW_RESET_BY_SERVER];

	for (int status = 500; a->status && status < 600; status++)
		n += a->status[status];
	return n < a->requests ? n : a->requests;
}
