/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's TCP socket tables, by netlink (inet_diag): listeners of both families, and connections to a given port.
 *
 * Invariants: addresses are IPv6 or ::ffff:a.b.c.d; a wildcard address is all zero, whatever its family (`family` and
 * v6only then say which connections it takes); a socket appears once.
 */
#ifndef TW_SOCKDIAG_H
#define TW_SOCKDIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tw_abi.h"

struct sock {
	struct tw_place place; /* local end of a listener, remote end of a connection */
	uint8_t family;        /* AF_INET, AF_INET6 */
	bool v6only;
	bool own_netns;
	uint32_t netns; /* inode; 0: not known */
	uint64_t inode;
	uint64_t cookie;
	uint32_t queued, queue_limit; /* of a listener: connections that wait to be accepted */
	uint32_t drops;               /* of a listener: what it has dropped so far, modulo 2^32 */
	uint64_t cgroup_id;           /* of the socket, not of its holders; 0: the kernel does not tell (before 5.9) */
	uint64_t claimed;             /* versions, a bit mask; the resolver's */
	uint64_t kept;                /* of a listener that nobody claims now: those that did; the resolver's */
	uint32_t *holders;            /* indices of processes; the table's */
	size_t n_holders;
};

/* Sockets, and which process holds which. */
struct socktable {
	struct sock *v;
	size_t n, cap;
	uint32_t *index; /* open addressing by inode: position in v + 1 */
	size_t index_cap;
	int error; /* first failure while holders were added */
};

void socktable__free(struct socktable *t); /* the contents; t itself is the caller's */
/* After the last dump: makes the index. */
int socktable__index(struct socktable *t);
/* Notes that a process holds the socket with this inode, when it is in the table. */
void socktable__hold(struct socktable *t, uint64_t inode, uint32_t process);

/* Opens a diag socket in the network namespace of the calling thread: a descriptor, or a negative errno. */
int sockdiag__open(void);
/* For one that was opened by others: it waits no longer for an answer than ours do. */
void sockdiag__be_patient(int nl);
/* Appends all listeners the descriptor's namespace has. */
int sockdiag__listeners(int nl, struct socktable *t, struct err *e);
/* Appends the connections whose remote port is this. */
int sockdiag__connections_to(int nl, uint16_t port, struct socktable *t, struct err *e);

/* "127.0.0.1:80", "[::1]:80"; wildcards as "0.0.0.0:80" or "[::]:80" by family, "port 80" when family is 0. */
const char *place__text(const struct tw_place *place, int family, char *text, size_t len);
/* Does this listener (or connection) take part in the traffic of the place? */
bool place__covers(const struct tw_place *place, const struct sock *s);
bool place__same(const struct tw_place *a, const struct tw_place *b);
bool place__is_any(const struct tw_place *place);

#endif
