// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/route_key.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "capture/http1_table.h"

int route_key(uint64_t seed, const char *method, const char *path, uint64_t *hash)
{
	struct rh_stream r;
	bool segment_start = true;

	rh_start(&r, seed);
	for (const char *m = method; *m; m++)
		rh_byte(&r, (__u8)*m);
	rh_method_end(&r);
	if (*path != '/')
		return -EINVAL;
	for (const char *p = path + 1; *p; p++) {
		if (*p == '{') {
			p = strchr(p, '}');
			if (!p || !segment_start || (p[1] && p[1] != '/'))
				return -EINVAL;
			rh_byte(&r, '0'); /* all digits: any id folds to the same constant */
		} else if (*p == '/') {
			rh_path_slash(&r);
			segment_start = true;
			continue;
		} else {
			rh_byte(&r, (__u8)*p);
		}
		segment_start = false;
	}
	*hash = rh_path_end(&r);
	return 0;
}
