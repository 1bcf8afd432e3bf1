// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "rights/rights.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/capability.h>

const struct right_facts right_facts[RIGHT_NR] = {
	[RIGHT_BPF] = { "CAP_BPF", CAP_BPF, CAP_SYS_ADMIN, true, false, "loads kernel programs and makes their maps",
	                "nothing can be measured" },
	[RIGHT_PERFMON] = { "CAP_PERFMON", CAP_PERFMON, CAP_SYS_ADMIN, true, true,
	                    "loads and attaches programs at tracepoints and in TLS libraries",
	                    "nothing can be measured" },
	[RIGHT_NET_ADMIN] = { "CAP_NET_ADMIN", CAP_NET_ADMIN, CAP_SYS_ADMIN, true, true,
	                      "loads programs that see packets, and attaches them to cgroups",
	                      "nothing can be measured" },
	[RIGHT_PTRACE] = { "CAP_SYS_PTRACE", CAP_SYS_PTRACE, -1, false, true,
	                   "reads /proc/PID/{exe,fd,maps,environ,ns} of other users' processes",
	                   "of processes of other users it is not known which program they run, what they listen on and "
	                   "which TLS library they have: their TLS is opaque" },
	[RIGHT_READ] = { "CAP_DAC_READ_SEARCH", CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE, false, true,
	                 "lists the descriptors of other users' processes, and reads programs and libraries that only they "
	                 "may read",
	                 "of processes of other users it is not known what they listen on; versions that go by their "
	                 "process are not found" },
	[RIGHT_RESTORE] = { "CAP_CHECKPOINT_RESTORE", CAP_CHECKPOINT_RESTORE, CAP_SYS_ADMIN, false, true,
	                    "opens the very file that is mapped (/proc/PID/map_files)",
	                    "TLS libraries whose file was replaced or removed since their process started are opaque" },
	[RIGHT_ADMIN] = { "CAP_SYS_ADMIN", CAP_SYS_ADMIN, -1, false, true,
	                  "switches run-time statistics on for moments, and asks other network namespaces for their sockets; "
	                  "a process of its own keeps it",
	                  "what tillwatch costs in the kernel is null, the overhead budget is not kept, and services in other "
	                  "network namespaces (containers) are not found by what they listen on" },
	[RIGHT_RESOURCE] = { "CAP_SYS_RESOURCE", CAP_SYS_RESOURCE, -1, true, false,
	                     "lifts the limit of locked memory, which kernels before 5.11 charge maps against",
	                     "nothing can be measured unless that limit is lifted by others: `ulimit -l unlimited`, or "
	                     "LimitMEMLOCK=infinity" },
};

/* Instead, where the administrator has run-time statistics on: they need not be switched. */
#define WITHOUT_ADMIN_BUT_COUNTED                                                                                       \
	"services in other network namespaces (containers) are not found by what they listen on (what tillwatch costs " \
	"is measured all the same: kernel.bpf_stats_enabled is set)"

/* What the least set is made of, as setcap and setpriv take it. */
#define LEAST "cap_bpf,cap_perfmon,cap_net_admin,cap_sys_ptrace,cap_dac_read_search,cap_checkpoint_restore"

static uint64_t effective(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {};

	if (syscall(SYS_capget, &header, data))
		return 0;
	return data[0].effective | (uint64_t)data[1].effective << 32;
}

static bool has(uint64_t set, int cap)
{
	return cap >= 0 && set >> cap & 1;
}

bool rights__have(enum right r)
{
	uint64_t set = effective();

	return has(set, right_facts[r].cap) || has(set, right_facts[r].stand_in);
}

bool rights__statistics_are_on(void)
{
	FILE *f = fopen("/proc/sys/kernel/bpf_stats_enabled", "re");
	int value = 0;

	if (!f)
		return false;
	if (fscanf(f, "%d", &value) != 1)
		value = 0;
	fclose(f);
	return value > 0;
}

const char *rights__without(enum right r)
{
	return r == RIGHT_ADMIN && rights__statistics_are_on() ? WITHOUT_ADMIN_BUT_COUNTED : right_facts[r].without;
}

/* 0, or an errno. */
static int try_map(uint32_t pages)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "tw_trial", 4, 4096, pages, NULL);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

/* A small map can be had, and not one of this many bytes? Then the limit of locked memory counts for maps here. */
static bool is_charged(size_t bytes)
{
	return try_map((uint32_t)(bytes / 4096 + 1)) == EPERM && !try_map(1);
}

/* As much as the largest of our maps may take: with less of it something would be refused later on. */
#define MEMORY_WANTED (128UL << 20)

/* Raises the limit as far as it goes, and asks the kernel what that means. */
static bool is_memory_limited(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY }, now;

	if (!setrlimit(RLIMIT_MEMLOCK, &unlimited) || getrlimit(RLIMIT_MEMLOCK, &now))
		return false;
	now.rlim_cur = now.rlim_max;
	setrlimit(RLIMIT_MEMLOCK, &now);
	return now.rlim_max < MEMORY_WANTED && is_charged(now.rlim_max);
}

/* While they are loaded, programs and maps are some 250, and more where more CPUs share the work; all have this much.
 */
#define FILES_WANTED 1024

unsigned long rights__too_few_files(void)
{
	struct rlimit now, wanted = { FILES_WANTED, FILES_WANTED };

	if (getrlimit(RLIMIT_NOFILE, &now) || now.rlim_cur >= FILES_WANTED)
		return 0;
	if (now.rlim_max > FILES_WANTED)
		wanted.rlim_max = now.rlim_max;
	if (!setrlimit(RLIMIT_NOFILE, &wanted))
		return 0;
	now.rlim_cur = now.rlim_max;
	setrlimit(RLIMIT_NOFILE, &now);
	return now.rlim_cur;
}

bool rights__wanted(enum right r)
{
	return r != RIGHT_RESOURCE || (!rights__have(r) && rights__have(RIGHT_BPF) && is_memory_limited());
}

/* ---- what is said of it ------------------------------------------------------------------------------------------ */

static bool in_own_user_namespace(void)
{
	unsigned long first, outside, n = 0;
	FILE *f = fopen("/proc/self/uid_map", "re");
	bool whole = false;

	if (!f)
		return false;
	if (fscanf(f, "%lu %lu %lu", &first, &outside, &n) == 3)
		whole = !first && !outside && n >= UINT32_MAX;
	fclose(f);
	return !whole;
}

static bool is_missing(enum right r)
{
	return !rights__have(r) && rights__wanted(r);
}

/* As `docker run` takes them: those that are missing, if nothing on this side of the container can give them. */
static bool list_beyond_bounds(char *text, size_t len)
{
	bool beyond = false;
	size_t at = 0;

	for (int r = 0; r < RIGHT_NR && at < len; r++) {
		const struct right_facts *f = &right_facts[r];

		if (r == RIGHT_ADMIN || !is_missing(r))
			continue;
		beyond |= prctl(PR_CAPBSET_READ, f->cap, 0, 0, 0) != 1;
		at += (size_t)snprintf(text + at, len - at, " --cap-add %s", f->name + strlen("CAP_"));
	}
	return beyond;
}

void rights__advice(char *text, size_t len)
{
	char exe[160];
	ssize_t n;

	if (list_beyond_bounds(exe, sizeof(exe))) {
		snprintf(text, len,
		         "who started this container or unit must allow them (docker run%s; CapabilityBoundingSet=)",
		         exe);
		return;
	}
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) {
		snprintf(
			text, len,
			"no_new_privs is set here, so who started this process must give them (AmbientCapabilities= of a "
			"unit)");
		return;
	}
	n = readlink("/proc/self/exe", exe, sizeof(exe));
	if (n <= 0)
		n = snprintf(exe, sizeof(exe), "tillwatch");
	snprintf(text, len, "run as root, or once: sudo setcap " LEAST "%s+ep %.*s",
	         is_missing(RIGHT_RESOURCE) ? ",cap_sys_resource" : "", (int)n, exe);
}

/* "CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN" */
static int list_missing(char *text, size_t len)
{
	enum right missing[RIGHT_NR] = { 0 };
	size_t at = 0;
	int n = 0;

	for (int r = 0; r < RIGHT_NR; r++)
		if (right_facts[r].vital && is_missing((enum right)r))
			missing[n++] = (enum right)r;
	text[0] = '\0';
	for (int i = 0; i < n && at < len; i++)
		at += (size_t)snprintf(text + at, len - at, "%s%s",
		                       !i           ? ""
		                       : i == n - 1 ? " and "
		                                    : ", ",
		                       right_facts[missing[i]].name);
	return n;
}

/* The rights are there, and the kernel says no all the same. */
static int refused_nevertheless(struct err *e)
{
	if (in_own_user_namespace())
		return err_set(
			e, EPERM,
			"not permitted to load BPF programs: these capabilities hold in a user namespace of its own "
			"(a rootless container); the kernel wants them in the host's: run tillwatch outside of it");
	return err_set(e, EPERM,
	               "not permitted to load BPF programs although the capabilities are there: a seccomp filter (of a "
	               "container: --security-opt seccomp=unconfined), a security module or lockdown refuses bpf(2)");
}

int rights__require(struct err *e)
{
	char missing[160], advice[320];
	struct utsname u = {};
	int n = list_missing(missing, sizeof(missing));

	if (n) {
		uname(&u);
		rights__advice(advice, sizeof(advice));
		return err_set(e, EPERM, "not permitted to load BPF programs: %s %s missing (kernel %s): %s", missing,
		               n > 1 ? "are" : "is", u.release, advice);
	}
	is_memory_limited();
	return try_map(1) == EPERM ? refused_nevertheless(e) : 0;
}

/* It is nearly everything: nobody is told to give it. */
const char *rights__how(enum right r)
{
	return r == RIGHT_ADMIN ? "; who wants these gives it, too" : "";
}

void rights__warn(void)
{
	bool any = false;
	char advice[320];

	for (int r = 0; r < RIGHT_NR; r++) {
		const struct right_facts *f = &right_facts[r];

		if (!is_missing((enum right)r))
			continue;
		log_warn("%s is missing: %s%s", f->name, rights__without((enum right)r), rights__how((enum right)r));
		any |= r != RIGHT_ADMIN;
	}
	if (!any)
		return;
	rights__advice(advice, sizeof(advice));
	log_warn("to have what is missing: %s", advice);
}

void rights__none_in_this_thread(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[2] = {};

	/* Without a list of its own a thread has what it was started with, which is no more than we have. */
	if (syscall(SYS_capset, &header, none))
		log_debug("a thread keeps its capabilities: %s", strerror(errno));
}
