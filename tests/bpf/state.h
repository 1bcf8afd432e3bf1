/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The state of the conversation's connection. A test run has no tracepoints: what their programs would note of a
 * connection (who has read it, and when) is written into its state here, by the offsets in the programs' BTF.
 */
#ifndef TESTS_BPF_STATE_H
#define TESTS_BPF_STATE_H

#include "talk.h"

/* The whole state; the caller frees. */
static inline char *state_copy(void)
{
	char *conn = calloc(1, bpf_map__value_size(rig.skel->maps.early));

	assert_non_null(conn);
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(rig.skel->maps.early), &talk.key, conn), 0);
	return conn;
}

/* n bytes at an offset of tw_conn. */
static inline void state_read(size_t at, void *to, size_t n)
{
	char *conn = state_copy();

	memcpy(to, conn + at, n);
	free(conn);
}

static inline void state_write(size_t at, const void *from, size_t n)
{
	char *conn = state_copy();

	memcpy(conn + at, from, n);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(rig.skel->maps.early), &talk.key, conn, BPF_ANY), 0);
	free(conn);
}

static inline uint32_t state_u32(const char *member)
{
	uint32_t v;

	state_read(rig_offset("tw_conn", member), &v, sizeof(v));
	return v;
}

/* What is kept of request n beside the other three in line: t_start, t_body, t_read. */
#define STATE_INLINE 4
static inline size_t state_of(const char *member, uint32_t n)
{
	return rig_offset("tw_conn", member) + sizeof(uint64_t) * (n % STATE_INLINE);
}

/* The process that reads the connection. */
static inline void note_reader(uint32_t tgid)
{
	state_write(rig_offset("tw_conn", "tgid"), &tgid, sizeof(tgid));
}

/* Request n, and all before it, have been read; n at that time, ns of the programs' clock. */
static inline void note_read(uint32_t n, uint64_t t)
{
	uint32_t rd = n + 1;

	state_write(state_of("t_read", n), &t, sizeof(t));
	state_write(rig_offset("tw_conn", "rd"), &rd, sizeof(rd));
}

#endif
