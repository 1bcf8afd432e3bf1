// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What watching costs, for machines. */
#include <cjson/cJSON.h>
#include <math.h>

#include "show/figures.h"
#include "show/json_put.h"
#include "show/show.h"

static void put_programs(struct document *d, cJSON *kernel, const struct cost_figures *c)
{
	cJSON *list = put_list(d, kernel, "programs"), *o;
	bool measured = cost_measured(&c->kernel);

	for (size_t i = 0; i < c->n_programs && !d->failed; i++) {
		const struct cost_program *p = &c->programs[i];

		o = put_object(d, list, NULL);
		put_string(d, o, "program", p->name);
		put_string(d, o, "hook", p->hook);
		put_count_if(d, o, "id", p->id, p->id);
		put_bool(d, o, "tail_called", p->called);
		put_bool(d, o, "on_agent_time", p->ours);
		put_count_if(d, o, "runs", measured && !p->called, p->runs);
		put_count_if(d, o, "ns", measured && !p->called, p->ns);
		put_count_if(d, o, "memory_bytes", p->bytes, p->bytes);
	}
}

static void put_kernel(struct document *d, cJSON *cost, const struct cost_figures *c)
{
	const struct cost_kernel *k = &c->kernel;
	cJSON *o = put_object(d, cost, "kernel"), *sampled;

	put_number(d, o, "ns_per_exchange", cost_net(k));
	put_number(d, o, "gross_ns_per_exchange", cost_gross(k));
	put_string(d, o, "why_not", k->why_not);
	put_number(d, o, "cores", cost_cores(k));
	put_number(d, o, "statistics_ns_per_run", k->per_run);
	put_number(d, o, "statistics_added_ns_per_run", k->added);
	sampled = put_object(d, o, "sampled");
	put_count(d, sampled, "windows", k->windows);
	put_number(d, sampled, "seconds", k->seconds);
	put_count(d, sampled, "exchanges", k->ended);
	put_count(d, sampled, "of_exchanges", c->ended);
	put_count_if(d, o, "runs", cost_measured(k), k->runs);
	put_count_if(d, o, "ns", cost_measured(k), k->ns);
	put_count_if(d, o, "map_bytes", c->map_bytes, c->map_bytes);
	put_count_if(d, o, "program_bytes", c->program_bytes, c->program_bytes);
	put_programs(d, o, c);
}

static void put_budget(struct document *d, cJSON *cost, const struct cost_figures *c)
{
	cJSON *o = put_object(d, cost, "budget");

	put_number(d, o, "cores_per_10000_per_second", c->limits.budget);
	put_number(d, o, "floor_cores", c->limits.floor);
	put_number(d, o, "rate", c->look.rate);
	put_number(d, o, "used_cores", c->budget.used);
	put_number(d, o, "used_kernel_cores", c->look.kernel);
	put_number(d, o, "used_agent_cores", c->look.agent);
	put_number(d, o, "allowed_cores", c->budget.allowed);
}

/* null where nothing could be told: no look yet, or no budget to be over. */
static void put_state(struct document *d, cJSON *cost, const struct cost_figures *c)
{
	if (isfinite(c->limits.budget) && isfinite(c->budget.used))
		put_bool(d, cost, "over_budget", c->budget.over);
	else
		put_null(d, cost, "over_budget");
	put_bool(d, cost, "details_shed", c->budget.shed);
}

void put_cost(struct document *d, cJSON *root, const struct comparison *c)
{
	const struct overhead *own = &c->overhead;
	cJSON *cost, *agent;

	if (!c->cost.known) {
		put_null(d, root, "cost");
		return;
	}
	cost = put_object(d, root, "cost");
	put_kernel(d, cost, &c->cost);
	agent = put_object(d, cost, "agent");
	put_number(d, agent, "cpu_seconds", own->agent_cpu_seconds);
	put_number(d, agent, "cores", agent_share(c));
	put_count_if(d, agent, "rss_bytes", own->agent_rss_bytes, own->agent_rss_bytes);
	put_budget(d, cost, &c->cost);
	put_state(d, cost, &c->cost);
}
