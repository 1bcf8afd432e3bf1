// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The crafted-packet programs that are built on rig.h, one after another in one process, which loads each kind of
 * kernel programs once: in an emulated machine a load takes half a minute, and fifteen programs want the same.
 *
 *   together             the names of those it has
 *   together DIR NAME... runs these: their output goes to DIR/NAME, "NAME exit-code seconds" to stdout
 *
 * Invariant: a program finds no more in the maps than if it had loaded them: see forget().
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tillwatch.skel.h"

/* Made by the Makefile: P(NAME) for each. */
#define P(name) int name(void);
#include "together.inc"
#undef P

static const struct {
	const char *name;
	int (*run)(void);
} programs[] = {
#define P(name) { #name, name },
#include "together.inc"
#undef P
};

#define N_PROGRAMS (sizeof(programs) / sizeof(programs[0]))

static struct load {
	bool crafted, with_ends;
	uint64_t timeout;
	struct tillwatch_bpf *skel;
} loads[8];

struct tillwatch_bpf **rig_kept(bool crafted, uint64_t timeout, bool with_ends);

struct tillwatch_bpf **rig_kept(bool crafted, uint64_t timeout, bool with_ends)
{
	for (struct load *l = loads; l < loads + sizeof(loads) / sizeof(*loads); l++) {
		if (!l->skel)
			*l = (struct load){ .crafted = crafted, .with_ends = with_ends, .timeout = timeout };
		if (l->crafted == crafted && l->with_ends == with_ends && l->timeout == timeout)
			return &l->skel;
	}
	fprintf(stderr, "together: more kinds of loads than there is room for\n");
	exit(2);
}

/* ---- what one program leaves to the next --------------------------------------------------------------------------
 */

static void forget_keys(const struct bpf_map *m)
{
	char *key = calloc(1, bpf_map__key_size(m));
	int fd = bpf_map__fd(m);

	while (key && !bpf_map_get_next_key(fd, NULL, key) && !bpf_map_delete_elem(fd, key))
		;
	free(key);
}

static void forget_values(const struct bpf_map *m)
{
	size_t each = (bpf_map__value_size(m) + 7) & ~7U;
	void *zeros = calloc((size_t)libbpf_num_possible_cpus(), each);

	for (uint32_t i = 0; zeros && i < bpf_map__max_entries(m); i++)
		bpf_map_update_elem(bpf_map__fd(m), &i, zeros, BPF_ANY);
	free(zeros);
}

/* Connections and names of routes, lines that were kept, counters; slots, rules and variables are rig_reset()'s. */
static void forget(struct tillwatch_bpf *skel)
{
	struct bpf_map *m;

	bpf_object__for_each_map (m, skel->obj) {
		switch (bpf_map__type(m)) {
		case BPF_MAP_TYPE_HASH:
		case BPF_MAP_TYPE_LRU_HASH:
			forget_keys(m);
			break;
		case BPF_MAP_TYPE_PERCPU_ARRAY:
			forget_values(m);
			break;
		default:
			break;
		}
	}
}

static int run(const char *dir, size_t i, FILE *results)
{
	time_t began = time(NULL);
	char path[512];
	int failed;

	snprintf(path, sizeof(path), "%s/%s", dir, programs[i].name);
	if (!freopen(path, "a", stdout) || !freopen(path, "a", stderr))
		return 1;
	for (struct load *l = loads; l < loads + sizeof(loads) / sizeof(*loads) && l->skel; l++)
		forget(l->skel);
	failed = programs[i].run();
	fflush(stdout);
	fprintf(results, "%s %d %ld\n", programs[i].name, failed, (long)(time(NULL) - began));
	return failed != 0;
}

int main(int argc, char **argv)
{
	int failed = 0;
	FILE *results;

	if (argc < 2)
		for (size_t i = 0; i < N_PROGRAMS; i++)
			puts(programs[i].name);
	results = argc < 2 ? NULL : fdopen(dup(STDOUT_FILENO), "w");
	if (!results)
		return argc < 2 ? 0 : 1;
	setlinebuf(results);
	for (int a = 2; a < argc; a++)
		for (size_t i = 0; i < N_PROGRAMS; i++)
			if (!strcmp(programs[i].name, argv[a]))
				failed += run(argv[1], i, results);
	return failed ? 1 : 0;
}
