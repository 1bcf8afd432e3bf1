/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A session without a kernel: what the loader would do, with records and names that the fuzzer makes instead of the
 * programs, and a host on which every version has been found. Every slot is refused, so that all comes as records.
 */
#ifndef TW_FUZZ_NO_KERNEL_H
#define TW_FUZZ_NO_KERNEL_H

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "capture/features.h"
#include "capture/identity.h"
#include "capture/loader.h"
#include "capture/passed_over.h"
#include "capture/spending.h"
#include "rights/confine.h"
#include "rights/keeper.h"
#include "rights/rights.h"

#define ROUTES 256

struct loader {
	const uint8_t *at; /* what is left of the input: a length of two bytes and a record, again and again */
	size_t left;
	struct {
		uint64_t hash;
		uint16_t endpoint;
	} routes[ROUTES];
	struct tw_tls_name names[8]; /* [n_names], of connections inside TLS */
	size_t n_names;
	int fd;
};

static struct loader no_kernel;

struct loader *loader__new(const struct loader_options *o, struct err *e)
{
	no_kernel.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return &no_kernel;
}

void loader__free(struct loader *l)
{
	if (l)
		close(l->fd);
}

int loader__ring_fd(const struct loader *l)
{
	return l->fd;
}

int loader__drain(struct loader *l, int (*fn)(void *arg, void *data, size_t len), void *arg)
{
	while (l->left >= 2) {
		size_t len = l->at[0] | l->at[1] << 8;
		void *copy;
		int err;

		l->at += 2;
		l->left -= 2;
		if (len > l->left)
			len = l->left;
		/* A copy of its own, where a record of the ring would begin: one byte read beyond it is noticed. */
		copy = malloc(len ? len : 1);
		if (!copy)
			abort();
		memcpy(copy, l->at, len);
		err = fn(arg, copy, len);
		free(copy);
		l->at += len;
		l->left -= len;
		if (err)
			return err;
	}
	return 0;
}

/* The last one with the same place is forgotten. */
int loader__route(struct loader *l, uint64_t hash, uint16_t endpoint)
{
	l->routes[hash % ROUTES].hash = hash;
	l->routes[hash % ROUTES].endpoint = endpoint;
	return 0;
}

uint16_t loader__route_find(struct loader *l, uint64_t hash)
{
	return l->routes[hash % ROUTES].hash == hash ? l->routes[hash % ROUTES].endpoint : 0;
}

int loader__tls_names(const struct loader *l, void (*fn)(void *arg, const struct tw_tls_name *name, uint64_t n),
                      void *arg)
{
	for (size_t i = 0; i < l->n_names; i++)
		fn(arg, &l->names[i], i + 1);
	return 0;
}

void passed_over__read(struct loader *l, struct passed_over *out)
{
	*out = (struct passed_over){ .known = true };
}

int loader__read_ledger(struct loader *l, struct tw_ledger_row *rows)
{
	memset(rows, 0, TW_MAX_VERSIONS * sizeof(*rows));
	rows[1].c[TW_L_TLS] = rows[1].c[TW_L_CONNECTIONS] = l->n_names;
	return 0;
}

int loader__slot(struct loader *l, uint16_t version, uint16_t endpoint)
{
	return -ENOSPC;
}

void loader__processes_sweep(struct loader *l)
{
}

void loader__shed_details(struct loader *l, bool shed)
{
}

/* ---- what it costs: nothing that could be asked for ---------------------------------------------------------------
 */

size_t spending__programs(const struct loader *l)
{
	return 0;
}

int spending__program(const struct loader *l, size_t i, struct cost_program *out)
{
	return -ENOENT;
}

uint64_t spending__program_bytes(const struct loader *l, size_t i)
{
	return 0;
}

uint64_t spending__map_bytes(const struct loader *l)
{
	return 0;
}

int statistics__on(void)
{
	return -EPERM;
}

bool statistics__are_on(void)
{
	return false;
}

int statistics_cost__program(void)
{
	return -EPERM;
}

int statistics_cost__off(int prog, double *plain)
{
	*plain = NAN;
	return -EPERM;
}

int statistics_cost__on(int prog, double plain, double *shown, double *added)
{
	*shown = *added = NAN;
	return -EPERM;
}

/* ---- rights: a fuzzer keeps its own -------------------------------------------------------------------------------
 */

int confine(const struct confine_options *o, struct err *e)
{
	return 0;
}

void keeper__start(void)
{
}

void keeper__stop(void)
{
}

int keeper__statistics(void)
{
	return -EPERM;
}

int keeper__sockdiag(int netns)
{
	return -ENOTCONN;
}

int keeper__uprobe(int file, uint64_t offset, bool at_return, pid_t pid)
{
	return -ENOTCONN;
}

void rights__warn(void)
{
}

void rights__none_in_this_thread(void)
{
}

/* ------------------------------------------------------------------------------------------------------------------ */

int loader__inflight(struct loader *l, struct inflight_counts *out)
{
	return -ENOTSUP;
}

int loader__tls_turns(const struct loader *l, uint16_t version, struct tw_turns *out)
{
	return -ENOENT;
}

/* What is told to the kernel comes to nobody. */
int loader__apply(struct loader *l, const struct id_snapshot *s, struct err *e)
{
	return 0;
}
int loader__process(struct loader *l, uint32_t tgid, uint16_t version)
{
	return 0;
}
int loader__rules(struct loader *l, const struct tw_rule *rules, size_t n)
{
	return 0;
}
int loader__slow_from(struct loader *l, uint16_t version, uint16_t endpoint, unsigned int bucket)
{
	return 0;
}
void loader__stop(struct loader *l)
{
}
void loader__route_budget(struct loader *l, unsigned int n)
{
}
void loader__drain_mask(struct loader *l, unsigned int mask)
{
}
void loader__detail_budget(struct loader *l, unsigned int n)
{
}
int loader__read_slot(struct loader *l, unsigned int slot, struct tw_series *out)
{
	return -ENOENT;
}
uint64_t loader__lanes_exhausted(const struct loader *l)
{
	return 0;
}
void loader__loss_maps(const struct loader *l, struct loss_maps *out)
{
	memset(out, 0, sizeof(*out));
}
void loader__h2_unsaid(struct loader *l, void (*fn)(void *, uint64_t, uint32_t), void *arg)
{
}
void loader__h2_forget(struct loader *l, uint64_t before, bool (*follows)(void *, uint64_t), void *arg)
{
}
int loader__readers(const struct loader *l)
{
	return -1;
}
bool loader__tls(const struct loader *l)
{
	return false;
}
bool loader__tls_many(const struct loader *l)
{
	return false;
}
bool loader__tls_told(const struct loader *l)
{
	return false;
}
bool loader__tls_runs(const struct loader *l, struct tls_runs *out)
{
	return false;
}
int loader__tls_ready(struct loader *l, pid_t tgid, bool ready)
{
	return 0;
}
int loader__tls_goes(struct loader *l, pid_t tgid)
{
	return 0;
}
int loader__tls_withhold(struct loader *l, pid_t tgid, enum tw_withheld how)
{
	return 0;
}
void loader__describe(struct loader *l, char *text, size_t len)
{
}

int loader__tls_attach(struct loader *l, enum tls_job job, bool uretprobe, pid_t pid, const char *path,
                       const uint64_t *offsets, const uint64_t *cookies, size_t n)
{
	return -ENOTSUP;
}

/* ---- the host ---------------------------------------------------------------------------------------------------- */

const struct feature_state *features__try(void)
{
	static const struct feature_state none[FEATURE_NR];

	return none;
}

bool features__inflight(void)
{
	return false;
}
void features__refuse(enum feature which, int error)
{
}
int features__required(struct err *e)
{
	return 0;
}

int identity__resolve_knowing(const struct config *c, const struct id_known *known, struct id_snapshot **out,
                              struct err *e)
{
	struct id_snapshot *s = calloc(1, sizeof(*s));

	*out = s;
	if (!s)
		return -ENOMEM;
	s->versions = calloc(c->n_versions, sizeof(*s->versions));
	if (!s->versions)
		abort();
	s->n_versions = c->n_versions;
	return 0;
}

int identity__resolve(const struct config *c, struct id_snapshot **out, struct err *e)
{
	return identity__resolve_knowing(c, NULL, out, e);
}

void id_snapshot__free(struct id_snapshot *s)
{
	if (s)
		free(s->versions);
	free(s);
}

/* Of small numbers, the first versions have one each. */
uint16_t identity__version_of(const struct config *c, pid_t tgid)
{
	return tgid > 0 && (size_t)tgid <= c->n_versions ? (uint16_t)tgid : 0;
}

#endif
