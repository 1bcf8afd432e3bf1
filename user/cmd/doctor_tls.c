// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Of `doctor`: which TLS library each watched process has, how its calls would be watched, and what would be missed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/tame.h"
#include "capture/features.h"
#include "cmd/doctor.h"

static const char *const how_names[] = {
	[TLS_EMULATED] = "emulated",
	[TLS_STEPPED] = "stepped",
	[TLS_URETPROBE] = "return address replaced",
};

/* Which part of a call the kernel sees there. */
static const char *part_of(const struct tls_site *site)
{
	switch (site->job) {
	case TLS_READ_OUT:
	case TLS_READ_EX_OUT:
	case TLS_WRITE_OUT:
	case TLS_WRITE_EX_OUT:
	case TLS_SENDFILE_OUT:
	case TLS_HANDSHAKE_OUT:
	case TLS_GO_READ_OUT:
	case TLS_GO_WRITE_OUT:
	case TLS_GO_HANDSHAKE_OUT:
		return "result";
	case TLS_READ_AT:
		return "both";
	default:
		return "call";
	}
}

/* The places that would be watched on this kernel. */
struct places {
	const struct tls_site *sites;
	const struct tls_where *where;
	size_t n;
};

static struct places places_of(const struct tls_library *lib)
{
	struct places p = { 0 };

	p.sites = tls_library__sites(lib, features__uprobes_told(), &p.n);
	p.where = p.sites == lib->sites ? lib->where : lib->inside_where;
	return p;
}

static const char *version_name(const struct config *c, uint16_t version)
{
	return version && version <= c->n_versions ? c->versions[version - 1].name : "several";
}

struct tls_targets *doctor_tls(const struct id_snapshot *s)
{
	struct tls_targets *t = tls_targets__new(NULL);

	if (t && tls_targets__update(t, s->processes, s->n_processes)) {
		tls_targets__free(t);
		return NULL;
	}
	if (t)
		tls_targets__work(t, INFINITY);
	return t;
}

/* ---- people ------------------------------------------------------------------------------------------------------ */

static void print_place(const struct tls_site *site, const struct tls_where *w)
{
	printf("      %-24s %-6s  %s", site->name, part_of(site), how_names[site->how]);
	if (w->insn[0] && site->job == TLS_READ_AT)
		printf(", %s of a function that it calls", w->insn);
	else if (w->insn[0])
		printf(", %s at +%llu", w->insn, (unsigned long long)w->distance);
	if (w->why)
		printf(" (%s)", w->why);
	printf("\n");
}

static void print_library(const struct tls_library *lib)
{
	const struct places p = places_of(lib);

	for (size_t i = 0; i < p.n; i++)
		print_place(&p.sites[i], &p.where[i]);
	if (lib->note[0])
		printf("      missed: %s\n", lib->note);
}

/* Has this file been told of, with an earlier use? */
static bool told(const struct tls_targets *t, size_t target, size_t use)
{
	const struct tls_file *file = tls_targets__at(t, target)->uses[use].file;

	for (size_t i = 0; i <= target; i++) {
		const struct tls_target *at = tls_targets__at(t, i);

		for (size_t k = 0; k < (i == target ? use : at->n_uses); k++)
			if (at->uses[k].file == file)
				return true;
	}
	return false;
}

static void print_use(const struct tls_targets *t, size_t target, size_t use)
{
	const struct tls_use *u = &tls_targets__at(t, target)->uses[use];
	const struct tls_library *lib = u->file->library;
	const char *deleted = u->where.deleted ? " (deleted: the file has been replaced since)" : "";

	if (!lib) {
		printf("    %s%s: cannot be read: %s\n", tamed(u->where.path).s, deleted, u->file->error);
		return;
	}
	if (!lib->n_sites) {
		printf("    %s%s: %s\n", tamed(u->where.path).s, deleted, lib->note);
		return;
	}
	printf("    %s in %s%s%s\n", lib->version[0] ? lib->version : tls_kind__name(lib->kind), tamed(u->where.path).s,
	       deleted, told(t, target, use) ? ": as above" : "");
	if (!told(t, target, use))
		print_library(lib);
}

void doctor_tls_print(const struct tls_targets *t, const struct config *c)
{
	if (!tls_targets__count(t))
		return;
	printf("TLS of the watched processes\n");
	for (size_t i = 0; i < tls_targets__count(t); i++) {
		const struct tls_target *at = tls_targets__at(t, i);

		printf("  %s, process %d (%s)%s\n", version_name(c, at->version), (int)at->tgid, at->comm,
		       at->n_uses || at->note[0] ? "" : ": no TLS library; what TLS it speaks is opaque");
		for (size_t k = 0; k < at->n_uses; k++)
			print_use(t, i, k);
		if (at->note[0])
			printf("    %s\n", at->note);
	}
}

/* ---- machines ---------------------------------------------------------------------------------------------------- */

static bool add_text(cJSON *o, const char *name, const char *text)
{
	return text && *text ? cJSON_AddStringToObject(o, name, tamed(text).s) != NULL
	                     : cJSON_AddNullToObject(o, name) != NULL;
}

static bool add_place(cJSON *list, const struct tls_site *site, const struct tls_where *w)
{
	cJSON *o = cJSON_CreateObject();

	if (!o || !cJSON_AddItemToArray(list, o)) {
		cJSON_Delete(o);
		return false;
	}
	/* Inside there is no first byte of a function to count from. */
	if (!(site->job == TLS_READ_AT ? cJSON_AddNullToObject(o, "distance")
	                               : cJSON_AddNumberToObject(o, "distance", (double)w->distance)))
		return false;
	return add_text(o, "function", site->name) && add_text(o, "part", part_of(site)) &&
	       add_text(o, "placement", how_names[site->how]) && add_text(o, "instruction", w->insn) &&
	       add_text(o, "why", w->why);
}

static bool add_use(cJSON *list, const struct tls_use *u)
{
	const struct tls_library *lib = u->file->library;
	const struct places p = lib ? places_of(lib) : (struct places){ 0 };
	cJSON *o = cJSON_CreateObject(), *places;
	bool complete;

	if (!o || !cJSON_AddItemToArray(list, o)) {
		cJSON_Delete(o);
		return false;
	}
	complete = add_text(o, "path", u->where.path) && cJSON_AddBoolToObject(o, "deleted", u->where.deleted) &&
	           add_text(o, "library", lib && lib->n_sites ? tls_kind__name(lib->kind) : NULL) &&
	           add_text(o, "version", lib ? lib->version : NULL) &&
	           add_text(o, "build_id", lib ? lib->build_id : NULL) &&
	           add_text(o, "missed", lib ? lib->note : NULL) && add_text(o, "error", u->file->error);
	places = complete ? cJSON_AddArrayToObject(o, "places") : NULL;
	for (size_t i = 0; places && complete && i < p.n; i++)
		complete = add_place(places, &p.sites[i], &p.where[i]);
	return complete && places;
}

static bool add_target(cJSON *list, const struct tls_target *at, const struct config *c)
{
	cJSON *o = cJSON_CreateObject(), *uses;
	bool complete;

	if (!o || !cJSON_AddItemToArray(list, o)) {
		cJSON_Delete(o);
		return false;
	}
	complete = cJSON_AddNumberToObject(o, "pid", at->tgid) && add_text(o, "comm", at->comm) &&
	           add_text(o, "version", at->version ? version_name(c, at->version) : NULL) &&
	           add_text(o, "note", at->note);
	uses = complete ? cJSON_AddArrayToObject(o, "libraries") : NULL;
	for (size_t i = 0; uses && complete && i < at->n_uses; i++)
		complete = add_use(uses, &at->uses[i]);
	return complete && uses;
}

cJSON *doctor_tls_json(const struct tls_targets *t, const struct config *c)
{
	cJSON *list = cJSON_CreateArray();
	bool complete = list;

	for (size_t i = 0; complete && i < tls_targets__count(t); i++)
		complete = add_target(list, tls_targets__at(t, i), c);
	if (complete)
		return list;
	cJSON_Delete(list);
	return NULL;
}
