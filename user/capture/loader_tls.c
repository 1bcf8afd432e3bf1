// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/loader_state.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "capture/uprobe.h"

/* By enum tls_job. */
static const char *const tls_programs[TLS_JOB_NR] = {
	"tw_tls_read_in",     "tw_tls_read_out",     "tw_tls_read_ex_in",      "tw_tls_read_ex_out",
	"tw_tls_write_in",    "tw_tls_write_out",    "tw_tls_write_ex_in",     "tw_tls_write_ex_out",
	"tw_tls_sendfile_in", "tw_tls_sendfile_out", "tw_tls_handshake_in",    "tw_tls_handshake_out",
	"tw_tls_free_in",     "tw_tls_read_at",      "tw_tls_go_read_in",      "tw_tls_go_read_out",
	"tw_tls_go_write_in", "tw_tls_go_write_out", "tw_tls_go_handshake_in", "tw_tls_go_handshake_out",
};

bool loader__tls(const struct loader *l)
{
	return l->tls;
}

bool loader__tls_many(const struct loader *l)
{
	return l->tls && features__try()[FEATURE_UPROBE_MANY].ok;
}

bool loader__tls_told(const struct loader *l)
{
	return l->tls && features__uprobes_told();
}

int loader__tls_attach(struct loader *l, enum tls_job job, bool uretprobe, pid_t pid, const char *path,
                       const uint64_t *offsets, const uint64_t *cookies, size_t n)
{
	const struct uprobe u = {
		.prog = programs__fd(&l->programs, tls_programs[job]),
		.pid = pid,
		.path = path,
		.at_return = uretprobe,
	};

	l->skel->bss->tls_watched = 1;
	if (loader__tls_many(l))
		return uprobe__attach_many(&u, offsets, cookies, n);
	return n == 1 ? uprobe__attach(&u, offsets[0], cookies ? cookies[0] : 0) : -E2BIG;
}

int loader__tls_ready(struct loader *l, pid_t tgid, bool ready)
{
	int fd = bpf_map__fd(l->skel->maps.tls_ready);
	uint32_t key = (uint32_t)tgid;
	struct timespec now;
	uint64_t ns;

	if (!ready)
		return bpf_map_delete_elem(fd, &key) && errno != ENOENT ? -errno : 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	return bpf_map_update_elem(fd, &key, &ns, BPF_ANY) ? -errno : 0;
}

int loader__tls_goes(struct loader *l, pid_t tgid)
{
	uint32_t key = (uint32_t)tgid;
	uint8_t one = 1;

	if (bpf_map_update_elem(bpf_map__fd(l->skel->maps.tls_goers), &key, &one, BPF_ANY))
		return -errno;
	l->skel->bss->tls_have_go = 1;
	return 0;
}

int loader__tls_names(const struct loader *l, void (*fn)(void *arg, const struct tw_tls_name *name, uint64_t n),
                      void *arg)
{
	int fd = bpf_map__fd(l->skel->maps.tls_names);
	struct tw_tls_name key, *last = NULL;
	uint64_t n;

	/* Nothing is ever deleted there, so no name comes twice and none is left out. */
	while (!bpf_map_get_next_key(fd, last, &key)) {
		last = &key;
		if (bpf_map_lookup_elem(fd, &key, &n))
			return -errno;
		fn(arg, &key, n);
	}
	return errno == ENOENT ? 0 : -errno;
}

int loader__tls_turns(const struct loader *l, uint16_t version, struct tw_turns *out)
{
	uint32_t key = version;

	memset(out, 0, sizeof(*out));
	if (!bpf_map_lookup_elem(bpf_map__fd(l->skel->maps.tls_turns), &key, out) || errno == ENOENT)
		return 0;
	return -errno;
}

int loader__tls_withhold(struct loader *l, pid_t tgid, enum tw_withheld how)
{
	int fd = bpf_map__fd(l->skel->maps.tls_withheld);
	uint32_t key = (uint32_t)tgid, value = how;

	if (!how) {
		if (bpf_map_delete_elem(fd, &key))
			return errno == ENOENT ? 0 : -errno;
		l->skel->bss->tls_withholding--;
		return 0;
	}
	if (!bpf_map_update_elem(fd, &key, &value, BPF_NOEXIST)) {
		l->skel->bss->tls_withholding++;
		return 0;
	}
	return bpf_map_update_elem(fd, &key, &value, BPF_EXIST) ? -errno : 0;
}

bool loader__tls_runs(const struct loader *l, struct tls_runs *out)
{
	for (int i = 0; i < TLS_JOB_NR && l->tls; i++) {
		int fd = programs__fd(&l->programs, tls_programs[i]);
		struct bpf_prog_info info = {};
		uint32_t len = sizeof(info);

		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len))
			return false;
		out->runs[i] = info.run_cnt;
		out->ns[i] = info.run_time_ns;
	}
	return l->tls;
}
