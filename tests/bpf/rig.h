/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel programs, loaded for tests, and what comes out of them in words.
 *
 * Invariants: with no slot assigned, every exchange that ends leaves as a record, and is rendered as one line of
 * `rig.log`: "GET /path 200 answered"; the name is the one its route was announced with. A route is announced once:
 * a second announcement of the same text (two engines that hash differently) fails the test.
 * Structures that only the kernel programs know are read by the offsets in their BTF.
 */
#ifndef TW_TEST_RIG_H
#define TW_TEST_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "capture/http1_table.h"
#include "capture/programs.h"
#include "config/config.h"
#include "model/histogram.h"
#include "tillwatch.skel.h"
#include "tw_abi.h"

#define RIG_SEED   0x243f6a8885a308d3ULL
#define RIG_OTHER  7 /* endpoint_other */
#define RIG_RING   (256U << 10)
#define RIG_BUDGET 1000000U
#define RIG_SLOTS  8

#define RIG_SERVER_PORT      8080
#define RIG_UPSTREAM_PORT    9090
#define RIG_SERVER_VERSION   1
#define RIG_UPSTREAM_VERSION 2

#define RIG_NAMES 4096
#define RIG_LOG   (1U << 20)

struct rig_name {
	uint64_t hash;
	char text[TW_PATH_MAX + 2];
};

struct rig {
	struct tillwatch_bpf *skel;
	struct ring_buffer *ring;
	bool by_tc; /* see rig_packets_are_seen() */
	int cpus;
	char *lanes;
	size_t lane_size, lane_busy;
	struct tw_ledger_row before[TW_MAX_VERSIONS];
	struct rig_name names[RIG_NAMES];
	size_t n_names;
	bool named_twice;
	uint16_t version; /* of every exchange to come */
	bool wrong_version;
	char log[RIG_LOG];
	size_t log_len;
	size_t n_ended; /* records of exchanges */
	size_t n_details;
	size_t n_drains;
	struct tw_drain_record last_drain;
	int details_due; /* records of exchanges that were not answered, without their details yet */
	bool wrong_detail;
	struct tw_exchange_record last;
};

static struct rig rig;

/* What records of HTTP/2 frames go to; NULL: nobody wants them. */
static void (*rig_on_h2)(const void *record, size_t len);

/* Set before rig_open: ns after which a response comes too late; 0: never. */
static uint64_t rig_timeout;

/* The same: load the programs that see a socket fail and go, too. Attaching them is the test's business. */
static bool rig_with_ends;

/* Only in together.c: where such programs are kept for whoever wants the same; NULL there: nobody has loaded them. */
__attribute__((weak)) struct tillwatch_bpf **rig_kept(bool crafted, uint64_t timeout, bool with_ends);

static inline const char *rig_outcome(unsigned int outcome)
{
	static const char *const names[TW_OUTCOME_NR] = {
		[TW_ANSWERED] = "answered",
		[TW_UNANSWERED] = "unanswered",
		[TW_TRUNCATED] = "truncated",
		[TW_RESET_BY_SERVER] = "reset_by_server",
		[TW_RESET_BY_CLIENT] = "reset_by_client",
		[TW_CLIENT_ABANDONED] = "client_abandoned",
		[TW_TIMEOUT] = "timeout",
		[TW_UNOBSERVED] = "unobserved",
	};

	return outcome < TW_OUTCOME_NR ? names[outcome] : "no outcome";
}

static inline const char *rig_counter(int i)
{
	static const char *const names[TW_L_NR] = {
		[TW_L_REQUESTS] = "requests",
		[TW_L_ENDED] = "ended",
		[TW_L_LOST_EXCHANGES] = "lost_exchanges",
		[TW_L_LOST_EVENTS] = "lost_events",
		[TW_L_UNNAMED] = "unnamed",
		[TW_L_CONNECTIONS] = "connections",
		[TW_L_DECODED] = "decoded",
		[TW_L_OPAQUE_TLS] = "opaque_tls",
		[TW_L_HTTP2] = "http2",
		[TW_L_NOT_HTTP] = "not_http",
		[TW_L_UPGRADED] = "upgraded",
		[TW_L_DESYNC] = "desync",
		[TW_L_LOST_DETAILS] = "lost_details",
		[TW_L_RESYNC] = "resync",
		[TW_L_MIDSTREAM] = "midstream",
		[TW_L_NO_STATE] = "no_state",
		[TW_L_DUP_SEGMENTS] = "dup_segments",
		[TW_L_REORDERED] = "reordered",
		[TW_L_PIPELINE_FULL] = "pipeline_full",
		[TW_L_EARLY_DATA] = "early_data",
		[TW_L_EARLY_FULL] = "early_full",
		[TW_L_CAREFUL] = "careful",
		[TW_L_CONTENDED] = "contended",
		[TW_L_BAD_PACKET] = "bad_packet",
		[TW_L_UNREAD_VERSION] = "unread_version",
		[TW_L_MOVED] = "moved",
		[TW_L_TLS] = "tls",
		[TW_L_TLS_MOVED] = "tls_moved",
		[TW_L_TLS_FOUND] = "tls_found",
		[TW_L_TLS_JOINED] = "tls_joined",
		[TW_L_TLS_UNJOINED] = "tls_unjoined",
		[TW_L_TLS_MISMATCH] = "tls_mismatch",
		[TW_L_TLS_UNFRAMED] = "tls_unframed",
		[TW_L_TLS_REQUESTS] = "tls_requests",
		[TW_L_TLS_WITHHELD] = "tls_withheld",
		[TW_L_TLS_WITHDRAWN] = "tls_withdrawn",
		[TW_L_SHED_DETAILS] = "shed_details",
	};

	return names[i] ? names[i] : "unnamed counter";
}

/* ---- records ------------------------------------------------------------------------------------------------------
 */

static inline const char *rig_name_of(uint64_t hash)
{
	for (size_t i = rig.n_names; i-- > 0;)
		if (rig.names[i].hash == hash)
			return rig.names[i].text;
	return "?";
}

static inline void rig_on_route(const struct tw_route_record *r)
{
	struct rig_name *n = &rig.names[rig.n_names % RIG_NAMES];

	/* Whatever the request held behind its path, and our conversations say "secret" there, is not in the record. */
	if (memmem(r->text, sizeof(r->text), "secret", 6))
		fail_msg("a route record holds what lies behind the path of \"%.*s\"", r->len, r->text);
	n->hash = r->hash;
	snprintf(n->text, sizeof(n->text), "%.*s%s", r->len, r->text, r->flags & TW_ROUTE_TRUNCATED ? "~" : "");
	for (size_t i = 0; i < rig.n_names; i++)
		if (!strcmp(rig.names[i].text, n->text))
			rig.named_twice = true;
	if (rig.n_names < RIG_NAMES)
		rig.n_names++;
}

static inline void rig_on_exchange(const struct tw_exchange_record *r)
{
	char status[8] = "-", as[24] = "";
	bool names_its_place = r->outcome <= TW_TRUNCATED || r->outcome == TW_UNOBSERVED;
	int n;

	if (r->status)
		snprintf(status, sizeof(status), "%u", r->status);
	if (r->endpoint && r->endpoint != TW_EP_PENDING)
		snprintf(as, sizeof(as), " as %u", r->endpoint);
	n = snprintf(rig.log + rig.log_len, RIG_LOG - rig.log_len, "%s %s %s%s%s\n", rig_name_of(r->hash), status,
	             rig_outcome(r->outcome), r->cut && !names_its_place ? " mid_response" : "", as);
	if ((size_t)n < RIG_LOG - rig.log_len)
		rig.log_len += (size_t)n;
	if (r->version != rig.version)
		rig.wrong_version = true;
	rig.n_ended++;
	rig.last = *r;
	rig.details_due += r->outcome != TW_ANSWERED;
}

/* It follows the record of its exchange at once, where the exchange left one. */
static inline void rig_on_detail(const struct tw_detail_record *r)
{
	const struct tw_exchange_record *x = &rig.last;

	rig.n_details++;
	if (!rig.details_due)
		return;
	rig.details_due--;
	rig.wrong_detail |= r->hash != x->hash || r->outcome != x->outcome || r->version != x->version ||
	                    r->endpoint != x->endpoint || r->status != x->status || r->tgid != x->tgid || !r->t_end ||
	                    r->t_end - r->age != x->t_start || r->cause != TW_CAUSE_UNKNOWN;
}

static inline void rig_on_drain(const struct tw_drain_record *r)
{
	rig.n_drains++;
	rig.last_drain = *r;
}

static inline int rig_on_record(void *arg, void *data, size_t len)
{
	const uint32_t *type = data;

	if (*type == TW_R_ROUTE)
		rig_on_route(data);
	else if (*type == TW_R_EXCHANGE)
		rig_on_exchange(data);
	else if (*type == TW_R_DETAIL)
		rig_on_detail(data);
	else if (*type == TW_R_DRAIN)
		rig_on_drain(data);
	else if (*type == TW_R_H2 && rig_on_h2)
		rig_on_h2(data, len);
	return 0;
}

static inline void rig_drain(void)
{
	ring_buffer__consume(rig.ring);
}

static inline void rig_forget_log(void)
{
	rig.log_len = rig.n_ended = 0;
	rig.log[0] = '\0';
}

/* ---- maps ---------------------------------------------------------------------------------------------------------
 */

/* Bits from the type's beginning, or -1; members without a name are looked into. */
static inline int64_t rig_member(const struct btf *btf, int id, const char *member)
{
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (__u32)id) : NULL;

	for (int i = 0; t && btf_is_composite(t) && i < btf_vlen(t); i++) {
		const struct btf_member *m = &btf_members(t)[i];
		const char *name = btf__name_by_offset(btf, m->name_off);
		int64_t at = !strcmp(name, member) ? 0 : *name ? -1 : rig_member(btf, (int)m->type, member);

		if (at >= 0)
			return at + btf_member_bit_offset(t, (__u32)i);
	}
	return -1;
}

/* Where a member lies, by the programs' own BTF. */
static inline size_t rig_offset(const char *type, const char *member)
{
	const struct btf *btf = bpf_object__btf(rig.skel->obj);
	int64_t at = rig_member(btf, btf__find_by_name_kind(btf, type, BTF_KIND_STRUCT), member);

	if (at < 0)
		fail_msg("no %s in %s", member, type);
	return (size_t)at / 8;
}

static inline size_t entries(struct bpf_map *m)
{
	int fd = bpf_map__fd(m);
	char keys[2][128];
	size_t n = 0;

	assert_true(bpf_map__key_size(m) <= sizeof(*keys));
	for (void *last = NULL; !bpf_map_get_next_key(fd, last, keys[n & 1]); n++)
		last = keys[n & 1];
	return n;
}

static inline void rig_empty_map(struct bpf_map *m)
{
	char key[128];
	int fd = bpf_map__fd(m);

	assert_true(bpf_map__key_size(m) <= sizeof(key));
	while (!bpf_map_get_next_key(fd, NULL, key))
		if (bpf_map_delete_elem(fd, key))
			break;
}

static inline const struct tw_ledger_row *rig_lane_rows(uint32_t lane, int cpu)
{
	if (!cpu)
		assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(rig.skel->maps.lanes), &lane, rig.lanes), 0);
	return (const void *)(rig.lanes + (size_t)cpu * rig.lane_size);
}

static inline void rig_read_ledger(struct tw_ledger_row *rows)
{
	memset(rows, 0, sizeof(*rows) * TW_MAX_VERSIONS);
	for (uint32_t lane = 0; lane < TW_LANES; lane++)
		for (int cpu = 0; cpu < rig.cpus; cpu++) {
			const struct tw_ledger_row *from = rig_lane_rows(lane, cpu);

			for (int v = 0; v < TW_MAX_VERSIONS; v++)
				for (int i = 0; i < TW_L_NR; i++)
					rows[v].c[i] += from[v].c[i];
		}
}

/* Lanes that no program has given back. */
static inline int rig_busy_lanes(void)
{
	int busy = 0;

	for (uint32_t lane = 0; lane < TW_LANES; lane++)
		for (int cpu = 0; cpu < rig.cpus; cpu++)
			busy += *(const uint32_t *)((const char *)rig_lane_rows(lane, cpu) + rig.lane_busy) != 0;
	return busy;
}

/* Lane 0 of every CPU is held by a program that does not go on, or is free again: meanwhile the others use lane 1. */
static inline void rig_hold_lane(uint32_t held)
{
	uint32_t lane = 0;

	rig_lane_rows(lane, 0);
	for (int cpu = 0; cpu < rig.cpus; cpu++)
		memcpy(rig.lanes + (size_t)cpu * rig.lane_size + rig.lane_busy, &held, sizeof(held));
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(rig.skel->maps.lanes), &lane, rig.lanes, BPF_ANY), 0);
}

static inline struct tw_ledger_row rig_row(unsigned int version)
{
	struct tw_ledger_row now[TW_MAX_VERSIONS];

	rig_read_ledger(now);
	for (int i = 0; i < TW_L_NR; i++)
		now[version].c[i] -= rig.before[version].c[i];
	return now[version];
}

/* What a version's row gained since the mark, in words; the careful engine's use is no one's business here. */
static inline void rig_gained(unsigned int version, char *text, size_t len)
{
	struct tw_ledger_row row = rig_row(version);
	size_t used = 0;

	text[0] = '\0';
	for (int i = 0; i < TW_L_NR; i++)
		if (i != TW_L_CAREFUL && row.c[i] && used < len)
			used += (size_t)snprintf(text + used, len - used, "%s%s %lld", used ? ", " : "", rig_counter(i),
			                         (long long)row.c[i]);
}

static inline void rig_mark(void)
{
	rig_read_ledger(rig.before);
}

/* ---- life ---------------------------------------------------------------------------------------------------------
 */

static inline void rig_set_constants(bool crafted)
{
	uint64_t bounds[TW_BOUNDS_TABLE];
	uint16_t cells[BUCKET_CELLS];

	http1_table_build();
	histogram_bounds(bounds);
	memcpy((void *)rig.skel->rodata->h1_classes, h1_classes, sizeof(rig.skel->rodata->h1_classes));
	memcpy((void *)rig.skel->rodata->h1_transitions, h1_transitions, sizeof(rig.skel->rodata->h1_transitions));
	memcpy((void *)rig.skel->rodata->tw_bounds, bounds, sizeof(rig.skel->rodata->tw_bounds));
	histogram_cells(cells);
	memcpy((void *)rig.skel->rodata->tw_cells, cells, sizeof(rig.skel->rodata->tw_cells));
	rig.skel->rodata->hash_seed = RIG_SEED;
	rig.skel->rodata->endpoint_other = RIG_OTHER;
	rig.skel->rodata->have_clients = 1;
	rig.skel->rodata->test_mode = crafted;
	rig.skel->rodata->ring_wakeup = RIG_RING;
	if (rig_timeout)
		rig.skel->rodata->response_timeout = rig_timeout;
}

static inline void rig_watch_port(uint16_t port, uint16_t version, bool client)
{
	struct tw_place place = { .port = port, .client = client };
	struct tw_place_value value = { .version = version };
	uint32_t key = port;
	uint8_t side = client ? TW_PORT_CLIENT : TW_PORT_SERVER;

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(rig.skel->maps.places), &place, &value, BPF_ANY), 0);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(rig.skel->maps.ports), &key, &side, BPF_ANY), 0);
}

/* What an endpoint that says nothing of its own calls bad. */
static inline void rig_default_rule(uint32_t endpoint)
{
	struct gate_policy gate;

	gate_policy__defaults(&gate);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(rig.skel->maps.rules), &endpoint, &gate.bad.rule, BPF_ANY), 0);
}

/* Without the verifier's walk, which is as long as a book. */
static inline int rig_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[400];

	if (level == LIBBPF_WARN && vsnprintf(line, sizeof(line), fmt, ap) < (int)sizeof(line))
		fputs(line, stderr);
	return 0;
}

static inline void rig_link(void)
{
	struct programs p = { .n = 0 };

	assert_int_equal(programs__take(&p, rig.skel->obj), 0);
	assert_int_equal(programs__link(&p, rig.skel), 0);
	programs__free(&p);
}

/*
 * Does a test run tell a program of this type where its packet ends? For cgroup programs kernels before 6.16 or so
 * leave that out, and every packet looks empty. The same programs can then be loaded as those of a traffic classifier,
 * which has the same context and helpers; its packets begin where the bytes given begin.
 */
static inline bool rig_packets_are_seen(void)
{
	const struct bpf_insn insns[] = {
		{ BPF_LDX | BPF_W | BPF_MEM, BPF_REG_2, BPF_REG_1, offsetof(struct __sk_buff, data), 0 },
		{ BPF_LDX | BPF_W | BPF_MEM, BPF_REG_3, BPF_REG_1, offsetof(struct __sk_buff, data_end), 0 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0 },
		{ BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, 1 },
		{ BPF_JMP | BPF_JGT | BPF_X, BPF_REG_2, BPF_REG_3, 1, 0 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 1 },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};
	char bytes[64] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = bytes, .data_size_in = sizeof(bytes), .repeat = 1);
	int fd = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, "rig_trial", "GPL", insns, sizeof(insns) / sizeof(*insns),
	                       NULL);
	bool seen;

	assert_true(fd >= 0);
	assert_int_equal(bpf_prog_test_run_opts(fd, &o), 0);
	seen = o.retval;
	close(fd);
	return seen;
}

static inline bool rig_sees_ends(const struct bpf_program *p)
{
	return p == rig.skel->progs.tw_fail || p == rig.skel->progs.tw_destroy || p == rig.skel->progs.tw_destroy_again;
}

static inline void rig_choose_types(void)
{
	struct bpf_program *p;

	bpf_object__for_each_program (p, rig.skel->obj) {
		if (bpf_program__type(p) == BPF_PROG_TYPE_TRACING)
			bpf_program__set_autoload(p, p == rig.skel->progs.tw_inflight_early ||
			                                     (rig_with_ends && rig_sees_ends(p)));
		if (rig.by_tc && bpf_program__type(p) == BPF_PROG_TYPE_CGROUP_SKB) {
			bpf_program__set_type(p, BPF_PROG_TYPE_SCHED_CLS);
			bpf_program__set_expected_attach_type(p, 0);
		}
	}
}

static inline void rig_load(bool crafted)
{
	rig.skel = tillwatch_bpf__open();
	assert_non_null(rig.skel);
	rig_set_constants(crafted);
	rig_choose_types();
	assert_int_equal(bpf_map__set_max_entries(rig.skel->maps.ring, RIG_RING), 0);
	assert_int_equal(bpf_map__set_max_entries(rig.skel->maps.series, RIG_SLOTS), 0);
	if (tillwatch_bpf__load(rig.skel))
		fail_msg("the kernel refuses the programs: %s (root?)", strerror(errno));
	rig_link();
}

/* crafted: connections are found by address, as test runs need it; without the tracepoint programs, but for those named
 * here. */
static inline void rig_open(bool crafted)
{
	struct tillwatch_bpf **kept = rig_kept ? rig_kept(crafted, rig_timeout, rig_with_ends) : NULL;

	libbpf_set_print(rig_print);
	rig.by_tc = crafted && !rig_packets_are_seen();
	if (!kept || !*kept)
		rig_load(crafted);
	else
		rig.skel = *kept;
	if (kept)
		*kept = rig.skel;
	rig.cpus = libbpf_num_possible_cpus();
	rig.lane_size = (bpf_map__value_size(rig.skel->maps.lanes) + 7) & ~7U;
	rig.lane_busy = rig_offset("tw_lane", "busy");
	rig.lanes = calloc((size_t)rig.cpus, rig.lane_size);
	assert_non_null(rig.lanes);
	rig.ring = ring_buffer__new(bpf_map__fd(rig.skel->maps.ring), rig_on_record, NULL, NULL);
	assert_non_null(rig.ring);
	rig_watch_port(RIG_SERVER_PORT, RIG_SERVER_VERSION, false);
	rig_watch_port(RIG_UPSTREAM_PORT, RIG_UPSTREAM_VERSION, true);
	rig.version = RIG_SERVER_VERSION;
}

static inline void rig_close(void)
{
	ring_buffer__free(rig.ring);
	if (!rig_kept)
		tillwatch_bpf__destroy(rig.skel);
	free(rig.lanes);
}

/* Names change from test to test, as they do not in earnest: what the lanes remember of them goes, too. */
static inline void rig_forget_routes(void)
{
	size_t memo = rig_offset("tw_lane", "memo"), n = sizeof(uint64_t) * 2 * 64;

	rig_empty_map(rig.skel->maps.routes);
	for (uint32_t lane = 0; lane < TW_LANES; lane++) {
		rig_lane_rows(lane, 0);
		for (int cpu = 0; cpu < rig.cpus; cpu++)
			memset(rig.lanes + (size_t)cpu * rig.lane_size + memo, 0, n);
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(rig.skel->maps.lanes), &lane, rig.lanes, BPF_ANY), 0);
	}
}

/* Before each test: no routes, no slots, no rules of its own, no records, and the ledger marked. */
static inline void rig_reset(void)
{
	struct tw_slot none = { 0 };

	rig_drain();
	rig_forget_log();
	rig.n_names = 0;
	rig.named_twice = rig.wrong_version = rig.wrong_detail = false;
	rig.n_details = rig.n_drains = 0;
	rig.details_due = 0;
	rig_forget_routes();
	for (uint32_t i = 0; i < 16; i++) {
		rig_default_rule(i);
		for (uint32_t v = RIG_SERVER_VERSION; v <= RIG_UPSTREAM_VERSION; v++) {
			uint32_t key = v * TW_MAX_ENDPOINTS + i;

			bpf_map_update_elem(bpf_map__fd(rig.skel->maps.slots), &key, &none, BPF_ANY);
		}
	}
	rig.skel->bss->route_budget = RIG_BUDGET;
	rig.skel->bss->detail_budget = RIG_BUDGET;
	rig.skel->bss->detail_shed = rig.skel->bss->drain_mask = rig.skel->bss->jiffy_ns = 0;
	rig_mark();
}

/* ---- assertions ---------------------------------------------------------------------------------------------------
 */

/* The exchanges that have ended since the last call, one line each, in order. */
static inline void expect_exchanges(const char *lines)
{
	rig_drain();
	assert_string_equal(rig.log, lines);
	assert_false(rig.named_twice);
	assert_false(rig.wrong_version);
	assert_false(rig.wrong_detail);
	assert_int_equal(rig.details_due, 0);
	rig_forget_log();
}

/* The ledger's gains since the test began: those of the watched version, and none on any other row. */
static inline void expect_ledger(const char *gains)
{
	char text[512];

	for (unsigned int v = 0; v < TW_MAX_VERSIONS; v++) {
		rig_gained(v, text, sizeof(text));
		assert_string_equal(text, v == rig.version ? gains : "");
	}
}

#endif
