// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "rights/confine.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cap-ng.h>

#include "rights/filter.h"
#include "rights/rights.h"

/* Asked with neither capability in effect; they come back when what is kept is applied. */
static bool map_is_refused(int map)
{
	uint32_t key = 0, value;

	capng_get_caps_process();
	capng_updatev(CAPNG_DROP, CAPNG_EFFECTIVE, CAP_BPF, CAP_SYS_ADMIN, -1);
	return capng_apply(CAPNG_SELECT_CAPS) || (bpf_map_lookup_elem(map, &key, &value) && errno == EPERM);
}

/*
 * Linux c8644cd0efe7 ("bpf: refine kernel.unprivileged_bpf_disabled behaviour", 5.19): whoever has a map's descriptor
 * may use it. Before, every bpf(2) wants CAP_BPF where that sysctl is set.
 */
static bool maps_want_a_right(void)
{
	int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "tw_trial", 4, 4, 1, NULL);
	bool wanted = map < 0 || map_is_refused(map);

	if (map >= 0)
		close(map);
	return wanted;
}

static bool is_kept(enum right r, const struct confine_options *o, bool maps_too)
{
	if (r == RIGHT_BPF)
		return maps_too;
	if (r == RIGHT_ADMIN) /* the keeper has it */
		return false;
	if (r == RIGHT_PERFMON) /* uprobe.multi asks for nothing any more: measured on 6.18 */
		return o->perf_uprobes;
	return right_facts[r].later;
}

/* What stands in is only kept where what it stands in for was not given. */
static void choose(const struct confine_options *o, bool maps_too)
{
	int kept[RIGHT_NR];
	size_t n = 0;

	for (int r = 0; r < RIGHT_NR; r++) {
		const struct right_facts *f = &right_facts[r];

		if (!is_kept(r, o, maps_too))
			continue;
		if (capng_have_capability(CAPNG_PERMITTED, (unsigned int)f->cap))
			kept[n++] = f->cap;
		else if (f->stand_in >= 0 && capng_have_capability(CAPNG_PERMITTED, (unsigned int)f->stand_in))
			kept[n++] = f->stand_in;
	}
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < n; i++)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, (unsigned int)kept[i]);
}

/* The bounding set is who may set capabilities to empty; for all others no_new_privs makes it count for nothing. */
static int apply(void)
{
	void *chosen = capng_save_state();
	bool may;

	capng_get_caps_process();
	may = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_restore_state(&chosen);
	return capng_apply(may ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT);
}

int confine(const struct confine_options *o, struct err *e)
{
	bool maps_too = maps_want_a_right();
	int err, refused = 0;

	capng_get_caps_process();
	choose(o, maps_too);
	if (apply())
		refused = err_set(e, EPERM, "the capabilities that are not needed any more cannot be let go of");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		refused = err_set(e, errno, "no_new_privs cannot be set: %s", strerror(errno));
	err = filter__observer(o);
	if (err)
		refused = err_set(e, -err, "system calls cannot be filtered: %s", strerror(-err));
	return refused;
}

int confine__keeper(void)
{
	int err;

	capng_get_caps_process();
	capng_clear(CAPNG_SELECT_CAPS);
	capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_SYS_ADMIN);
	capng_clear(CAPNG_SELECT_BOUNDS | CAPNG_SELECT_AMBIENT);
	if (apply())
		return -EPERM;
	err = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
	return err ? err : filter__keeper();
}
