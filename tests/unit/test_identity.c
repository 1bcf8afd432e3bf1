// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The places of versions: where they listen, whom they ask, and what several of them share. Oracle: what the test
 * itself has set up. */
#include "identity_rig.h"

/* ---- listen --------------------------------------------------------------------------------------------------- */

static void a_listen_match_finds_the_ipv4_listener_its_process_and_its_cgroup(void **state)
{
	NEEDS_ROOT();
	const char *cgroup = make_cgroup("a");
	struct server a = start((struct start){ .cgroup = cgroup });
	struct id_snapshot *s = RESOLVE({ LISTEN("127.0.0.1", a.port) });
	char text[64];

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(s->versions[0].n_listeners, 1);
	assert_int_equal(s->versions[0].n_processes, 1);
	assert_int_equal(s->n_places, 1);
	assert_static(s, "127.0.0.1", a.port, 1);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_true(s->processes[0].age >= 0 && s->processes[0].age < 60);
	assert_cgroups(s, cgroup, NULL);
	snprintf(text, sizeof(text), "listening on 127.0.0.1:%u, 1 process (pid %d ", a.port, (int)a.serving);
	assert_contains(s->versions[0].note, text);
	id_snapshot__free(s);
}

static void a_listen_match_finds_the_ipv6_listener(void **state)
{
	NEEDS_IPV6();
	struct server a = start((struct start){ .addr = "::1" });
	struct id_snapshot *s = RESOLVE({ LISTEN("::1", a.port) });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_static(s, "::1", a.port, 1);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_contains(s->versions[0].note, "[::1]:");
	id_snapshot__free(s);
}

static void a_bare_port_takes_listeners_on_every_address(void **state)
{
	struct server a = start((struct start){ 0 });
	struct server b = start((struct start){ .addr = "127.0.0.2", .port = a.port });
	struct id_snapshot *s = RESOLVE({ LISTEN(NULL, a.port) });

	assert_int_equal(s->versions[0].n_listeners, 2);
	assert_int_equal(s->n_places, 1);
	assert_static(s, NULL, a.port, 1);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_int_equal(version_of_process(s, b.serving), 1);
	id_snapshot__free(s);
}

static void a_bare_port_leaves_the_address_that_another_version_names_to_it(void **state)
{
	struct server a = start((struct start){ 0 });
	struct server b = start((struct start){ .addr = "127.0.0.2", .port = a.port });
	struct id_snapshot *s = RESOLVE({ LISTEN(NULL, a.port) }, { LISTEN("127.0.0.2", a.port) });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(s->versions[1].state, ID_FOUND);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_int_equal(version_of_process(s, b.serving), 2);
	id_snapshot__free(s);
}

static void an_address_is_found_behind_a_wildcard_listener_but_not_behind_one_for_ipv6_only(void **state)
{
	NEEDS_IPV6();
	struct server dual = start((struct start){ .addr = "::" });
	struct server only = start((struct start){ .addr = "::", .flags = "o" });
	struct server v4 = start((struct start){ .addr = "0.0.0.0" });
	struct id_snapshot *s = RESOLVE({ LISTEN("127.0.0.1", dual.port) }, { LISTEN("127.0.0.1", only.port) },
	                                { LISTEN("127.0.0.1", v4.port) });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_static(s, "127.0.0.1", dual.port, 1);
	assert_int_equal(version_of_process(s, dual.serving), 1);
	assert_int_equal(s->versions[1].state, ID_WAITING);
	assert_int_equal(s->versions[2].state, ID_FOUND);
	id_snapshot__free(s);
	s = RESOLVE({ LISTEN("::1", dual.port) }, { LISTEN("::1", v4.port) });
	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(s->versions[1].state, ID_WAITING);
	id_snapshot__free(s);
}

static void a_listener_of_its_own_beats_the_wildcard_listener_on_that_address(void **state)
{
	struct server wild = start((struct start){ .addr = "0.0.0.0", .flags = "r" });
	struct server exact = start((struct start){ .addr = "127.0.0.1", .port = wild.port, .flags = "r" });
	struct id_snapshot *s = RESOLVE({ LISTEN("127.0.0.1", wild.port) });

	assert_int_equal(s->versions[0].n_listeners, 1);
	assert_int_equal(version_of_process(s, exact.serving), 1);
	assert_int_equal(version_of_process(s, wild.serving), 0);
	id_snapshot__free(s);
}

static void a_port_nobody_listens_on_is_a_place_already_and_says_what_listens_instead(void **state)
{
	NEEDS_ROOT();
	struct server other = start((struct start){ .addr = "127.0.0.3" });
	struct id_snapshot *s = RESOLVE({ LISTEN("127.0.0.1", other.port) });
	char text[80];

	assert_int_equal(s->versions[0].state, ID_WAITING);
	assert_static(s, "127.0.0.1", other.port, 1);
	assert_int_equal(s->n_processes, 0);
	snprintf(text, sizeof(text), "nothing listens on 127.0.0.1:%u; listening now: 127.0.0.3:%u (", other.port,
	         other.port);
	assert_contains(s->versions[0].note, text);
	assert_contains(s->versions[0].note, "waiting for it, watching every cgroup");
	assert_cgroups(s, "", NULL);
	id_snapshot__free(s);
}

static struct id_known listening(const struct id_snapshot *s)
{
	return (struct id_known){ .listeners = s->listeners, .n_listeners = s->n_listeners };
}

/* As a service manager holds it, which ends one release and starts the next. */
static void a_listener_that_outlives_its_server_stays_a_place_of_the_version(void **state)
{
	NEEDS_ROOT();
	const char *manager = copy_program("manager"), *release = copy_program("release"),
		   *cgroup = make_cgroup("held");
	struct server a = start((struct start){ .program = manager, .flags = "x", .next = release, .cgroup = cgroup });
	struct id_snapshot *before = RESOLVE({ .exe = (char *)release }, { .exe = (char *)"/nowhere" }), *s;
	struct id_known known = listening(before);

	assert_by_reader(before, "127.0.0.1", a.port);
	assert_int_equal(kill(a.serving, SIGKILL), 0);
	while (!process__has_gone(a.serving))
		usleep(1000);
	for (int i = 0; i < 2; i++) { /* the second look knows what the first one kept */
		s = RESOLVE_KNOWING(&known, { .exe = (char *)release }, { .exe = (char *)"/nowhere" });
		assert_by_reader(s, "127.0.0.1", a.port);
		assert_int_equal(s->versions[0].state, ID_WAITING);
		assert_int_equal(s->n_listeners, 1);
		assert_int_equal(s->listeners[0].versions, 1);
		id_snapshot__free(before);
		before = s;
		known = listening(before);
	}
	stop(a.started);
	s = RESOLVE_KNOWING(&known, { .exe = (char *)release }, { .exe = (char *)"/nowhere" });
	assert_int_equal(s->n_listeners + s->n_places, 0);
	id_snapshot__free(s);
	id_snapshot__free(before);
}

/* Connections belong to the cgroup of whoever made their listener, and that is not always the version's. */
static void a_listener_that_is_kept_is_watched_in_its_own_cgroup(void **state)
{
	NEEDS_ROOT();
	const char *manager = copy_program("manager"), *release = copy_program("release");
	const char *theirs = make_cgroup("theirs"), *own = make_cgroup("own");
	struct server a = start((struct start){ .program = manager, .flags = "x", .next = release, .cgroup = theirs });
	struct id_snapshot *before, *s;
	struct id_known known;

	assert_true(move_to(a.serving, own));
	before = RESOLVE({ .cgroup = (char *)own });
	assert_int_equal(before->versions[0].n_listeners, 1);
	known = listening(before);
	assert_int_equal(kill(a.serving, SIGKILL), 0);
	while (!process__has_gone(a.serving))
		usleep(1000);
	s = RESOLVE_KNOWING(&known, { .cgroup = (char *)own });
	assert_int_equal(s->versions[0].state, ID_WAITING);
	assert_cgroups(s, own, theirs);
	id_snapshot__free(s);
	s = RESOLVE({ .cgroup = (char *)own });
	assert_cgroups(s, own, NULL);
	id_snapshot__free(s);
	id_snapshot__free(before);
}

/* Whoever comes to hold a port later is nobody's business. */
static void a_listener_that_follows_at_the_same_port_is_not_taken_for_the_one_before(void **state)
{
	const char *release = copy_program("release");
	struct server a = start((struct start){ .program = release, .flags = "r" }), b;
	struct id_snapshot *before = RESOLVE({ .exe = (char *)release }), *s;
	struct id_known known = listening(before);

	assert_int_equal(before->n_listeners, 1);
	stop(a.started);
	b = start((struct start){ .port = a.port, .flags = "r" });
	s = RESOLVE_KNOWING(&known, { .exe = (char *)release });
	assert_int_equal(s->n_listeners + s->n_places, 0);
	assert_int_equal(version_of_process(s, b.serving), 0);
	id_snapshot__free(s);
	id_snapshot__free(before);
}

static void one_process_may_serve_the_places_of_two_versions(void **state)
{
	struct server a = start((struct start){ .addr = "0.0.0.0" });
	struct id_snapshot *s = RESOLVE({ LISTEN("127.0.0.1", a.port) }, { LISTEN("127.0.0.2", a.port) });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(s->versions[1].state, ID_FOUND);
	assert_static(s, "127.0.0.1", a.port, 1);
	assert_static(s, "127.0.0.2", a.port, 2);
	assert_int_equal(s->n_processes, 2); /* once for each */
	id_snapshot__free(s);
}

/* ---- shared places ----------------------------------------------------------------------------------------------- */

static void two_versions_on_one_reuseport_port_are_told_apart_by_the_reader(void **state)
{
	NEEDS_ROOT();
	const char *ca = make_cgroup("a"), *cb = make_cgroup("b");
	struct server a = start((struct start){ .cgroup = ca, .flags = "r" });
	struct server b = start((struct start){ .cgroup = cb, .flags = "r", .port = a.port });
	struct id_snapshot *s = RESOLVE({ .cgroup = (char *)ca }, { .cgroup = (char *)cb });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(s->versions[1].state, ID_FOUND);
	assert_int_equal(s->n_places, 1);
	assert_by_reader(s, "127.0.0.1", a.port);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_int_equal(version_of_process(s, b.serving), 2);
	assert_cgroups(s, ca, cb);
	assert_contains(s->versions[0].note, "told apart by the process that reads");
	id_snapshot__free(s);
	/* Alone on the port with a stranger, it still must not take the stranger's requests. */
	s = RESOLVE({ .cgroup = (char *)ca, LISTEN("127.0.0.1", a.port) });
	assert_by_reader(s, "127.0.0.1", a.port);
	id_snapshot__free(s);
}

static void reuseport_workers_of_one_version_make_a_static_place(void **state)
{
	struct server a = start((struct start){ .flags = "r", .env = "TW_RELEASE=1" });
	struct server b = start((struct start){ .flags = "r", .env = "TW_RELEASE=1", .port = a.port });
	struct id_snapshot *s = RESOLVE({ .env = "TW_RELEASE=1" });

	assert_int_equal(version_of_process(s, b.serving), 1);
	assert_int_equal(s->versions[0].n_listeners, 2);
	assert_int_equal(s->n_places, 1);
	assert_static(s, "127.0.0.1", a.port, 1);
	id_snapshot__free(s);
}

static void a_listener_inherited_from_a_master_of_another_program_is_read_by_its_workers(void **state)
{
	const char *master = copy_program("master"), *worker = copy_program("worker");
	struct server a = start((struct start){ .program = master, .flags = "x", .next = worker });
	struct id_snapshot *s = RESOLVE({ .exe = (char *)worker });

	assert_int_not_equal(a.started, a.serving);
	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(version_of_process(s, a.started), 0);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_by_reader(s, "127.0.0.1", a.port);
	id_snapshot__free(s);
	/* Taken as a family, both belong to it. */
	s = RESOLVE({ .exe = (char *)master });
	assert_static(s, "127.0.0.1", a.port, 1);
	id_snapshot__free(s);
}

static void the_same_port_in_another_network_namespace_is_found(void **state)
{
	NEEDS_ROOT();
	const char *cgroup = make_cgroup("pod");
	struct server a = start((struct start){ .addr = "0.0.0.0", .flags = "n", .cgroup = cgroup });
	struct id_snapshot *s = RESOLVE({ .pid = a.serving });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_static(s, NULL, a.port, 1);
	assert_cgroups(s, cgroup, NULL);
	id_snapshot__free(s);
}

/* ---- upstream ------------------------------------------------------------------------------------------------- */

static void an_upstream_is_a_client_place_attached_at_those_who_are_connected(void **state)
{
	NEEDS_ROOT();
	const char *ca = make_cgroup("app"), *cp = make_cgroup("proxy");
	struct server app = start((struct start){ .cgroup = ca });
	struct server proxy = start((struct start){ .cgroup = cp, .flags = "c", .port = app.port });
	struct id_snapshot *s = RESOLVE({ UPSTREAM("127.0.0.1", app.port) });
	char text[64];

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(s->n_places, 1);
	assert_int_equal(place(s, "127.0.0.1", app.port, true)->version, 1);
	assert_int_equal(place(s, "127.0.0.1", app.port, true)->by_reader, 0);
	assert_cgroups(s, cp, NULL);
	snprintf(text, sizeof(text), "1 connection to 127.0.0.1:%u from pid %d ", app.port, (int)proxy.serving);
	assert_contains(s->versions[0].note, text);
	id_snapshot__free(s);
}

static void an_upstream_without_connections_watches_everywhere_or_in_the_cgroup_given(void **state)
{
	NEEDS_ROOT();
	const char *cp = make_cgroup("proxy");
	struct server app = start((struct start){ 0 });
	struct id_snapshot *s = RESOLVE({ UPSTREAM("127.0.0.1", app.port) });

	assert_int_equal(s->versions[0].state, ID_WAITING);
	assert_int_equal(place(s, "127.0.0.1", app.port, true)->version, 1);
	assert_cgroups(s, "", NULL);
	assert_contains(s->versions[0].note, "no connection to 127.0.0.1:");
	id_snapshot__free(s);
	s = RESOLVE({ UPSTREAM("127.0.0.1", app.port), .cgroup = (char *)cp });
	assert_cgroups(s, cp, NULL);
	id_snapshot__free(s);
}

static void an_upstream_of_two_proxies_is_told_apart_by_the_proxy_that_reads(void **state)
{
	NEEDS_ROOT();
	const char *c1 = make_cgroup("p1"), *c2 = make_cgroup("p2");
	struct server app = start((struct start){ 0 });

	start((struct start){ .cgroup = c1, .flags = "c", .port = app.port });
	start((struct start){ .cgroup = c2, .flags = "c", .port = app.port });
	struct id_snapshot *s = RESOLVE({ UPSTREAM("127.0.0.1", app.port), .cgroup = (char *)c1 },
	                                { UPSTREAM("127.0.0.1", app.port), .cgroup = (char *)c2 });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(place(s, "127.0.0.1", app.port, true)->by_reader, 1);
	assert_cgroups(s, c1, c2);
	id_snapshot__free(s);
}

/* ---- nothing found, and too much --------------------------------------------------------------------------------- */

static void what_finds_nothing_says_what_was_found_instead(void **state)
{
	const char *program = copy_program("shop");
	struct server a = start((struct start){ .program = program });
	struct id_snapshot *s;

	s = RESOLVE({ .exe = "/nowhere/shop" }, { .pid = INT32_MAX }, { .unit = "tw-absent.service" });
	assert_contains(s->versions[0].note, "there is no file /nowhere/shop");
	assert_contains(s->versions[0].note, program);
	assert_contains(s->versions[1].note, "there is no process 2147483647; waiting for it");
	assert_contains(s->versions[2].note, "no process is in unit tw-absent.service");
	id_snapshot__free(s);
	s = RESOLVE({ .cgroup = "/tw-absent.slice" }, { .build_id = "0123456789abcdef" });
	assert_contains(s->versions[0].note, "there is no cgroup /tw-absent.slice below /");
	assert_contains(s->versions[1].note, "no process runs a program with build id 0123456789abcdef");
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(s->versions[i].state, ID_WAITING);
		assert_contains(s->versions[i].note, "waiting for it");
	}
	id_snapshot__free(s);
	stop(a.started);
}

static void a_version_that_waits_in_its_own_cgroup_does_not_make_us_watch_all_others(void **state)
{
	NEEDS_ROOT();
	const char *empty = make_cgroup("empty"), *unit = make_cgroup("tw-wait.service");
	struct id_snapshot *s;

	start((struct start){ .cgroup = unit, .flags = "-" });
	s = RESOLVE({ .cgroup = (char *)empty }, { .unit = "tw-wait.service" });
	assert_int_equal(s->versions[0].state, ID_WAITING);
	assert_int_equal(s->versions[1].state, ID_WAITING);
	assert_int_equal(s->versions[1].n_processes, 1);
	assert_cgroups(s, empty, unit);
	assert_contains(s->versions[0].note, "no process is in cgroup ");
	assert_contains(s->versions[1].note, "not listening on any port");
	id_snapshot__free(s);
}

static void a_process_that_two_versions_match_is_a_conflict_that_names_both(void **state)
{
	const char *program = copy_program("shop");
	struct server a = start((struct start){ .program = program, .env = "TW_RELEASE=1" });
	struct id_snapshot *s = RESOLVE({ .exe = (char *)program }, { .env = "TW_RELEASE=1" });
	char text[64];

	snprintf(text, sizeof(text), "process %d (", (int)a.serving);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(s->versions[i].state, ID_CONFLICT);
		assert_contains(s->versions[i].note, text);
		assert_contains(s->versions[i].note, i ? "claimed by v2 and by v1" : "claimed by v1 and by v2");
	}
	assert_int_equal(version_of_process(s, a.serving), 0);
	assert_by_reader(s, "127.0.0.1", a.port);
	id_snapshot__free(s);
}

static void a_place_that_two_versions_name_is_a_conflict(void **state)
{
	struct server a = start((struct start){ 0 });
	struct id_snapshot *s = RESOLVE({ LISTEN("127.0.0.1", a.port) }, { LISTEN("127.0.0.1", a.port) });

	assert_int_equal(s->versions[0].state, ID_CONFLICT);
	assert_int_equal(s->versions[1].state, ID_CONFLICT);
	assert_int_equal(s->n_places, 1);
	assert_by_reader(s, "127.0.0.1", a.port);
	id_snapshot__free(s);
}

static void a_listener_named_by_one_version_and_held_by_another_is_a_conflict(void **state)
{
	const char *program = copy_program("shop");
	struct server a = start((struct start){ .program = program, .addr = "0.0.0.0" });
	struct id_snapshot *s = RESOLVE({ LISTEN("127.0.0.1", a.port) }, { .exe = (char *)program });

	assert_int_equal(s->versions[0].state, ID_CONFLICT);
	assert_int_equal(s->versions[1].state, ID_CONFLICT);
	assert_by_reader(s, "127.0.0.1", a.port);
	assert_by_reader(s, NULL, a.port);
	assert_int_equal(version_of_process(s, a.serving), 2); /* its own program leaves no doubt */
	id_snapshot__free(s);
}

static const struct CMUnitTest tests[] = {
	T(a_listen_match_finds_the_ipv4_listener_its_process_and_its_cgroup),
	T(a_listen_match_finds_the_ipv6_listener),
	T(a_bare_port_takes_listeners_on_every_address),
	T(a_bare_port_leaves_the_address_that_another_version_names_to_it),
	T(an_address_is_found_behind_a_wildcard_listener_but_not_behind_one_for_ipv6_only),
	T(a_listener_of_its_own_beats_the_wildcard_listener_on_that_address),
	T(a_port_nobody_listens_on_is_a_place_already_and_says_what_listens_instead),
	T(a_listener_that_outlives_its_server_stays_a_place_of_the_version),
	T(a_listener_that_is_kept_is_watched_in_its_own_cgroup),
	T(a_listener_that_follows_at_the_same_port_is_not_taken_for_the_one_before),
	T(one_process_may_serve_the_places_of_two_versions),
	T(two_versions_on_one_reuseport_port_are_told_apart_by_the_reader),
	T(reuseport_workers_of_one_version_make_a_static_place),
	T(a_listener_inherited_from_a_master_of_another_program_is_read_by_its_workers),
	T(the_same_port_in_another_network_namespace_is_found),
	T(an_upstream_is_a_client_place_attached_at_those_who_are_connected),
	T(an_upstream_without_connections_watches_everywhere_or_in_the_cgroup_given),
	T(an_upstream_of_two_proxies_is_told_apart_by_the_proxy_that_reads),
	T(what_finds_nothing_says_what_was_found_instead),
	T(a_version_that_waits_in_its_own_cgroup_does_not_make_us_watch_all_others),
	T(a_process_that_two_versions_match_is_a_conflict_that_names_both),
	T(a_place_that_two_versions_name_is_a_conflict),
	T(a_listener_named_by_one_version_and_held_by_another_is_a_conflict),
};

IDENTITY_MAIN(tests)
