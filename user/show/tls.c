// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* TLS in a line; loud where some of it cannot be read, with the reasons. */
#include <inttypes.h>

#include "show/format.h"
#include "show/parts.h"

/* More than a handful is for the JSON. */
#define REASONS_SHOWN 4

/* "60 TLS 1.3, 20 TLS 1.2" */
static void put_negotiated(struct line *l, const struct tls_coverage *t)
{
	const char *separator = "; ";

	for (int i = TLS_PROTOCOL_NR; i-- > 0;) {
		if (!t->negotiated[i])
			continue;
		line_put(l, "%s%s %s", separator, format_count(t->negotiated[i]).s,
		         i == TLS_PROTOCOL_OTHER ? "of another version" : tls_protocol_names[i]);
		separator = ", ";
	}
}

static void put_words(struct frame *f, const struct tls_coverage *t)
{
	struct line l;

	line_init_long(&l);
	line_put(&l, "TLS: %s connections, ", format_count(t->connections).s);
	if (t->read_measured)
		line_put(&l, "%s read", format_count(t->read).s);
	else
		line_put(&l, "none read, as this kernel cannot");
	put_negotiated(&l, t);
	if (t->unjoined)
		line_put(&l, "; %s calls with plaintext of connections that are not known",
		         format_count(t->unjoined).s);
	if (t->unframed)
		line_put(&l, "; framing of records lost %s times, times are coarser there",
		         format_count(t->unframed).s);
	frame_prose(f, t->unjoined ? RANK_STAYS : RANK_COVERAGE, t->unjoined ? RED : PLAIN, 0, "%s", l.text);
}

/* The names of protocols have spaces in them: "tls1.3". */
static void put_figures(struct frame *f, const struct tls_coverage *t)
{
	static const char *const keys[TLS_PROTOCOL_NR] = { "ssl3.0", "tls1.0", "tls1.1", "tls1.2", "tls1.3", "other" };
	struct line l;

	line_init_long(&l);
	line_put(&l, "tls connections=%" PRIu64, t->connections);
	if (t->read_measured)
		line_put(&l, " read=%" PRIu64, t->read);
	else
		line_put(&l, " read=not_measured");
	line_put(&l, " opaque=%" PRIu64, t->opaque);
	for (int i = TLS_PROTOCOL_NR; i-- > 0;)
		if (t->negotiated[i])
			line_put(&l, " %s=%" PRIu64, keys[i], t->negotiated[i]);
	if (t->unjoined)
		line_put(&l, " unjoined=%" PRIu64, t->unjoined);
	if (t->mismatched)
		line_put(&l, " mismatched=%" PRIu64, t->mismatched);
	if (t->unframed)
		line_put(&l, " unframed=%" PRIu64, t->unframed);
	frame_prose(f, RANK_STAYS, PLAIN, 0, "%s", l.text);
}

/* "v2: java, pid 4711 and 3 more: ..." */
static void put_reason(struct line *l, const struct tls_reason *r)
{
	if (r->version)
		line_put(l, "%s: ", r->version);
	if (r->pid)
		line_put(l, "%s, pid %d", r->comm, (int)r->pid);
	if (r->alike > 1)
		line_put(l, " and %u more", r->alike - 1);
	line_put(l, "%s%s", r->pid ? ": " : "", r->text);
}

static void put_reasons(struct frame *f, const struct tls_coverage *t)
{
	struct line l;

	for (size_t i = 0; i < t->n_reasons && i < REASONS_SHOWN; i++) {
		const struct tls_reason *r = &t->reasons[i];

		line_init_long(&l);
		if (f->terminal) {
			put_reason(&l, r);
			frame_prose(f, RANK_REASON, RED, 2, "%s", l.text);
			continue;
		}
		line_put(&l, "opaque version=%s", r->version ? r->version : "-");
		if (r->pid)
			line_put(&l, " pid=%d processes=%u comm=\"%s\"", (int)r->pid, r->alike, r->comm);
		line_put(&l, " reason=\"%s\"", r->text);
		frame_prose(f, RANK_STAYS, PLAIN, 0, "%s", l.text);
	}
	if (t->n_reasons > REASONS_SHOWN && f->terminal)
		frame_prose(f, RANK_REASON, RED, 2, "and %zu more", t->n_reasons - REASONS_SHOWN);
}

/* "v2 12 of 12": whose connections they are; nothing where that is not known. */
static void put_whose(struct line *l, const struct comparison *c)
{
	const char *separator = " (";

	for (size_t i = 0; i < c->n_versions; i++) {
		const struct version_figures *v = &c->versions[i];

		if (v->tls.opaque <= v->tls.withheld)
			continue;
		line_put(l, "%s%s: %s", separator, v->name, format_count(v->tls.opaque - v->tls.withheld).s);
		separator = ", ";
	}
	if (separator[0] == ',')
		line_put(l, ")");
}

/* "v2, not judged: 12 turns of client and server in TLS that was not read, p50 ..." */
static void put_turns(struct frame *f, const struct version_figures *v)
{
	const struct tls_turns *t = &v->tls.turns;
	uint64_t ended = tls_turns__ended(t);
	struct line l;

	if (!ended)
		return;
	line_init_long(&l);
	if (f->terminal)
		line_put(&l, "%s, not judged: %s turns of client and server in TLS that was not read", v->name,
		         format_count(ended).s);
	else
		line_put(&l, "turns %s not_judged count=%" PRIu64, v->name, ended);
	for (int i = 0; i < TABLE_QUANTILES; i++) {
		struct text x = format_duration(histogram_quantile(&t->last_byte, table_quantiles[i].q));

		if (f->terminal)
			line_put(&l, ", %s %s", table_quantiles[i].name, x.s);
		else
			line_put(&l, " %s=%s", table_quantiles[i].name, format_joined(x).s);
	}
	for (int i = TW_ANSWERED + 1; i < TW_OUTCOME_NR; i++) {
		if (!t->outcome[i])
			continue;
		if (f->terminal)
			line_put(&l, ", %s %s", format_count(t->outcome[i]).s, outcome_names[i]);
		else
			line_put(&l, " %s=%" PRIu64, outcome_names[i], t->outcome[i]);
	}
	frame_prose(f, RANK_REASON, PLAIN, f->terminal ? 2 : 0, "%s", l.text);
}

void part_tls(struct frame *f, const struct comparison *c)
{
	const struct tls_coverage *t = &c->coverage.tls;
	struct line l;

	if (!t->connections)
		return;
	if (f->terminal)
		put_words(f, t);
	else
		put_figures(f, t);
	if (!t->opaque)
		return;
	if (f->terminal && t->withheld)
		frame_prose(f, RANK_STAYS, RED, 0,
		            "%s TLS connections were not read, to keep what reading costs within its budget",
		            format_count(t->withheld).s);
	if (f->terminal && t->opaque > t->withheld) {
		line_init_long(&l);
		line_put(&l, "%s TLS CONNECTIONS CANNOT BE READ", format_count(t->opaque - t->withheld).s);
		put_whose(&l, c);
		frame_prose(f, RANK_STAYS, RED, 0,
		            "%s: their requests are in no figure above. What would help: tillwatch doctor -c FILE",
		            l.text);
	}
	put_reasons(f, t);
	for (size_t i = 0; i < c->n_versions; i++)
		put_turns(f, &c->versions[i]);
}
