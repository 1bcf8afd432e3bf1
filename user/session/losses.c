// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is known of a version as a whole: its losses that never reached an endpoint. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/internal.h"

void losses_keep(struct session *s, double now)
{
	if (!s->losses || now < s->sample_at)
		return;
	losses__sample(s->losses);
	s->sample_at = now + SAMPLE_EVERY;
}

void versions_free(struct comparison *c)
{
	for (size_t i = 0; i < c->n_versions; i++)
		free(c->versions[i].losses.listeners);
	free(c->versions);
	c->versions = NULL;
	c->n_versions = 0;
}

int versions_fill(struct session *s, struct comparison *c)
{
	size_t n = s->config->n_versions;
	int err = 0;

	versions_free(c);
	c->versions = calloc(n + 1, sizeof(*c->versions));
	if (!c->versions)
		return -ENOMEM;
	c->n_versions = n;
	if (s->losses)
		err = losses__read(s->losses);
	for (size_t i = 0; i < n && !err; i++) {
		struct version_figures *v = &c->versions[i];

		v->name = s->config->versions[i].name;
		v->arm = s->config->versions[i].arm;
		version_ledger_fill(s, v, (unsigned int)i + 1);
		tls_version_fill(s, &v->tls, (unsigned int)i + 1);
		if (!s->losses)
			continue;
		err = losses__of(s->losses, (unsigned int)i + 1, &v->losses);
		v->losses.upgraded_begun = s->now[i + 1].c[TW_L_UPGRADED];
		streams_version_fill(s, &v->losses, i + 1);
		v->has_losses = !err;
	}
	return err;
}
