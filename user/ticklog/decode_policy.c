// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The policy of a header, and what makes an exchange bad. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "ticklog/decoder.h"
#include "tw_rule.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* [[first, last], ...], rising */
static int read_statuses(struct reading *r, const struct field *f, const cJSON *v)
{
	struct tw_rule *rule = f->to;
	unsigned int next = 0;
	const cJSON *pair;

	if (!cJSON_IsArray(v))
		return field_error(r, f->key, "is not a list");
	cJSON_ArrayForEach (pair, v) {
		const cJSON *first = cJSON_IsArray(pair) ? pair->child : NULL, *last = first ? first->next : NULL;

		if (!last || last->next || !cJSON_IsNumber(first) || !cJSON_IsNumber(last) ||
		    !(first->valuedouble >= next) || !(last->valuedouble >= first->valuedouble) ||
		    !(last->valuedouble < TW_RULE_STATUSES))
			return field_error(r, f->key, "is not a list of [first, last], rising and below %d",
			                   TW_RULE_STATUSES);
		for (next = (unsigned int)first->valuedouble; next <= last->valuedouble; next++)
			rule->statuses[next >> 6] |= 1ULL << (next & 63);
	}
	return 0;
}

static int read_outcomes(struct reading *r, const struct field *f, const cJSON *v)
{
	struct tw_rule *rule = f->to;
	const cJSON *word;

	if (!cJSON_IsArray(v))
		return field_error(r, f->key, "is not a list");
	cJSON_ArrayForEach (word, v) {
		int outcome = field_word(r, f, word, outcome_names, TW_OUTCOME_NR);

		if (outcome < 0)
			return outcome;
		rule->outcomes |= 1U << outcome;
	}
	return 0;
}

/* [status, ...], rising, at least one */
static int read_grpc(struct reading *r, const struct field *f, const cJSON *v)
{
	uint32_t *grpc = f->to;
	double next = 0;
	const cJSON *n;

	cJSON_ArrayForEach (n, v) {
		if (!cJSON_IsNumber(n) || !(n->valuedouble >= next) || !(n->valuedouble < TW_GRPC_NR) ||
		    n->valuedouble != (int)n->valuedouble)
			break;
		*grpc |= 1U << (int)n->valuedouble;
		next = n->valuedouble + 1;
	}
	if (!cJSON_IsArray(v) || n || !*grpc)
		return field_error(r, f->key, "is not a list of statuses, rising and below %d", TW_GRPC_NR);
	return 0;
}

static int read_slower_than(struct reading *r, const struct field *f, const cJSON *v)
{
	uint64_t *ns = f->to;

	*ns = TW_NEVER_SLOW;
	return cJSON_IsNull(v) ? 0 : field_count(r, f, v);
}

int field_rule(struct reading *r, const struct field *f, const cJSON *v)
{
	struct tw_rule *rule = f->to;
	uint64_t slower_than = 0;
	const struct field fields[] = {
		{ "statuses", read_statuses, rule, false },
		{ "outcomes", read_outcomes, rule, false },
		{ "slower_than", read_slower_than, &slower_than, false },
		{ "grpc", read_grpc, &rule->grpc, true },
	};
	int err;

	memset(rule, 0, sizeof(*rule));
	err = fields_read(r, f->key, v, fields, COUNT(fields));
	rule->slower_than = slower_than;
	return err;
}

/* A field of the policy as a number, see gate_policy__get. */
static int read_value(struct reading *r, const struct field *f, const cJSON *v)
{
	struct policy_field of = { 0 };
	double *value = f->to;

	for (size_t i = 0; i < POLICY_FIELDS; i++) {
		of = gate_policy__field(i);
		if (!strcmp(of.name, f->key))
			break;
	}
	if (cJSON_IsNull(v) && of.may_be_absent) {
		*value = NAN;
		return 0;
	}
	if (of.words) {
		int word = field_word(r, f, v, of.words, (size_t)of.n_words);

		*value = word;
		return word < 0 ? word : 0;
	}
	return field_number(r, f, v);
}

int field_policy(struct reading *r, const struct field *f, const cJSON *v)
{
	struct gate_policy *p = f->to;
	struct field fields[POLICY_FIELDS + 1];
	double values[POLICY_FIELDS];
	int err;

	for (size_t i = 0; i < POLICY_FIELDS; i++)
		fields[i] = (struct field){ gate_policy__field(i).name, read_value, &values[i], false };
	fields[POLICY_FIELDS] = (struct field){ "bad", field_rule, &p->bad.rule, false };
	err = fields_read(r, "policy", v, fields, COUNT(fields));
	if (err)
		return err;
	p->bad.has_statuses = p->bad.has_grpc = p->bad.has_outcomes = p->bad.has_slower_than = true;
	for (size_t i = 0; i < POLICY_FIELDS; i++) {
		struct policy_field of = gate_policy__field(i);

		/* What no configuration can ask for was not in force. */
		if (gate_policy__set(p, i, values[i]))
			return field_error(r, f->key, "has a %s that is not within %g and %g", of.name, of.min, of.max);
	}
	return 0;
}
