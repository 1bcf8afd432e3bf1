/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel programs: loaded in several parts at once, each an object of its own, as the kernel's verifier takes
 * seconds for all of them and works on one program a thread.
 *
 * Invariants: all parts share the maps of one object, none of whose programs is loaded; of the parts only descriptors
 * are kept, as the objects would take as much memory as everything else.
 */
#ifndef TW_PROGRAMS_H
#define TW_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>

struct bpf_object;
struct tillwatch_bpf;

struct program {
	char name[40];
	char hook[48]; /* its section: "cgroup_skb/ingress" */
	int fd;
};

/* Zero is empty. */
struct programs {
	struct program *p;
	size_t n, room;
};

/* The watched places are only those of servers: what follows connections that we make is not switched on. */
void programs__choose(struct tillwatch_bpf *maps, bool have_clients);

/*
 * Loads `maps`, which is open and configured, with its maps; then, over these, the programs that are switched on in it,
 * of the attach types that are set in it. 0 or a negative errno; what is loaded is to be freed in any case.
 */
int programs__load(struct programs *p, struct tillwatch_bpf *maps);
void programs__free(struct programs *p);

/* Adds the programs of a loaded object. 0 or a negative errno. */
int programs__take(struct programs *p, const struct bpf_object *object);

/* Puts those that are reached by tail call into their tables. 0 or a negative errno. */
int programs__link(const struct programs *p, const struct tillwatch_bpf *maps);

/* Is the program of that name reached by tail call, and attached nowhere? */
bool programs__is_called(const char *name);

/* The descriptor of the one of that name, -1 when it is not loaded. */
int programs__fd(const struct programs *p, const char *name);

/* These return a descriptor, on whose closing the program is detached, or a negative errno. */
int programs__attach_trace(const struct programs *p, const char *name);
int programs__attach_walk(const struct programs *p, const char *name, int map);
int programs__attach_cgroup(const struct programs *p, const char *name, int cgroup, bool ingress);

#endif
