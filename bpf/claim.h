/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What one program at a time may do, on however many CPUs: a counter of those who are at it, or ask to be. Who finds
 * nobody else there has it until claim_release(); nobody waits for it for long, and who is refused does without. 5.10
 * has no exchange of values, so two who come at once see each other, and neither has it.
 *
 * Each of these is an atomic operation, and so a fence: what was written before it is seen by who comes after.
 */
#ifndef TW_CLAIM_H
#define TW_CLAIM_H

static __always_inline void claim_release(__u32 *counter)
{
	__sync_fetch_and_add(counter, -1);
}

static __always_inline int claim(__u32 *counter)
{
	__sync_fetch_and_add(counter, 1);
	if (likely(*(volatile __u32 *)counter == 1))
		return 1;
	claim_release(counter);
	return 0;
}

/* For who is about to finish it is worth asking `tries` times. */
static __always_inline int claim_soon(__u32 *counter, __u32 tries)
{
	__u32 i;

	for (i = 0; i < tries; i++)
		if (claim(counter))
			return 1;
	return 0;
}

/* Between what was written and what is read, without having it: of two of whom each writes first, one sees it. */
static __always_inline void claim_fence(__u32 *counter)
{
	__sync_fetch_and_add(counter, 1);
	claim_release(counter);
}

#endif
