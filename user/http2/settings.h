/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SETTINGS that one side has sent and the other has not acknowledged yet, as far as they concern header tables. They
 * are acknowledged in their order (RFC 9113, 6.5.3).
 *
 * Invariant: a side that sends without waiting costs no memory: beyond H2_SETTINGS_MAX it is told, and nothing is kept.
 */
#ifndef HTTP2_SETTINGS_H
#define HTTP2_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#define H2_SETTINGS_MAX 16

struct h2_table_size {
	bool is_set;
	uint32_t lowest, last; /* RFC 7541, 4.2: in between there may have been a lower one than the last */
};

struct h2_settings {
	struct h2_table_size reading; /* of the frame that is being read */
	struct h2_table_size sent[H2_SETTINGS_MAX];
	uint8_t first, n;
};

void h2_settings__clear(struct h2_settings *s);

/* One SETTINGS_HEADER_TABLE_SIZE. */
void h2_settings__size(struct h2_settings *s, uint32_t size);

/* The frame's end. False: too many wait for their acknowledgement. */
bool h2_settings__sent(struct h2_settings *s);

/* The oldest is acknowledged. False: there was none. */
bool h2_settings__acked(struct h2_settings *s, struct h2_table_size *what);

#endif
