// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Any bytes as the records of the ring, in a session without a kernel, and as names that clients of TLS ask for. The
 * first byte says what is done with them (enum what), the second how many bytes of names there are. It must hold that
 *  - no record does harm, whatever numbers are in it;
 *  - the document is JSON, in UTF-8, and the lines may reach a terminal;
 *  - what was entered is in the sums: of every endpoint, outcomes come to requests.
 */
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "no_kernel.h"
#include "plain_text.h"
#include "session/internal.h"
#include "show/show.h"
#include "quiet.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum what { TICKS = 1, JSON = 2, LINES = 4, TOP = 8 };

static const char text[] = "service: shop\n"
			   "versions:\n"
			   "  v1: { arm: baseline, match: { listen: 1 } }\n"
			   "  v2: { arm: canary, match: { exe: /v2 } }\n"
			   "endpoints:\n"
			   "  - { route: \"POST /checkout\", critical: true }\n"
			   "  - { route: \"GET /cart/{id}\" }\n"
			   "limits: { endpoints: 6 }\n";
static struct config *config;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct err e = { "" };

	hush(NULL); /* messages of the session */
	if (config__parse(&config, text, sizeof(text) - 1, "shop.yaml", &e))
		fail(e.text);
	return 0;
}

static void look_at_json(char *json)
{
	cJSON *parsed;

	if (!json)
		fail("no document");
	if (!is_utf8(json, strlen(json)))
		fail("a document that is not UTF-8");
	parsed = cJSON_Parse(json);
	if (!parsed)
		fail("a document that is no JSON");
	cJSON_Delete(parsed);
	free(json);
}

static void look_at_lines(const struct comparison *c, bool top)
{
	const struct show_options o = { .mode = SHOW_LINES, .remaining = NAN };
	char *lines = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&lines, &len);

	if (!out)
		abort();
	if (top)
		show_top(out, &c, 1, &o);
	else
		show_comparison(out, c, &o);
	fclose(out);
	if (!is_plain_text(lines, len, true))
		fail("lines that are not for a terminal");
	free(lines);
}

static void look_at_sums(const struct comparison *c)
{
	for (size_t i = 0; i < c->n_endpoints; i++) {
		for (int arm = 0; arm < ARM_NR; arm++) {
			const struct arm_figures *a = &c->endpoints[i].arm[arm];
			uint64_t ended = 0;

			for (int k = 0; k < TW_OUTCOME_NR; k++)
				ended += a->outcome[k];
			if (ended != a->requests || a->bad > a->requests)
				fail("outcomes do not add up");
		}
	}
}

static void show(struct session *s, unsigned int what)
{
	const struct comparison *c = session__compare(s);
	struct comparison *one;

	if (!c)
		fail("nothing to show");
	look_at_sums(c);
	if (what & JSON)
		look_at_json(json_comparison(c));
	if (what & LINES)
		look_at_lines(c, false);
	if (!(what & TOP))
		return;
	one = session__of_version(s, 1);
	if (!one)
		fail("nothing to show of one version");
	look_at_lines(one, true);
	session__comparison_free(one);
}

static void take_names(const uint8_t *data, size_t size)
{
	struct loader *l = &no_kernel;

	memset(l, 0, sizeof(*l));
	while (size && l->n_names < sizeof(l->names) / sizeof(*l->names)) {
		struct tw_tls_name *n = &l->names[l->n_names++];
		size_t len = size < sizeof(n->sni) ? size : sizeof(n->sni);

		n->version = data[0];
		n->negotiated = 0x0300 | (data[0] & 7);
		memcpy(n->sni, data, len); /* all of it: the kernel ends none with a zero that fills its room */
		data += len;
		size -= len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct session_options o = { .config = config, .judge = true, .stage = 0.25 };
	struct err e = { "" };
	struct session *s;
	size_t names;
	sigset_t none;

	if (size < 2)
		return 0;
	names = data[1] < size - 2 ? data[1] : size - 2;
	take_names(data + 2, names);
	no_kernel.at = data + 2 + names;
	no_kernel.left = size - 2 - names;
	s = session__new(&o, &e);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (!s)
		fail(e.text);
	session__until(s, 0);
	if (session__run(s, 1))
		fail("out of memory");
	for (int i = 0; data[0] & TICKS && i < 2; i++)
		if (tick_close(s, s->tick_start + 5))
			fail("no tick");
	show(s, data[0]);
	session__free(s);
	return 0;
}
