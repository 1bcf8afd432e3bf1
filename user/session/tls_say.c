// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is said of TLS: how many connections were read, by which names, and why some cannot be. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/internal.h"

static uint64_t opaque_of(const struct tw_ledger_row *r)
{
	/* Of a connection that was found, both may have been counted between two readings. */
	return r->c[TW_L_OPAQUE_TLS] > r->c[TW_L_TLS_FOUND] ? r->c[TW_L_OPAQUE_TLS] - r->c[TW_L_TLS_FOUND] : 0;
}

/* Those that are not opaque for the sake of the budget: of these it is known why. */
static uint64_t unreadable_of(const struct tw_ledger_row *r)
{
	uint64_t opaque = opaque_of(r), withheld = r->c[TW_L_TLS_WITHHELD];

	return opaque > withheld ? opaque - withheld : 0;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* Adds a name to those kept, in order; the one that falls out at the end is summed up. */
static void name_add(struct tls_coverage *t, const struct tls_name *n)
{
	size_t at = t->n_names;

	if (at == TLS_NAMES_MAX) {
		if (n->connections <= t->names[at - 1].connections) {
			t->other_names += n->connections;
			return;
		}
		t->other_names += t->names[--at].connections;
	} else {
		t->n_names++;
	}
	for (; at && t->names[at - 1].connections < n->connections; at--)
		t->names[at] = t->names[at - 1];
	t->names[at] = *n;
}

struct naming {
	const struct session *s;
	struct tls_coverage *t;
};

static const char *version_name(const struct session *s, unsigned int version)
{
	return version && version <= s->config->n_versions ? s->config->versions[version - 1].name : NULL;
}

static void on_name(void *arg, const struct tw_tls_name *key, uint64_t n)
{
	const struct naming *to = arg;
	struct tls_name name = { .version = version_name(to->s, key->version),
		                 .protocol = tls_protocol_of(key->negotiated),
		                 .connections = n };

	snprintf(name.name, sizeof(name.name), "%.*s", (int)sizeof(key->sni), key->sni);
	to->t->negotiated[name.protocol] += n;
	name_add(to->t, &name);
}

/* ---- reasons ----------------------------------------------------------------------------------------------------- */

#define SAY(to, ...) snprintf(to, sizeof(((struct tls_reason *)0)->text), __VA_ARGS__)

static void withheld_tells(const struct session *s, struct tls_coverage *t, unsigned int version)
{
	struct tls_reason r = { .version = version_name(s, version), .alike = 1 };
	unsigned int read, workers;

	if (!s->now[version].c[TW_L_TLS_WITHHELD] || t->n_reasons == TLS_REASONS_MAX)
		return;
	read = s->tls_budget.read[version];
	workers = s->tls_budget.workers[version];
	if (read < workers)
		SAY(r.text, "TLS is read in %u of %u workers (budget)", read, workers);
	else
		SAY(r.text, "TLS was read in a part of the workers for a while (budget), now in all");
	t->reasons[t->n_reasons++] = r;
}

/* How much one use of a library tells of why a process is not read: the higher, the better. */
enum tells { TELLS_NONE, TELLS_NOTHING, TELLS_A_PART, TELLS_LATER, TELLS_FAILED, TELLS_HIDDEN };

static enum tells use_tells(const struct tls_use *u, char *text)
{
	const struct tls_library *lib = u->file->library;
	const char *what = lib && lib->version[0] ? lib->version : lib ? tls_kind__name(lib->kind) : "";

	if (!lib) {
		SAY(text, "%s cannot be read: %s", u->where.path, u->file->error ? u->file->error : "not known why");
		return TELLS_FAILED;
	}
	if (!lib->n_sites) {
		SAY(text, "%s: %s", u->where.path, lib->note);
		return TELLS_HIDDEN;
	}
	if (!u->tried) {
		SAY(text, "%s is loaded, but not watched yet", what);
		return TELLS_LATER;
	}
	if (!u->hold.attached || u->hold.failed) {
		SAY(text, "%s: %s", what, u->hold.note[0] ? u->hold.note : "it could not be watched");
		return TELLS_FAILED;
	}
	if (lib->note[0]) {
		SAY(text, "%s is watched, but %s", what, lib->note);
		return TELLS_A_PART;
	}
	SAY(text, "%s is watched now; connections from before that were not read", what);
	return TELLS_NOTHING;
}

static void target_tells(const struct tls_target *at, char *text)
{
	enum tells most = at->note[0] ? TELLS_A_PART : TELLS_NONE, tells;
	char one[sizeof(((struct tls_reason *)0)->text)];

	if (at->note[0])
		SAY(text, "%s", at->note);
	else if (!at->looked)
		SAY(text, "it has not been looked into yet");
	else
		SAY(text, "no TLS library that is known was found in it");
	for (size_t i = 0; i < at->n_uses; i++) {
		tells = use_tells(&at->uses[i], one);
		if (tells <= most)
			continue;
		most = tells;
		memcpy(text, one, sizeof(one));
	}
}

static void reason_add(struct tls_coverage *t, const struct tls_reason *r)
{
	for (size_t i = 0; i < t->n_reasons; i++) {
		struct tls_reason *old = &t->reasons[i];

		if (old->version == r->version && !strcmp(old->comm, r->comm) && !strcmp(old->text, r->text)) {
			old->alike++;
			return;
		}
	}
	if (t->n_reasons < TLS_REASONS_MAX)
		t->reasons[t->n_reasons++] = *r;
}

/* Of those that are known to speak TLS, or, where that is not known of any, of all. */
static size_t version_tells(const struct session *s, struct tls_coverage *t, unsigned int version, bool readers)
{
	size_t n = 0;

	for (size_t i = 0; i < tls_targets__count(s->tls); i++) {
		const struct tls_target *at = tls_targets__at(s->tls, i);
		struct tls_reason r = { .version = version_name(s, version), .pid = at->tgid, .alike = 1 };

		if ((at->version && at->version != version) || (readers && !tls_reads(s, at->tgid)) ||
		    at->reading != TLS_READ)
			continue;
		snprintf(r.comm, sizeof(r.comm), "%s", at->comm);
		target_tells(at, r.text);
		reason_add(t, &r);
		n++;
	}
	return n;
}

static void reasons_fill(const struct session *s, struct tls_coverage *t)
{
	for (unsigned int v = 0; v <= s->config->n_versions; v++) {
		struct tls_reason r = { .version = version_name(s, v), .alike = 1 };

		withheld_tells(s, t, v);
		if (!unreadable_of(&s->now[v]))
			continue;
		if (!s->tls)
			SAY(r.text, "this kernel cannot attach programs to TLS libraries (see tillwatch doctor)");
		else if (version_tells(s, t, v, true) || version_tells(s, t, v, false))
			continue;
		else
			SAY(r.text, "none of its processes is known (any more)");
		reason_add(t, &r);
	}
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

static void histogram_fill(struct histogram *h, const struct tw_turns *n, enum tw_turn_time kind)
{
	*h = (struct histogram){ .sum = n->sum[kind], .max = n->max[kind] };
	for (int i = 0; i < TW_BUCKETS; i++) {
		h->b[i] = n->b[kind][i];
		h->count += n->b[kind][i];
	}
}

/* row: the key of the turns. */
static void turns_fill(const struct session *s, struct tls_turns *t, unsigned int row)
{
	struct tw_turns n;

	if (loader__tls_turns(s->loader, (uint16_t)row, &n))
		return;
	t->begun = n.begun;
	for (int i = 0; i < TW_OUTCOME_NR; i++)
		t->outcome[i] = n.outcome[i];
	histogram_fill(&t->first_byte, &n, TW_TURN_FIRST);
	histogram_fill(&t->last_byte, &n, TW_TURN_LAST);
}

uint64_t tls_turns_begun(const struct session *s, unsigned int row, uint64_t before)
{
	struct tw_turns n;

	if (!s->now[row].c[TW_L_OPAQUE_TLS])
		return 0;
	return loader__tls_turns(s->loader, (uint16_t)row, &n) ? before : n.begun;
}

uint64_t tls_turns_withheld(const struct session *s, unsigned int row, uint64_t before)
{
	struct tw_turns n;

	if (!s->now[row].c[TW_L_TLS_WITHHELD])
		return 0;
	return loader__tls_turns(s->loader, (uint16_t)(row | TW_TURNS_WITHHELD), &n) ? before : n.begun;
}

void tls_version_fill(const struct session *s, struct tls_version *t, unsigned int row)
{
	const struct tw_ledger_row *r = &s->now[row];

	*t = (struct tls_version){ 0 };
	t->connections = r->c[TW_L_TLS] - r->c[TW_L_TLS_MOVED];
	t->opaque = opaque_of(r);
	t->read = r->c[TW_L_TLS_JOINED];
	t->withheld = r->c[TW_L_TLS_WITHHELD];
	t->read_measured = s->tls || !t->connections;
	t->workers = s->tls_budget.workers[row];
	t->workers_read = s->tls_budget.read[row];
	if (r->c[TW_L_OPAQUE_TLS])
		turns_fill(s, &t->turns, row);
	if (t->withheld)
		turns_fill(s, &t->withheld_turns, row | TW_TURNS_WITHHELD);
}

void tls_coverage_fill(const struct session *s, struct tls_coverage *t, const struct tw_ledger_row *total)
{
	struct naming names = { s, t };

	memset(t, 0, sizeof(*t));
	t->connections = total->c[TW_L_TLS] - total->c[TW_L_TLS_MOVED];
	t->read_measured = s->tls || !t->connections;
	t->read = total->c[TW_L_TLS_JOINED];
	t->opaque = opaque_of(total);
	t->withheld = total->c[TW_L_TLS_WITHHELD];
	t->unjoined = total->c[TW_L_TLS_UNJOINED];
	t->mismatched = total->c[TW_L_TLS_MISMATCH];
	t->unframed = total->c[TW_L_TLS_UNFRAMED];
	if (!t->connections)
		return;
	if (loader__tls_names(s->loader, on_name, &names))
		log_debug("not all names of TLS connections could be read");
	if (t->opaque)
		reasons_fill(s, t);
}
