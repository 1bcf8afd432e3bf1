// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/readers.h"

#include <errno.h>

#include <bpf/bpf.h>

/* More than the map holds: what is noted meanwhile must not keep us here. */
#define AT_MOST 4096

/* One that is noted again between the look and the deletion has been handed out all the same. */
int readers__take(int fd, void (*fn)(void *arg, const struct tw_reader *r), void *arg)
{
	struct tw_reader key;
	int n = 0;

	while (n < AT_MOST && !bpf_map_get_next_key(fd, NULL, &key)) {
		if (bpf_map_delete_elem(fd, &key) && errno != ENOENT)
			return -errno;
		fn(arg, &key);
		n++;
	}
	return n;
}
