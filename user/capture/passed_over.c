// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/passed_over.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "capture/loader_state.h"

static const struct {
	const char *name;
	enum feature first;
} second[TW_TWICE_NR] = {
	[TW_TWICE_READ] = { "tw_read_again", FEATURE_READ },
	[TW_TWICE_END] = { "tw_destroy_again", FEATURE_DESTROY },
	[TW_TWICE_FAIL] = { "tw_fail_again", FEATURE_FAIL },
};

/* Tracepoints of 7.0 and later are walked under SRCU, with preemption on. Nothing but the version tells that. */
static bool tracepoints_let_go(void)
{
	struct utsname u = { 0 };
	int major = 0;

	return !uname(&u) && sscanf(u.release, "%d.", &major) == 1 && major >= 7;
}

int passed_over__choose(struct tillwatch_bpf *skel, int end)
{
	const struct feature_state *f = features__try();
	bool needed = tracepoints_let_go();

	for (int i = 0; i < TW_TWICE_NR; i++) {
		struct bpf_program *p = bpf_object__find_program_by_name(skel->obj, second[i].name);

		bpf_program__set_autoload(p, needed && (int)second[i].first < end && f[second[i].first].ok);
	}
	skel->rodata->run_twice = needed;
	return needed ? 0 : bpf_map__set_max_entries(skel->maps.first_runs, 1);
}

void passed_over__attach(struct loader *l)
{
	for (int i = 0; i < TW_TWICE_NR; i++) {
		if (programs__fd(&l->programs, second[i].name) < 0 || l->hooks[second[i].first] <= 0)
			continue;
		l->second[i] = programs__attach_trace(&l->programs, second[i].name);
		if (l->second[i] < 0)
			log_info("cannot attach %s: %s", second[i].name, strerror(-l->second[i]));
	}
}

void passed_over__detach(struct loader *l)
{
	for (int i = 0; i < TW_TWICE_NR; i++)
		if (l->second[i] > 0)
			close(l->second[i]);
}

/* False: the kernel does not tell, as before 5.12. */
static bool misses_of(const struct loader *l, const char *name, uint64_t *n)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(programs__fd(&l->programs, name), &info, &len) ||
	    len < offsetof(struct bpf_prog_info, recursion_misses) + sizeof(info.recursion_misses))
		return false;
	*n = info.recursion_misses;
	return true;
}

static uint64_t made_good(const struct loader *l, int feature)
{
	for (int i = 0; i < TW_TWICE_NR; i++)
		if ((int)second[i].first == feature)
			return __atomic_load_n(&l->skel->bss->made_good[i], __ATOMIC_SEQ_CST);
	return 0;
}

static uint64_t excess(uint64_t missed, uint64_t good)
{
	return missed > good ? missed - good : 0;
}

/* Adds what has been missed since the last time. A thread may be stopped between the two programs of its event. */
static uint64_t missed_so_far(struct loader *l, int feature, uint64_t missed)
{
	const struct timespec moment = { .tv_nsec = 1000000 };
	struct passed_over_seen *s = &l->passed_over[feature];
	uint64_t good = made_good(l, feature);

	if (excess(missed - s->missed, good - s->made_good)) {
		nanosleep(&moment, NULL);
		good = made_good(l, feature);
	}
	s->lost += excess(missed - s->missed, good - s->made_good);
	s->missed = missed;
	s->made_good = good;
	return s->lost;
}

void passed_over__read(struct loader *l, struct passed_over *out)
{
	*out = (struct passed_over){ 0 };
	for (int i = 0; i < FEATURE_NR; i++) {
		uint64_t n;

		if (l->hooks[i] <= 0 || !misses_of(l, features__try()[i].name, &n))
			continue;
		out->known = true;
		n = missed_so_far(l, i, n);
		if (i == FEATURE_READ)
			out->reads = n;
		else if (i == FEATURE_DESTROY)
			out->ends = n;
		else
			out->others += n;
	}
}
