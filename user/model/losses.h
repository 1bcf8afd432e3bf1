/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a version lost without any endpoint knowing of it, as plain data. Filled by capture, read by show.
 *
 * Invariant: a figure whose `has_` flag is unset was not measured.
 */
#ifndef TW_LOSSES_MODEL_H
#define TW_LOSSES_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "tw_abi.h"

/* All sockets of a version that listen, or have listened, at one address. */
struct listener_figures {
	char address[64];
	bool shared;          /* with another version: the figures are those of both */
	unsigned int sockets; /* open ones */
	uint32_t backlog;     /* connections that wait to be accepted, all sockets together; with sockets > 0 */
	uint32_t backlog_max, backlog_limit; /* of one socket */
	uint64_t attempts;                   /* handshakes begun */
	uint64_t established;
	uint64_t handshaking; /* under way: begun within the last HANDSHAKE_SECONDS */
	uint64_t repeated;    /* SYNs sent again */
	uint64_t overflows;   /* SYNs and ACKs dropped while the accept queue was full */
	uint64_t drops;       /* dropped for any other reason: SYN queue, memory, strays */
	uint64_t unaccepted;  /* made, and reset when the socket closed because nobody had accepted them */
};

/* A handshake that takes longer is not expected to complete. */
#define HANDSHAKE_SECONDS 3

struct session_figures {
	uint64_t ended[TW_END_NR];
	double age_mean, age_max; /* s, of those not closed in order; NaN: none */
};

struct version_losses {
	struct listener_figures *listeners;
	size_t n_listeners;
	bool has_attempts, has_established, has_refused, has_segments, has_sessions;
	uint64_t attempts, established, handshaking, repeated, overflows, drops, unaccepted;
	uint64_t untracked; /* connections made whose beginning was not seen */
	uint64_t uncounted; /* attempts for which there was no room */
	uint64_t refused;
	uint64_t sent_segments, retransmitted_segments;
	uint64_t idle_resets_by_server, idle_resets_by_client;
	uint64_t upgraded_begun;
	struct session_figures upgraded, streaming;
};

/* Begun, and neither completed nor still under way. */
static inline uint64_t losses_incomplete(uint64_t attempts, uint64_t established, uint64_t handshaking)
{
	uint64_t over = established + handshaking;

	return attempts > over ? attempts - over : 0;
}

static inline uint64_t sessions_abrupt(const struct session_figures *s)
{
	uint64_t n = 0;

	for (int i = TW_END_CLOSED + 1; i < TW_END_NR; i++)
		n += s->ended[i];
	return n;
}

#endif
