// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Any bytes as a configuration. It must hold that
 *  - what is refused is refused with a message that begins with the file's name and may reach a terminal;
 *  - of what is taken, every figure is a number within the bounds that its field has, stages rise, names are there, and
 *    each endpoint has the number and the name that the file gives it.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "model/routes.h"
#include "plain_text.h"

#define NAME "f.yaml"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void look_at_refusal(const struct err *e)
{
	if (strncmp(e->text, NAME ":", sizeof(NAME)) || strlen(e->text) < sizeof(NAME) + 5)
		fail("refused without a reason");
	if (!is_plain_text(e->text, strlen(e->text), false)) {
		fputs(e->text, stderr);
		fail(": is no text for a terminal");
	}
}

static void look_at_policy(const struct gate_policy *p)
{
	for (size_t i = 0; i < POLICY_FIELDS; i++) {
		const struct policy_field f = gate_policy__field(i);
		double value = gate_policy__get(p, i);

		if (isnan(value) ? !f.may_be_absent : !(value >= f.min && value <= f.max))
			fail(f.name);
	}
}

static void look_at_version(const struct version *v)
{
	if (!v->name || !*v->name || (unsigned int)v->arm >= ARM_NR)
		fail("a version without a name or an arm");
	if (v->match.has_listen != !!v->match.listen.port || v->match.has_upstream != !!v->match.upstream.port)
		fail("an address without a port");
	if (v->match.exe && v->match.exe[0] != '/')
		fail("a program that is not looked for from the root");
}

static void look_at_endpoint(const struct config *c, const struct routes *names, size_t i)
{
	const struct route *r = &c->routes[i];
	struct endpoint_policy p;

	config__policy(c, r, &p);
	if (!isfinite(p.margins.max_error_ratio) || !isfinite(p.margins.max_latency_increase) ||
	    !(p.margins.max_error_ratio >= 1) || !(p.margins.max_latency_increase > 0))
		fail("an endpoint without a margin");
	if (!(r->weight >= 0 && r->weight <= 1) || !isfinite(r->value.amount) || !isfinite(r->slo.p95))
		fail("a figure that is none");
	if (routes__config(names, (uint16_t)(i + 1)) != r ||
	    strcmp(routes__endpoint(names, (uint16_t)(i + 1)), r->name))
		fail("an endpoint has another name");
}

static void look_at_config(const struct config *c)
{
	struct routes *names = routes__new(c, c->max_endpoints);
	double before = 0;

	if (!names)
		fail("out of memory");
	if (!c->service || !c->n_versions || c->n_versions >= TW_MAX_VERSIONS || c->n_routes >= TW_MAX_ENDPOINTS)
		fail("too little, or too much");
	if (routes__count(names) != c->n_routes || c->max_endpoints >= TW_MAX_ENDPOINTS)
		fail("endpoints have gone astray");
	look_at_policy(&c->gate);
	if (!(c->overhead.budget > 0))
		fail("a budget that is none");
	for (size_t i = 0; i < c->n_versions; i++)
		look_at_version(&c->versions[i]);
	for (size_t i = 0; i < c->n_routes; i++)
		look_at_endpoint(c, names, i);
	for (size_t i = 0; i < c->n_stages; i++) {
		if (!(c->stages[i] > before && c->stages[i] <= 1))
			fail("stages that do not rise");
		before = c->stages[i];
	}
	routes__free(names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy of its own: one byte read beyond it is noticed. */
	char *copy = malloc(size ? size : 1);
	struct err e = { "" };
	struct config *c;

	if (!copy)
		abort();
	memcpy(copy, data, size);
	if (config__parse(&c, copy, size, NAME, &e)) {
		look_at_refusal(&e);
	} else {
		look_at_config(c);
		config__decides(c, &e);
	}
	free(copy);
	config__free(c);
	return 0;
}
