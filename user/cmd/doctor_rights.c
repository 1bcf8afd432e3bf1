// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cmd/doctor_rights.h"

#include <stdio.h>

#include "rights/rights.h"

static bool is_missing(enum right r)
{
	return !rights__have(r) && rights__wanted(r);
}

void doctor_rights_print(void)
{
	char advice[320];
	bool any = false;

	printf("rights\n");
	for (int r = 0; r < RIGHT_NR; r++) {
		const struct right_facts *f = &right_facts[r];
		bool missing = is_missing(r);

		if (!missing && !rights__have(r)) {
			printf("  --   %-30s not needed on this kernel\n", f->name);
			continue;
		}
		any |= missing && r != RIGHT_ADMIN;
		printf("  %-4s %-30s %s%s%s\n",
		       !missing   ? "ok"
		       : f->vital ? "NO"
		                  : "--",
		       f->name, missing ? "missing: " : "", missing ? rights__without((enum right)r) : f->gives,
		       missing ? rights__how((enum right)r) : "");
	}
	rights__advice(advice, sizeof(advice));
	if (any)
		printf("  to have what is missing: %s\n", advice);
	printf("what they allow\n");
}

bool doctor_rights_json(cJSON *root)
{
	cJSON *list = cJSON_AddArrayToObject(root, "rights");
	bool complete = list;

	for (int r = 0; complete && r < RIGHT_NR; r++) {
		const struct right_facts *f = &right_facts[r];
		cJSON *o = cJSON_CreateObject();

		complete = o && cJSON_AddItemToArray(list, o) && cJSON_AddStringToObject(o, "name", f->name) &&
		           cJSON_AddBoolToObject(o, "held", rights__have(r)) &&
		           cJSON_AddBoolToObject(o, "missing", is_missing(r)) &&
		           cJSON_AddBoolToObject(o, "vital", f->vital) && cJSON_AddStringToObject(o, "for", f->gives) &&
		           cJSON_AddStringToObject(o, "without", rights__without((enum right)r));
	}
	return complete;
}
