/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Request lines for tests, their names by the grammar of HTTP, and what the kernel's map of lines keeps of them.
 *
 * Invariant: what is read of an entry is all of it; one byte more than its line has fails the test.
 */
#ifndef TESTS_BPF_KEPT_H
#define TESTS_BPF_KEPT_H

#include <sched.h>

#include "talk.h"

#define LEAST     14
#define MOST      52
#define KEPT(len) ((len) >= 16 && (len) <= 48)

/* ---- lines --------------------------------------------------------------------------------------------------------
 */

struct line {
	char text[MOST + 1];
	size_t len;
};

/* A request line of `len` bytes: "GET /ghijkl/nopqrs/u... HTTP/1.1", with a shorter method where there is no room. */
static inline struct line line_of(size_t len)
{
	struct line l = { .len = len };
	size_t method = len < 16 ? len - 13 : 3, path = len - method - 12;
	char target[MOST];

	for (size_t i = 0; i < path; i++)
		target[i] = i % 7 ? "ghijklmnopqrstuvwxyz"[i % 20] : '/';
	snprintf(l.text, sizeof(l.text), "%.*s %.*s HTTP/1.1\r\n", (int)method, "GET", (int)path, target);
	assert_int_equal(strlen(l.text), len);
	return l;
}

static inline bool within(const char *s, size_t n, char least, char most)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] < least || s[i] > most)
			return false;
	return n > 0;
}

/* "METHOD /path" of a line as RFC 9112 has it (3, with no more than one digit of another minor version), or "". */
static inline void name_of(const struct line *l, char *name, size_t size)
{
	const char *space = memchr(l->text, ' ', l->len), *target = space ? space + 1 : NULL, *end;

	name[0] = '\0';
	if (!space || !within(l->text, (size_t)(space - l->text), 'A', 'Z') || *target != '/')
		return;
	end = memchr(target, ' ', l->len - (size_t)(target - l->text));
	if (!end || l->text + l->len - end != 11 || !within(target, (size_t)(end - target), '!', '~'))
		return;
	if (memcmp(end, " HTTP/1.", 8) || !within(end + 8, 1, '0', '9') || memcmp(end + 9, "\r\n", 2))
		return;
	if (memchr(target, '?', (size_t)(end - target)))
		end = memchr(target, '?', (size_t)(end - target));
	snprintf(name, size, "%.*s", (int)(end - l->text), l->text);
}

/* ---- what is kept -------------------------------------------------------------------------------------------------
 */

static struct {
	size_t size, last, word, hash, len;
	char *value; /* [cpus] */
	int cpu;     /* that this program runs on */
} kept;

static inline void kept_read(uint32_t slot)
{
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(rig.skel->maps.lines), &slot, kept.value), 0);
}

static inline void kept_write(uint32_t slot)
{
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(rig.skel->maps.lines), &slot, kept.value, BPF_ANY), 0);
}

static inline uint32_t kept_slots(void)
{
	return bpf_map__max_entries(rig.skel->maps.lines);
}

static inline char *kept_mine(void)
{
	return kept.value + (size_t)kept.cpu * kept.size;
}

/* What lies in kept.value goes everywhere: whatever comes next is compared with it. */
static inline void keep_everywhere(void)
{
	for (uint32_t i = 0; i < kept_slots(); i++)
		kept_write(i);
}

static inline void forget_lines(void)
{
	memset(kept.value, 0, (size_t)rig.cpus * kept.size);
	keep_everywhere();
}

static inline bool is_zero(const char *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (at[i])
			return false;
	return true;
}

static inline size_t kept_count(void)
{
	size_t n = 0;

	for (uint32_t i = 0; i < kept_slots(); i++) {
		kept_read(i);
		n += !is_zero(kept.value, (size_t)rig.cpus * kept.size);
	}
	return n;
}

/* Leaves the first entry in kept.value. */
static inline bool kept_find(void)
{
	for (uint32_t i = 0; i < kept_slots(); i++) {
		kept_read(i);
		if (!is_zero(kept.value, (size_t)rig.cpus * kept.size))
			return true;
	}
	return false;
}

/* The line that the entry in kept.value stands for; fails when it holds one byte more. */
static inline struct line kept_line(void)
{
	const char *e = kept_mine(), *words = e + kept.word;
	uint16_t len;
	struct line l = { 0 };

	memcpy(&len, e + kept.len, sizeof(len));
	assert_true(KEPT(len));
	l.len = len;
	for (size_t k = 0; k < 5; k++)
		if (k && 8 * k + 8 >= len)
			assert_true(is_zero(words + 8 * k, 8));
		else
			memcpy(l.text + 8 * k, words + 8 * k, 8);
	memcpy(l.text + len - 8, e + kept.last, 8);
	return l;
}

static inline void kept_open(void)
{
	cpu_set_t one;

	kept.size = (bpf_map__value_size(rig.skel->maps.lines) + 7) & ~7U;
	kept.last = rig_offset("tw_line", "last");
	kept.word = rig_offset("tw_line", "word");
	kept.hash = rig_offset("tw_line", "hash");
	kept.len = rig_offset("tw_line", "len");
	kept.value = calloc((size_t)rig.cpus, kept.size);
	assert_non_null(kept.value);
	kept.cpu = sched_getcpu();
	CPU_ZERO(&one);
	CPU_SET(kept.cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

#endif
