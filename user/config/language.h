/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The tables of the language and the readers that belong to one key each. */
#ifndef TW_CONFIG_LANGUAGE_H
#define TW_CONFIG_LANGUAGE_H

#include "config/schema.h"

extern const struct schema config_schema, version_schema, match_schema, unit_schema, endpoint_schema, slo_schema,
	bad_schema, gate_schema, limits_schema;

/* versions.c: the mapping of versions into struct config; one arm; the keys of match. */
int read_versions(const struct source *s, const struct key *k, const struct ynode *v, void *config);
int read_arm(const struct source *s, const struct key *k, const struct ynode *v, void *version);
int read_listen(const struct source *s, const struct key *k, const struct ynode *v, void *match);
int read_upstream(const struct source *s, const struct key *k, const struct ynode *v, void *match);
int read_cgroup(const struct source *s, const struct key *k, const struct ynode *v, void *field);
int read_exe(const struct source *s, const struct key *k, const struct ynode *v, void *field);
int read_unit(const struct source *s, const struct key *k, const struct ynode *v, void *field);
int read_env(const struct source *s, const struct key *k, const struct ynode *v, void *field);
int read_build_id(const struct source *s, const struct key *k, const struct ynode *v, void *field);
int read_pid(const struct source *s, const struct key *k, const struct ynode *v, void *field);

/* endpoints.c: the list of endpoints into struct config; one route. */
int read_endpoints(const struct source *s, const struct key *k, const struct ynode *v, void *config);
int read_route(const struct source *s, const struct key *k, const struct ynode *v, void *route);
/* Do both templates match the same targets? Names of parameters do not count. */
bool same_template(const struct route *a, const struct route *b);

/* units.c: the mapping of units into struct config; the name of one; which endpoint is in which. */
int read_units(const struct source *s, const struct key *k, const struct ynode *v, void *config);
int read_text(const struct source *s, const struct key *k, const struct ynode *v, void *field);
int link_units(const struct source *s, struct config *c);

/* bad.c: what makes an exchange bad; the default gives all of it. */
void bad_events__defaults(struct bad_events *b);
int read_statuses(const struct source *s, const struct key *k, const struct ynode *v, void *bad_events);
int read_outcomes(const struct source *s, const struct key *k, const struct ynode *v, void *bad_events);
int read_slower_than(const struct source *s, const struct key *k, const struct ynode *v, void *bad_events);

/* gate.c: the gate, and its words. */
int read_gate(const struct source *s, const struct key *k, const struct ynode *v, void *gate_policy);
extern const char *const gate_mode_names[GATE_MODE_NR], *const at_deadline_names[DEADLINE_NR];
int read_mode(const struct source *s, const struct key *k, const struct ynode *v, void *field);
int read_at_deadline(const struct source *s, const struct key *k, const struct ynode *v, void *field);

/* check.c: what can only be seen when everything has been read. */
int check_config(const struct source *s, const struct config *c);

#endif
