// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The list of versions: what belongs to one of them and to no endpoint. Each kind of figures adds its own members. */
#include "show/document.h"

void put_ledger(struct document *d, cJSON *parent, const struct ledger_figures *l)
{
	cJSON *o = put_object(d, parent, "ledger");

	put_count(d, o, "seen", l->seen);
	put_count(d, o, "ended", l->ended);
	if (l->in_flight_measured)
		put_count(d, o, "in_flight", l->in_flight);
	else
		put_null(d, o, "in_flight");
	put_count(d, o, "lost", l->lost_exchanges);
	if (l->checked)
		put_bool(d, o, "balanced", ledger_holds(l));
	else
		put_null(d, o, "balanced");
}

static void put_in_flight(struct document *d, cJSON *o, const struct version_figures *v)
{
	if (v->ledger.in_flight_measured)
		put_count(d, o, "in_flight_max", v->in_flight_max);
	else
		put_null(d, o, "in_flight_max");
	put_number(d, o, "oldest_in_flight", v->oldest);
}

void put_versions(struct document *d, cJSON *root, const struct comparison *c)
{
	cJSON *list = put_list(d, root, "versions");

	for (size_t i = 0; i < c->n_versions && !d->failed; i++) {
		const struct version_figures *v = &c->versions[i];
		cJSON *o = put_object(d, list, NULL);

		put_string(d, o, "version", v->name);
		put_string(d, o, "arm", arm_names[v->arm]);
		put_ledger(d, o, &v->ledger);
		put_in_flight(d, o, v);
	}
}
