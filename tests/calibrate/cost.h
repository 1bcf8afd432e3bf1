/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the judge costs: processor time of the calling thread for one tick and the verdict after it, in seconds. */
#ifndef TW_CALIBRATE_COST_H
#define TW_CALIBRATE_COST_H

/* A clean release of so many endpoints, with groups. Negative: no memory. */
double cost__clean(unsigned int endpoints);
/* All of them worse, so that every one is weighed, named and told of, in so many units. Negative: no memory. */
double cost__all_worse(unsigned int endpoints, unsigned int units);

#endif
