/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Slots of the kernel's counters, and names of routes: given to an endpoint of the watched server, and read. */
#ifndef TESTS_BPF_SLOTS_H
#define TESTS_BPF_SLOTS_H

#include "rig.h"
#include "tw_series.h"

/* As the kernel's columns have it: an ordinary exchange is in one of them only, see TW_LAT_PLAIN. */
static inline struct tw_series slot_columns(uint32_t slot)
{
	struct tw_series *per_cpu = calloc((size_t)rig.cpus, sizeof(*per_cpu)), sum = { 0 };

	assert_non_null(per_cpu);
	assert_int_equal(bpf_map__value_size(rig.skel->maps.series), sizeof(*per_cpu));
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(rig.skel->maps.series), &slot, per_cpu), 0);
	for (int i = 0; i < rig.cpus; i++)
		tw_series_add(&sum, &per_cpu[i]);
	free(per_cpu);
	return sum;
}

static inline struct tw_series slot_sum(uint32_t slot)
{
	struct tw_series sum = slot_columns(slot);

	tw_series_expand(&sum);
	return sum;
}

static inline void slot_clear(uint32_t slot)
{
	struct tw_series *zeros = calloc((size_t)rig.cpus, sizeof(*zeros));

	assert_non_null(zeros);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(rig.skel->maps.series), &slot, zeros, BPF_ANY), 0);
	free(zeros);
}

/* bad_from: the bucket in which what is too slow by the endpoint's rule begins; 0: nothing is. */
static inline void give_slot_slow(uint32_t endpoint, uint32_t slot, unsigned int bad_from)
{
	uint32_t key = RIG_SERVER_VERSION * TW_MAX_ENDPOINTS + endpoint;
	struct tw_slot value = { .slot = slot, .bad_from = (uint16_t)bad_from };

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(rig.skel->maps.slots), &key, &value, BPF_ANY), 0);
}

static inline void give_slot(uint32_t endpoint, uint32_t slot)
{
	give_slot_slow(endpoint, slot, 0);
}

static inline void name_route(uint64_t hash, uint32_t endpoint)
{
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(rig.skel->maps.routes), &hash, &endpoint, BPF_ANY), 0);
}

#endif
