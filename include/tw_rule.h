/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Is an exchange bad? One function for both sides: the kernel asks it of what it counts, the observer of what arrives
 * as a record, so that neither place nor way of counting makes a difference.
 *
 * Pure: also built on the host. What is bad for several reasons is bad once.
 */
#ifndef TW_RULE_H
#define TW_RULE_H

#include "tw_abi.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#define TW_RULE_STATUSES 1024 /* codes that a rule can name: those below */

/*
 * A status outside of 100 to 599 is to be processed as a 5xx (RFC 9110, 15), and one whose class alone is known as the
 * x00 of its class (ibid.).
 */
static __always_inline __u32 tw_status_meant(__u32 status)
{
	return status && (status < 100 || status > 599) ? 500 : status;
}

/*
 * status: 0 when none was seen. cut: a byte of the final response had left, and it was not answered in full. took, ns:
 * the server's time, or how long an exchange that was not answered in full had waited for its first byte, which is
 * less; 0: not known.
 */
static __always_inline int tw_is_bad(const struct tw_rule *r, __u32 status, __u32 outcome, __u32 cut, __u64 took)
{
	/* What was not observed says nothing of the server: it counts as lost. */
	if (outcome == TW_UNOBSERVED)
		return 0;
	if (status >= TW_STATUS_GRPC && status < TW_STATUS_END) {
		if (status < TW_STATUS_UNKNOWN && r->grpc >> (status - TW_STATUS_GRPC) & 1)
			return 1;
		status = 0;
	}
	status = tw_status_meant(status);
	if (status < TW_RULE_STATUSES && r->statuses[status >> 6 & 15] >> (status & 63) & 1)
		return 1;
	/* A client that vanishes inside the answer dies of retransmission, too: nobody waited in vain. */
	if (r->outcomes >> (outcome & 31) & 1 && !(outcome == TW_TIMEOUT && cut))
		return 1;
	return took > r->slower_than;
}

#endif
