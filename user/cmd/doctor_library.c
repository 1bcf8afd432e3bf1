// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `doctor --library FILE`: which TLS library is in a file, and where its calls would be watched. */
#include "cmd/doctor_library.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "tls/library.h"

static const char *const job_names[TLS_JOB_NR] = {
	[TLS_READ_IN] = "read in",
	[TLS_READ_OUT] = "read out",
	[TLS_READ_EX_IN] = "read_ex in",
	[TLS_READ_EX_OUT] = "read_ex out",
	[TLS_WRITE_IN] = "write in",
	[TLS_WRITE_OUT] = "write out",
	[TLS_WRITE_EX_IN] = "write_ex in",
	[TLS_WRITE_EX_OUT] = "write_ex out",
	[TLS_SENDFILE_IN] = "sendfile in",
	[TLS_SENDFILE_OUT] = "sendfile out",
	[TLS_HANDSHAKE_IN] = "handshake in",
	[TLS_HANDSHAKE_OUT] = "handshake out",
	[TLS_FREE_IN] = "free in",
	[TLS_READ_AT] = "read",
	[TLS_GO_READ_IN] = "read in",
	[TLS_GO_READ_OUT] = "read out",
	[TLS_GO_WRITE_IN] = "write in",
	[TLS_GO_WRITE_OUT] = "write out",
	[TLS_GO_HANDSHAKE_IN] = "handshake in",
	[TLS_GO_HANDSHAKE_OUT] = "handshake out",
};

static const char *const how_names[] = {
	[TLS_EMULATED] = "emulated", [TLS_STEPPED] = "stepped", [TLS_URETPROBE] = "uretprobe"
};

static void print_site(const struct tls_site *s, const struct tls_where *w)
{
	char place[40];

	if (s->job == TLS_READ_AT)
		snprintf(place, sizeof(place), "inside: %s", w->insn);
	else
		snprintf(place, sizeof(place), "+%#llx %s", (unsigned long long)w->distance, w->insn);
	printf("  %-26s %-14s %#10llx  %-20s %-10s %s\n", s->name, job_names[s->job], (unsigned long long)s->offset,
	       place, how_names[s->how], w->why ? w->why : "");
}

static bool is_listed(const struct tls_library *lib, const struct tls_site *s)
{
	for (size_t i = 0; i < lib->n_inside; i++)
		if (lib->inside[i].offset == s->offset && lib->inside[i].job == s->job)
			return true;
	return false;
}

static void print(const char *file, const struct tls_library *lib)
{
	printf("%s\n", file);
	printf("  kind      %s\n", tls_kind__name(lib->kind));
	printf("  version   %s\n", lib->version[0] ? lib->version : "not known");
	printf("  build id  %s\n", lib->build_id[0] ? lib->build_id : "none");
	if (lib->note[0])
		printf("  note      %s\n", lib->note);
	if (lib->outside)
		printf("  reading   is watched at its functions, not inside: %s\n", lib->outside);
	if (lib->n_sites)
		printf("\n  %-26s %-14s %10s  %-20s %-10s %s\n", "function", "job", "offset", "place", "how", "why");
	for (size_t i = 0; i < lib->n_inside; i++)
		print_site(&lib->inside[i], &lib->inside_where[i]);
	if (lib->n_inside)
		printf("\n  instead of reading inside, before Linux 5.15:\n");
	for (size_t i = 0; i < lib->n_sites; i++)
		if (!is_listed(lib, &lib->sites[i]))
			print_site(&lib->sites[i], &lib->where[i]);
}

int doctor_library(const char *file)
{
	struct tls_library *lib;
	struct err e = { "" };
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err;

	if (fd < 0) {
		err = errno;
		log_error("%s: %s", file, strerror(err));
		return TW_EXIT_FAILURE;
	}
	err = tls_library__read(fd, file, &lib, &e);
	close(fd);
	if (err) {
		log_error("%s", e.text);
		return TW_EXIT_FAILURE;
	}
	print(file, lib);
	tls_library__free(lib);
	return TW_EXIT_OK;
}
