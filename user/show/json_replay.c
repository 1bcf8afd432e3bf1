// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The document of a replay, in pieces: cJSON would hold all ticks at once. */
#include <stdlib.h>
#include <string.h>

#include "show/json_put.h"
#include "show/replay.h"
#include "show/show.h"

/* Takes root over. */
static char *finish(const struct document *d, cJSON *root)
{
	char *text = d->failed || !root ? NULL : cJSON_PrintUnformatted(root);

	cJSON_Delete(root);
	return text;
}

static void put_policy(struct document *d, cJSON *root, const struct gate_policy *p)
{
	cJSON *o = put_object(d, root, "policy");

	for (size_t i = 0; i < POLICY_FIELDS; i++) {
		struct policy_field f = gate_policy__field(i);
		double value = gate_policy__get(p, i);

		if (f.words)
			put_string(d, o, f.name, f.words[(int)value]);
		else
			put_number(d, o, f.name, value);
	}
}

/* {"a":1} and {"b":2} are pieces of {"a":1,"ticks":[ ... ],"b":2}. Takes text over. */
static char *opened(char *text)
{
	static const char list[] = ",\"ticks\":[";
	size_t len = text ? strlen(text) : 0;
	char *grown = text ? realloc(text, len + sizeof(list)) : NULL;

	if (!grown) {
		free(text);
		return NULL;
	}
	memcpy(grown + len - 1, list, sizeof(list));
	return grown;
}

static char *closing(char *text)
{
	size_t len = text ? strlen(text) : 0;
	char *grown = text ? realloc(text, len + 2) : NULL;

	if (!grown) {
		free(text);
		return NULL;
	}
	memmove(grown + 2, grown + 1, len);
	memcpy(grown, "],", 2);
	return grown;
}

char *json_replay_head(const struct replay_head *h)
{
	struct document d = { 0 };
	cJSON *root = cJSON_CreateObject(), *o;

	put_string(&d, root, "schema", "tillwatch.replay/1");
	put_string(&d, root, "service", h->log->service);
	put_string(&d, root, "run", h->log->run);
	put_string(&d, root, "started", h->log->started);
	put_string(&d, root, "watched_by", h->log->tillwatch);
	o = put_object(&d, root, "versions");
	put_string(&d, o, "baseline", h->log->version[ARM_BASELINE]);
	put_string(&d, o, "canary", h->log->version[ARM_CANARY]);
	put_string(&d, root, "config", h->config);
	put_policy(&d, root, h->policy);
	return opened(finish(&d, root));
}

char *json_replay_tick(const struct replay_tick *t)
{
	struct document d = { 0 };
	cJSON *root = cJSON_CreateObject();
	char *verdict = json_verdict(t->now);

	put_count(&d, root, "tick", t->log->number);
	put_number(&d, root, "start", t->log->told.start);
	put_number(&d, root, "end", t->log->told.end);
	put_string(&d, root, "watched", t->log->verdict.given ? verdict_names[t->log->verdict.kind] : NULL);
	put_bool(&d, root, "differs", replay_differs(t) || replay_inexact(t));
	if (verdict)
		put_item(&d, root, "verdict", cJSON_CreateRaw(verdict));
	else
		d.failed = true;
	free(verdict);
	return finish(&d, root);
}

char *json_replay_sum(const struct replay_sum *s)
{
	struct document d = { 0 };
	cJSON *root = cJSON_CreateObject();

	put_bool(&d, root, "complete", s->whole);
	put_string(&d, root, "error", s->error);
	put_count(&d, root, "other_verdicts", s->other);
	put_count(&d, root, "other_figures", s->inexact);
	put_string(&d, root, "verdict", s->last ? verdict_names[s->last->kind] : NULL);
	return closing(finish(&d, root));
}
