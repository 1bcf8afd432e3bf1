// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Looks at what is in flight: once a second, at every tick and for every comparison. Each one is entered in the books,
 * and tells of exchanges whose response has not begun in time.
 */
#include <errno.h>
#include <string.h>

#include "capture/features.h"
#include "session/internal.h"

#define LOOK_EVERY 1.0

static struct books_reading books_read(const struct tw_ledger_row *r)
{
	return (struct books_reading){
		.seen = r->c[TW_L_REQUESTS],
		.gone = r->c[TW_L_ENDED] + r->c[TW_L_LOST_EXCHANGES] + r->c[TW_L_MOVED] + r->c[TW_L_TLS_WITHDRAWN],
	};
}

/* Counts between two readings of the ledger. */
static int count_once(struct session *s, struct books_gap *gaps)
{
	static struct tw_ledger_row before[TW_MAX_VERSIONS];
	struct inflight_state *f = &s->inflight;
	int err = loader__read_ledger(s->loader, before);

	if (!err)
		http2_ledger_add(s, before);
	if (!err)
		err = loader__inflight(s->loader, &f->counts);
	if (!err)
		http2_inflight_add(s, &f->counts);
	if (!err)
		err = ledger_read(s);
	if (err)
		return err;
	for (int v = 0; v < TW_MAX_VERSIONS; v++) {
		const struct books_reading a = books_read(&before[v]), b = books_read(&s->now[v]);

		gaps[v] = books_gap(&a, &b, f->counts.requests[v]);
		if (f->counts.requests[v] > f->most[v])
			f->most[v] = f->counts.requests[v];
	}
	return 0;
}

/* An exchange can be caught on its way from one book into another: what does not fit is looked at once more. */
static int books_check(struct session *s)
{
	static struct books_gap gaps[TW_MAX_VERSIONS], again[TW_MAX_VERSIONS];
	bool open = false;
	int err = count_once(s, gaps);

	for (int v = 0; v < TW_MAX_VERSIONS && !err; v++)
		open |= books_gap_is_open(&gaps[v]);
	if (err || !open)
		return err;
	err = count_once(s, again);
	if (err)
		return err;
	for (int v = 0; v < TW_MAX_VERSIONS; v++) {
		struct books *b = &s->inflight.books[v];
		bool balanced = books_balance(b);

		gaps[v] = books_gap_both(&gaps[v], &again[v]);
		books_enter(b, &gaps[v]);
		if (balanced && !books_balance(b) && ledger_is_checked(s))
			log_warn(
				"the ledger of %s does not balance: %llu requests are missing, %llu were counted twice",
				v ? s->config->versions[v - 1].name : "requests without a version",
				(unsigned long long)b->missing, (unsigned long long)b->surplus);
	}
	return 0;
}

/*
 * What is known of timeouts: those that have ended, and those that are waiting. The former were read before the latter
 * were counted, so the sum is never too high, and one that ends in between is not forgotten.
 */
static int overdue_enter(struct session *s)
{
	const uint32_t *overdue = s->inflight.counts.overdue;

	for (size_t v = 1; v <= s->config->n_versions; v++)
		for (size_t ep = 1; ep < TW_MAX_ENDPOINTS; ep++) {
			uint32_t n = overdue[v * TW_MAX_ENDPOINTS + ep] + http2_overdue(s, v, ep);
			struct cell *c;

			if (!n)
				continue;
			c = cell_get(s, (uint16_t)v, (uint16_t)ep);
			if (!c)
				return -ENOMEM;
			cell_overdue_enter(c, n);
		}
	return 0;
}

int inflight_look(struct session *s)
{
	struct inflight_state *f = &s->inflight;
	int err = features__inflight() ? books_check(s) : -ENOTSUP;

	f->look_at = session_now() + LOOK_EVERY;
	f->measured = !err;
	if (err) {
		if (err != -ENOTSUP)
			log_debug("cannot count what is in flight: %s", strerror(-err));
		return ledger_read(s);
	}
	return overdue_enter(s);
}

int inflight_keep_in_step(struct session *s, double now)
{
	return now >= s->inflight.look_at ? inflight_look(s) : 0;
}

/* A kernel that cannot tell of sockets that vanish leaves what they owed without an end: that is known, and said. */
bool ledger_is_checked(const struct session *s)
{
	return s->inflight.measured && features__try()[FEATURE_DESTROY].ok;
}

bool ledger_balances(const struct session *s)
{
	for (int v = 0; v < TW_MAX_VERSIONS; v++)
		if (!books_balance(&s->inflight.books[v]))
			return false;
	return true;
}
