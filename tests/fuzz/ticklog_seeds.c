// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What fuzz_ticklog starts from: logs as this very version writes them, cut off after a few ticks, into the directory
 * given. Kept ones would be refused at their first line with the next format.
 */
#include "../unit/ticklog_rig.h"

static const char *out_dir;

static void keep(const char *name, const struct bytes *b, unsigned int lines)
{
	const char *end = b->s;
	char path[400];

	while (lines-- && end < b->s + b->len)
		end = (const char *)memchr(end, '\n', b->len - (size_t)(end - b->s)) + 1;
	snprintf(path, sizeof(path), "%s/%s", out_dir, name);
	rig_store(path, b->s, (size_t)(end - b->s));
}

static struct bytes log_of(const struct log_header *h, const struct rig_way *way, bool units)
{
	static const struct judge_cutover unit = { .name = "checkout", .owner = "team-pay" };
	struct judge *j = judge__new(&h->policy);
	struct err e = { "" };
	struct ticklog *log;

	unlink(rig_file("log"));
	log = ticklog__new(rig_file("log"), &e);
	assert_non_null(log);
	assert_int_equal(ticklog__start(log, h, &e), 0);
	if (units)
		assert_int_equal(ticklog__add_cutover(log, j, &unit), 0);
	rig_watch(log, way, 0.1, NULL);
	ticklog__end(log);
	ticklog__free(log);
	judge__free(j);
	return rig_load(rig_file("log"));
}

int main(int argc, char **argv)
{
	struct log_header h = rig_header;
	struct rig_way way = rig_way;
	struct bytes b;

	if (argc != 2)
		return 2;
	out_dir = argv[1];
	b = log_of(&h, &way, false);
	keep("begins", &b, 4);
	keep("few-ticks", &b, 8);
	free(b.s);
	h.policy.mode = way.policy.mode = GATE_ABSOLUTE;
	h.policy.deadline = way.policy.deadline = 15;
	h.version[ARM_BASELINE] = NULL;
	b = log_of(&h, &way, false);
	keep("absolute", &b, 6);
	free(b.s);
	h = rig_header;
	way = rig_way;
	h.policy.max_dropped_sessions = way.policy.max_dropped_sessions = 25;
	h.stage = 0.25;
	b = log_of(&h, &way, true);
	keep("units", &b, 6);
	free(b.s);
	rig_clean();
	return 0;
}
