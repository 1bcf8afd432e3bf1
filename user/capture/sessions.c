// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/sessions.h"

#include <errno.h>
#include <stdlib.h>

#include <bpf/bpf.h>

int sessions__cut(const struct loader *l, unsigned int version, uint64_t *n)
{
	struct tw_losses *per_cpu;
	struct loss_maps maps;
	int err = 0;

	loader__loss_maps(l, &maps);
	per_cpu = calloc((size_t)maps.cpus, sizeof(*per_cpu));
	if (!per_cpu)
		return -ENOMEM;
	*n = 0;
	if (bpf_map_lookup_elem(maps.losses, &version, per_cpu))
		err = -errno;
	for (int i = 0; i < maps.cpus && !err; i++) {
		const struct tw_sessions *s = &per_cpu[i].upgraded;

		*n += s->ended[TW_END_RESET_BY_SERVER] + s->ended[TW_END_CUT];
	}
	free(per_cpu);
	return err;
}
