/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Streams of HTTP/2 that are no question and answer, of one version on one endpoint: tunnels (WebSocket and other
 * CONNECTs), streams of events, and whatever stays open for long.
 */
#ifndef TW_STREAMS_MODEL_H
#define TW_STREAMS_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "model/losses.h"
#include "tw_abi.h"

enum stream_sender { STREAM_SERVER, STREAM_CLIENT, STREAM_SENDERS };

struct stream_figures {
	/* At the latest look: */
	uint64_t open;
	uint64_t oldest;                        /* of these, when it began: CLOCK_MONOTONIC, ns */
	uint64_t open_messages[STREAM_SENDERS]; /* DATA frames that carried something */
	/* Since the start: */
	uint64_t messages[STREAM_SENDERS]; /* the same of those that have ended */
	uint64_t ended[TW_END_NR];
};

/* A new look begins. */
void streams_look(struct stream_figures *f);

/* One is open that began at t_start. */
void streams_open(struct stream_figures *f, uint64_t t_start, const uint64_t messages[STREAM_SENDERS]);

/* One has ended; how: TW_END_NR if that is not known. */
void streams_ended(struct stream_figures *f, enum tw_session_end how, const uint64_t messages[STREAM_SENDERS]);

/* Is there something to tell, or was there? */
bool streams_any(const struct stream_figures *f);
uint64_t streams_messages(const struct stream_figures *f, enum stream_sender from);

/* One that lasted for `age` ns has ended. */
void sessions_add_one(struct tw_sessions *s, enum tw_session_end how, uint64_t age);

/* Adds sessions that were counted elsewhere. */
void sessions_add(struct session_figures *to, const struct tw_sessions *more);

#endif
