/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The state of one identity__resolve, shared by its stages (identity.c: scan and result; id_place.c: claims and places;
 * id_note.c: what people are told). Nothing outside these three includes this.
 *
 * Stages, each using only what the ones before have filled:
 *   scan     processes with the versions they match, sockets with their holders
 *   claim    which version takes which socket, by its address or by a holder; conflicts
 *   places   static or by reader
 *   result   cgroups, processes, notes
 */
#ifndef TW_RESOLVE_H
#define TW_RESOLVE_H

#include "capture/cgroup.h"
#include "capture/identity.h"
#include "capture/match.h"
#include "capture/procfs.h"
#include "capture/sockdiag.h"

struct place_claim {
	struct tw_place key;
	uint64_t by_address; /* versions that name it and nothing else */
	uint64_t by_process; /* versions that have it through their processes */
	struct tw_place_value value;
};

struct version_work {
	bool process_keys;
	bool server, client; /* which sides it looks at */
	bool shared;         /* has a place where the reader decides */
	bool watches_all;    /* waits, and has no cgroup of its own to wait in */
	size_t n_processes, n_sockets;
	uint64_t conflict; /* versions it overlaps with */
	char conflict_on[96];
};

struct resolve {
	const struct config *c;
	struct cgroup2 cgroup2;
	struct matcher matcher;
	const struct id_known *known; /* belonged to a version before */
	struct proctable *processes;
	struct socktable sockets;
	struct place_claim *places;
	size_t n_places;
	struct version_work *versions;
	struct cgroup_set cgroups;
	uint64_t server_mask;  /* versions with process keys that look at the server side */
	uint64_t open_mask;    /* of these, not narrowed to one place: they claim whatever their processes listen on */
	uint64_t address_mask; /* versions known by listen alone */
};

/* Processes that belong to the version, by any way. */
static inline bool resolve__is_member(const struct resolve *r, const struct process *p, size_t version)
{
	return !p->gone && ((p->own | p->by_place) >> version & 1);
}

/* The place the version names on one side; false when it names none there. */
bool version__place(const struct version *v, bool client, struct tw_place *place);

int resolve__claim(struct resolve *r);
void resolve__decide_places(struct resolve *r);
void resolve__note(struct resolve *r, size_t version, struct id_version *out);

/*
 * The listeners and connections the versions care about, with holders. c may be NULL: listeners only.
 * Reads every network namespace the table's processes live in.
 */
int sockets__scan(const struct config *c, struct proctable *t, const struct cgroup2 *g, struct socktable *out,
                  struct err *e);

#endif
