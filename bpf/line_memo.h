/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Request lines met before: most requests of a service begin with one of a few, byte for byte.
 *
 * Invariants: an entry answers exactly what the scan answered for the same bytes, and only for a line that lies whole
 * in the window; it holds nothing of a query or a header.
 */
#ifndef TW_LINE_MEMO_H
#define TW_LINE_MEMO_H

#define TW_LINE_MIN 16 /* "GET / HTTP/1.1\r\n" */
#define TW_LINE_MAX 48

/* The words that lie wholly before the last eight bytes, and those: what is not of the line is 0. */
static __always_inline __u64 line_word(const __u8 *window, __u32 k, __u64 len)
{
	return len > 8 * k + 8 ? h1_load(window, 8 * k) : 0;
}

/* Where the line at the start of the window is kept, if it is. */
static __always_inline struct tw_line *line_slot(struct tw_lane *l)
{
	__u64 h = h1_load(l->window, 0) * RH_MUL ^ h1_load(l->window, 8);

	__u32 at;

	h = (h * RH_MUL ^ h1_load(l->window, 16)) * RH_MUL;
	at = h >> 56;
	return bpf_map_lookup_elem(&lines, &at);
}

/* lane->window[0..n): where the header lines start, and hash, text_len and flags of lane->head; 0: not met before. */
static __always_inline __u32 line_find(struct tw_lane *l, const struct tw_line *m, __u32 n)
{
	const __u8 *window = l->window;
	__u64 len = m->len;

	if (unlikely(!len || len > n || m->last != h1_load(window, len - 8) || m->word[0] != h1_load(window, 0)))
		return 0;
	if (len > 16 && unlikely(m->word[1] != h1_load(window, 8)))
		return 0;
	if (len > 24 && unlikely(m->word[2] != h1_load(window, 16)))
		return 0;
	if (len > 32 && unlikely(m->word[3] != h1_load(window, 24)))
		return 0;
	if (len > 40 && unlikely(m->word[4] != h1_load(window, 32)))
		return 0;
	l->head.hash = m->hash;
	l->head.text_len = m->text_len;
	l->head.flags = m->flags;
	return len;
}

/* The scan has found that the header lines start at len. */
static __always_inline void line_note(struct tw_lane *l, struct tw_line *m, __u64 len)
{
	if (len < TW_LINE_MIN || len > TW_LINE_MAX || l->window[h1_at(l->head.text_len)] != ' ')
		return;
	m->hash = l->head.hash;
	m->text_len = l->head.text_len;
	m->flags = l->head.flags;
	m->last = h1_load(l->window, len - 8);
	m->word[0] = h1_load(l->window, 0);
	m->word[1] = line_word(l->window, 1, len);
	m->word[2] = line_word(l->window, 2, len);
	m->word[3] = line_word(l->window, 3, len);
	m->word[4] = line_word(l->window, 4, len);
	m->len = len;
}

#endif
