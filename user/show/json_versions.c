// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* "versions": one object a version. A part for each concern; what was not measured is null. */
#include "model/comparison.h"
#include "show/figures.h"
#include "show/json_put.h"

static void put_listener(struct document *d, cJSON *list, const struct listener_figures *f, bool established)
{
	cJSON *o = put_object(d, list, NULL);

	put_string(d, o, "address", f->address);
	put_count(d, o, "sockets", f->sockets);
	put_bool(d, o, "shared", f->shared);
	put_count_if(d, o, "backlog", f->sockets, f->backlog);
	put_count(d, o, "backlog_max", f->backlog_max);
	put_count_if(d, o, "backlog_limit", f->backlog_limit, f->backlog_limit);
	put_count(d, o, "attempts", f->attempts);
	put_count_if(d, o, "established", established, f->established);
	put_count_if(d, o, "incomplete", established, losses_incomplete(f->attempts, f->established, f->handshaking));
	put_count(d, o, "repeated_syns", f->repeated);
	put_count(d, o, "overflows", f->overflows);
	put_count(d, o, "drops", f->drops);
	put_count(d, o, "unaccepted", f->unaccepted);
}

static void put_sessions(struct document *d, cJSON *version, const char *key, const struct version_losses *l,
                         const struct session_figures *s, bool upgraded)
{
	static const char *const names[TW_END_NR] = {
		[TW_END_CLOSED] = "closed",
		[TW_END_RESET_BY_SERVER] = "reset_by_server",
		[TW_END_RESET_BY_CLIENT] = "reset_by_client",
		[TW_END_CUT] = "cut_by_server",
		[TW_END_CLIENT_ABANDONED] = "client_abandoned",
		[TW_END_TIMEOUT] = "timeout",
	};
	cJSON *o = put_object(d, version, key), *age;

	if (upgraded)
		put_count(d, o, "begun", l->upgraded_begun);
	for (int i = 0; i < TW_END_NR; i++) {
		/* A response that ends well is an answered exchange; a client may leave a session as it likes. */
		if (i == (upgraded ? TW_END_CLIENT_ABANDONED : TW_END_CLOSED))
			continue;
		put_count_if(d, o, names[i], l->has_sessions, s->ended[i]);
	}
	age = put_object(d, o, "abrupt_age");
	put_number(d, age, "mean", s->age_mean);
	put_number(d, age, "max", s->age_max);
}

static void put_losses(struct document *d, cJSON *o, const struct version_losses *l)
{
	cJSON *list = put_list(d, o, "listeners"), *resets;

	for (size_t i = 0; i < l->n_listeners && !d->failed; i++)
		put_listener(d, list, &l->listeners[i], l->has_established || l->listeners[i].shared);
	put_count_if(d, o, "attempts", l->has_attempts, l->attempts);
	put_count_if(d, o, "established", l->has_established, l->established);
	put_count_if(d, o, "handshaking", l->has_established, l->handshaking);
	put_count_if(d, o, "incomplete", l->has_established,
	             losses_incomplete(l->attempts, l->established, l->handshaking));
	put_count_if(d, o, "untracked", l->has_established, l->untracked);
	put_count_if(d, o, "uncounted", l->has_attempts, l->uncounted);
	put_count_if(d, o, "refused", l->has_refused, l->refused);
	put_count_if(d, o, "overflows", l->has_attempts, l->overflows);
	put_count_if(d, o, "drops", l->has_attempts, l->drops);
	put_count_if(d, o, "unaccepted", l->has_established, l->unaccepted);
	put_count_if(d, o, "retransmitted_segments", l->has_segments, l->retransmitted_segments);
	put_count_if(d, o, "sent_segments", l->has_segments, l->sent_segments);
	resets = put_object(d, o, "idle_resets");
	put_count(d, resets, "by_server", l->idle_resets_by_server);
	put_count(d, resets, "by_client", l->idle_resets_by_client);
	put_sessions(d, o, "upgraded", l, &l->upgraded, true);
	put_sessions(d, o, "streaming", l, &l->streaming, false);
}

void put_ledger(struct document *d, cJSON *parent, const struct ledger_figures *l)
{
	cJSON *o = put_object(d, parent, "ledger");

	put_count(d, o, "seen", l->seen);
	put_count(d, o, "ended", l->ended);
	put_count_if(d, o, "in_flight", l->in_flight_measured, l->in_flight);
	put_count(d, o, "lost", l->lost_exchanges);
	if (l->checked)
		put_bool(d, o, "balanced", ledger_holds(l));
	else
		put_null(d, o, "balanced");
}

static void put_in_flight(struct document *d, cJSON *o, const struct version_figures *v)
{
	put_count_if(d, o, "in_flight_max", v->ledger.in_flight_measured, v->in_flight_max);
	put_number(d, o, "oldest_in_flight", v->oldest);
}

void put_versions(struct document *d, cJSON *root, const struct comparison *c)
{
	cJSON *list = put_list(d, root, "versions"), *o;

	for (size_t i = 0; i < c->n_versions && !d->failed; i++) {
		const struct version_figures *v = &c->versions[i];

		o = put_object(d, list, NULL);
		put_string(d, o, "version", v->name);
		put_string(d, o, "arm", arm_names[v->arm]);
		if (v->has_losses)
			put_losses(d, o, &v->losses);
		put_ledger(d, o, &v->ledger);
		put_in_flight(d, o, v);
		put_tls_version(d, o, &v->tls);
	}
}
