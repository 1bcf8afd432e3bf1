// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/map_sizes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "base/err.h"

static bool fills_up(const struct bpf_map *m)
{
	enum bpf_map_type type = bpf_map__type(m);

	return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_LRU_HASH || type == BPF_MAP_TYPE_RINGBUF;
}

/* "name=entries" */
static int set_one(struct bpf_object *o, char *text)
{
	char *value = strchr(text, '='), *end;
	struct bpf_map *m;
	unsigned long n;

	if (!value)
		return -EINVAL;
	*value++ = '\0';
	errno = 0;
	n = strtoul(value, &end, 10);
	m = bpf_object__find_map_by_name(o, text);
	if (errno || end == value || *end || !n || n > 1U << 30 || !m || !fills_up(m))
		return -EINVAL;
	return bpf_map__set_max_entries(m, (unsigned int)n);
}

int map_sizes__set(struct bpf_object *o)
{
	const char *text = secure_getenv(MAP_SIZES_VARIABLE);
	char *copy = text ? strdup(text) : NULL, *rest = copy, *word = NULL;
	int err = text && !copy ? -ENOMEM : 0;

	while (!err && (word = strsep(&rest, " ")))
		if (*word)
			err = set_one(o, word);
	if (err)
		log_error("%s is not understood at `%s`", MAP_SIZES_VARIABLE, copy ? word : text);
	free(copy);
	return err;
}
