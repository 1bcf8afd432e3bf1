/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What this kernel and these privileges allow, found out by trying. */
#ifndef TW_FEATURES_H
#define TW_FEATURES_H

#include <stdbool.h>

#include "base/err.h"

enum feature {
	FEATURE_PACKETS, /* cgroup_skb programs: nothing works without them */
	FEATURE_READ,    /* queue and service time, versions by reader */
	FEATURE_DESTROY, /* endings that no packet shows */
	FEATURE_FAIL,    /* timeouts told from other endings */
	FEATURE_LISTEN,  /* new listeners are noticed at once */
	FEATURE_FORK,
	FEATURE_EXEC,
	FEATURE_EXIT,
	FEATURE_HANDSHAKE,      /* connections made, listeners closed */
	FEATURE_REFUSE,         /* connections refused because nobody listens */
	FEATURE_LIVE,           /* segments of open connections; run by user space, not attached */
	FEATURE_INFLIGHT,       /* what is in flight, and the timeouts of exchanges that have not ended */
	FEATURE_INFLIGHT_EARLY, /* the same of requests that came with the handshake */
	FEATURE_UPROBE,         /* programs in the TLS libraries of processes; see uprobe.h */
	FEATURE_UPROBE_MANY,    /* many places with one descriptor: they are taken away within a second, not a minute */
	FEATURE_UPROBE_TOLD,    /* a program can be told where it is: places inside libraries */
	FEATURE_NR,
};

struct feature_state {
	const char *name;    /* the program's name in the skeleton, "tw_read"; "": there are several, see loader.c */
	const char *hook;    /* "tp_btf/tcp_rcv_space_adjust" */
	const char *gives;   /* what it is good for */
	const char *without; /* what is missing without it */
	bool ok;
	int error; /* errno of the failed load or attach, 0 when ok */
};

/* Tries each once and remembers. Never fails: a feature that cannot be tried is not ok. */
const struct feature_state *features__try(void);

/* Can a program in a TLS library be told where it is? By uprobe.multi always. */
bool features__uprobes_told(void);

/* Can what is in flight be counted, all of it? */
bool features__inflight(void);

/*
 * The program itself was refused (an errno), although its trial passed: says so, and the feature is not ok from now on.
 * What features__try() returned shows it.
 */
void features__refuse(enum feature which, int error);

/* BTF, privileges, JIT: what must hold before anything can be tried. 0, or a negative errno with what to do in e. */
int features__required(struct err *e);

#endif
