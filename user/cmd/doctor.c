// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `doctor`: what this kernel, these privileges and the named processes allow; what to do about the rest. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <cjson/cJSON.h>

#include "capture/features.h"
#include "capture/identity.h"
#include "capture/loader.h"
#include "cmd/cmd.h"
#include "cmd/doctor.h"
#include "cmd/doctor_library.h"
#include "cmd/doctor_rights.h"
#include "config/config.h"

struct finding {
	const char *name;
	bool ok, vital;
	char text[512];
};

#define MAX_FINDINGS 96

struct findings {
	struct finding f[MAX_FINDINGS];
	size_t n;
};

static struct finding *add(struct findings *x, const char *name, bool ok, bool vital, const char *text)
{
	struct finding *f = &x->f[x->n < MAX_FINDINGS - 1 ? x->n++ : x->n];

	f->name = name;
	f->ok = ok;
	f->vital = vital;
	snprintf(f->text, sizeof(f->text), "%s", text);
	return f;
}

static void check_kernel(struct findings *x)
{
	const struct feature_state *s;
	struct loader_options o = {
		.seed = 1, .endpoint_other = 1, .slots = 8, .have_clients = true, .watch_process = true, .tls = true
	};
	char text[512], programs[256], path[256];
	struct err e = { "" };
	struct loader *l;

	features__required(&e);
	add(x, "privileges and BTF", !e.text[0], true,
	    e.text[0] ? e.text : "can load programs; kernel types are there");
	e.text[0] = '\0';
	if (!cgroup2__mount(path, sizeof(path), &e))
		snprintf(text, sizeof(text), "mounted at %s", path);
	add(x, "cgroup2", !e.text[0], true, e.text[0] ? e.text : text);
	if (!x->f[0].ok)
		return;
	e.text[0] = '\0';
	/* First the programs themselves: they can be refused where their trials passed. */
	l = loader__new(&o, &e);
	if (l)
		loader__describe(l, programs, sizeof(programs));
	s = features__try();
	for (int i = 0; i < FEATURE_NR; i++) {
		if (s[i].ok)
			snprintf(text, sizeof(text), "%s", s[i].gives);
		else
			snprintf(text, sizeof(text), "refused (%s): %s", strerror(s[i].error), s[i].without);
		add(x, s[i].hook, s[i].ok, i == FEATURE_PACKETS, text);
	}
	add(x, "programs", l != NULL, true, l ? programs : e.text);
	loader__free(l);
}

static void check_listeners(struct findings *x)
{
	struct listener *l = NULL;
	struct err e = { "" };
	char text[256];
	size_t n = 0;

	if (listeners__list(&l, &n, &e)) {
		add(x, "listeners", false, false, e.text);
		return;
	}
	snprintf(text, sizeof(text), "%zu listening TCP sockets%s", n,
	         n ? "; `tillwatch top` shows their HTTP traffic" : ": nothing to watch yet");
	add(x, "listeners", true, false, text);
	free(l);
}

/* Returns what is known of the TLS of what was found, or NULL. */
static struct tls_targets *check_config(struct findings *x, const struct config *c)
{
	struct tls_targets *tls;
	struct id_snapshot *s = NULL;
	struct err e = { "" };

	if (identity__resolve(c, &s, &e)) {
		add(x, "versions", false, false, e.text);
		return NULL;
	}
	for (size_t i = 0; i < s->n_versions; i++)
		add(x, c->versions[i].name, s->versions[i].state == ID_FOUND, false, s->versions[i].note);
	tls = doctor_tls(s);
	if (!tls)
		add(x, "TLS", false, false, "out of memory");
	id_snapshot__free(s);
	return tls;
}

static void print_people(const struct findings *x, const char *release)
{
	printf("kernel %s\n", release);
	doctor_rights_print();
	for (size_t i = 0; i < x->n; i++)
		printf("  %-4s %-30s %s\n",
		       x->f[i].ok      ? "ok"
		       : x->f[i].vital ? "NO"
		                       : "--",
		       x->f[i].name, x->f[i].text);
}

/* tls: taken over; NULL without a configuration. */
static int print_json(const struct findings *x, const char *release, bool ok, cJSON *tls)
{
	cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "findings");
	bool complete = root && list && doctor_rights_json(root) &&
	                cJSON_AddStringToObject(root, "schema", "tillwatch.doctor/1") &&
	                cJSON_AddStringToObject(root, "kernel", release) && cJSON_AddBoolToObject(root, "ok", ok);
	char *text = NULL;

	for (size_t i = 0; complete && i < x->n; i++) {
		cJSON *o = cJSON_CreateObject();

		complete = o && cJSON_AddItemToArray(list, o) && cJSON_AddStringToObject(o, "name", x->f[i].name) &&
		           cJSON_AddBoolToObject(o, "ok", x->f[i].ok) &&
		           cJSON_AddBoolToObject(o, "vital", x->f[i].vital) &&
		           cJSON_AddStringToObject(o, "text", x->f[i].text);
	}
	if (tls)
		cJSON_AddItemToObject(root, "tls", tls);
	if (complete)
		text = cJSON_Print(root);
	if (text)
		puts(text);
	else
		log_error("out of memory");
	cJSON_free(text);
	cJSON_Delete(root);
	return text ? 0 : -ENOMEM;
}

static int doctor(int argc, char **argv)
{
	static struct findings x;
	const char *file = NULL, *library = NULL;
	bool json = false, ok = true;
	const struct option_spec options[] = {
		{ "--config", 'c', OPTION_TEXT, "FILE", "also say what of this configuration is found", &file, false },
		{ "--json", 0, OPTION_FLAG, NULL, "one JSON document", &json, false },
		{ "--library", 0, OPTION_TEXT, "FILE",
		  "only say which TLS library is in this file, and where its calls are seen", &library, false },
	};
	struct tls_targets *tls = NULL;
	struct config *c = NULL;
	struct err e = { "" };
	struct utsname u = { 0 };
	int code;

	if (options_parse(&cmd_doctor, options, 3, argc, argv, &code))
		return code;
	if (library)
		return doctor_library(library);
	if (file && config__load(&c, file, &e)) {
		log_error("%s", e.text);
		return TW_EXIT_USAGE;
	}
	uname(&u);
	check_kernel(&x);
	check_listeners(&x);
	if (c)
		tls = check_config(&x, c);
	for (size_t i = 0; i < x.n; i++)
		ok = ok && (x.f[i].ok || !x.f[i].vital);
	code = ok ? TW_EXIT_OK : TW_EXIT_FAILURE;
	if (json && print_json(&x, u.release, ok, tls ? doctor_tls_json(tls, c) : NULL))
		code = TW_EXIT_FAILURE;
	if (!json)
		print_people(&x, u.release);
	if (!json && tls)
		doctor_tls_print(tls, c);
	tls_targets__free(tls);
	config__free(c);
	return code;
}

const struct command cmd_doctor = { "doctor",
	                            "Says what this kernel and these privileges allow, and what to do about the rest",
	                            "[-c FILE] [--json] | --library FILE",
	                            "Exit code 0: everything vital is there; 1: something vital is missing.", doctor };
