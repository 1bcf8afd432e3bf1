// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which processes are a version's: by their cgroup, descent, program, unit, environment and build id. Oracles: what the
 * test itself has set up, and readelf. */
#include <sys/mman.h>

#include "identity_rig.h"
#include "capture/elf_note.h"

/* ---- process keys ------------------------------------------------------------------------------------------------ */

static void a_cgroup_match_takes_the_processes_below_it_and_where_they_listen(void **state)
{
	NEEDS_ROOT();
	const char *parent = make_cgroup("shop.slice"), *child = make_cgroup("shop.slice/web");
	const char *near = make_cgroup("shop.slice-old");
	struct server a = start((struct start){ .cgroup = child });
	struct server b = start((struct start){ .cgroup = near });
	struct id_snapshot *s = RESOLVE({ .cgroup = (char *)parent }, { .cgroup = (char *)near });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_int_equal(version_of_process(s, b.serving), 2);
	assert_heirs(s, "127.0.0.1", a.port, 1);
	assert_heirs(s, "127.0.0.1", b.port, 2);
	assert_int_equal(s->n_places, 2);
	assert_cgroups(s, near, child);
	id_snapshot__free(s);
}

static void a_process_that_moved_after_it_listened_is_attached_where_its_socket_is(void **state)
{
	NEEDS_ROOT();
	const char *made = make_cgroup("made"), *moved = make_cgroup("moved");
	struct server a = start((struct start){ .cgroup = made });
	struct id_snapshot *s;
	char procs[600];
	FILE *f;

	snprintf(procs, sizeof(procs), "%s%s/cgroup.procs", fixture.mount, moved);
	f = fopen(procs, "we");
	assert_non_null(f);
	fprintf(f, "%d\n", (int)a.serving);
	assert_int_equal(fclose(f), 0);
	s = RESOLVE({ .cgroup = (char *)moved });
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_cgroups(s, made, NULL);
	id_snapshot__free(s);
}

static void a_pid_match_takes_descendants_too(void **state)
{
	struct server a = start((struct start){ .flags = "f" });
	struct id_snapshot *s = RESOLVE({ .pid = a.started });

	assert_int_not_equal(a.started, a.serving);
	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(s->versions[0].n_processes, 2);
	assert_int_equal(version_of_process(s, a.started), 1);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_static(s, "127.0.0.1", a.port, 1);
	id_snapshot__free(s);
}

static void a_descendant_of_a_pid_that_has_gone_stays_its_versions(void **state)
{
	struct server a = start((struct start){ .flags = "f" });
	struct id_snapshot *s = RESOLVE({ .pid = a.started });
	struct id_process known = { 0 };

	for (size_t i = 0; i < s->n_processes; i++)
		if (s->processes[i].tgid == a.serving)
			known = s->processes[i];
	id_snapshot__free(s);
	assert_int_equal(known.version, 1);
	s = RESOLVE_KNOWING((&(const struct id_known){ &known, 1, NULL, 0 }), { .pid = INT32_MAX });
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_static(s, "127.0.0.1", a.port, 1);
	id_snapshot__free(s);
	/* Its number may have been given to another. */
	known.start_ticks += 100;
	s = RESOLVE_KNOWING((&(const struct id_known){ &known, 1, NULL, 0 }), { .pid = INT32_MAX });
	assert_int_equal(version_of_process(s, a.serving), 0);
	id_snapshot__free(s);
}

static void a_descendant_that_matches_another_version_itself_belongs_to_that_one(void **state)
{
	const char *master = copy_program("master"), *worker = copy_program("worker");
	struct server a = start((struct start){ .program = master, .flags = "x", .next = worker });
	struct id_snapshot *s = RESOLVE({ .exe = (char *)master }, { .exe = (char *)worker });

	assert_int_equal(version_of_process(s, a.started), 1);
	assert_int_equal(version_of_process(s, a.serving), 2);
	assert_by_reader(s, "127.0.0.1", a.port);
	id_snapshot__free(s);
}

static void an_exe_match_follows_symbolic_links_and_survives_the_deletion_of_the_file(void **state)
{
	const char *program = copy_program("shop");
	struct server a = start((struct start){ .program = program });
	struct id_snapshot *s;
	char link[160];

	snprintf(link, sizeof(link), "%s/current", fixture.dir);
	unlink(link);
	assert_int_equal(symlink(program, link), 0);
	s = RESOLVE({ .exe = link });
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_static(s, "127.0.0.1", a.port, 1);
	id_snapshot__free(s);
	assert_int_equal(unlink(program), 0);
	s = RESOLVE({ .exe = (char *)program });
	assert_int_equal(version_of_process(s, a.serving), 1);
	id_snapshot__free(s);
}

static void a_unit_match_finds_the_cgroup_of_that_name_and_what_is_below(void **state)
{
	NEEDS_ROOT();
	make_cgroup("tw-shop.service");
	const char *below = make_cgroup("tw-shop.service/payload"), *other = make_cgroup("other-tw-shop.service");
	struct server a = start((struct start){ .cgroup = below });
	struct server b = start((struct start){ .cgroup = other });
	struct id_snapshot *s = RESOLVE({ .unit = "tw-shop.service" });

	assert_int_equal(s->versions[0].n_processes, 1);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_int_equal(version_of_process(s, b.serving), 0);
	assert_cgroups(s, below, NULL);
	id_snapshot__free(s);
}

static void an_env_match_compares_the_whole_value_and_tells_nothing_about_environments(void **state)
{
	struct server a = start((struct start){ .env = "TW_RELEASE=secret-2" });
	struct server b = start((struct start){ .env = "TW_RELEASE=secret-21" });
	struct id_snapshot *s = RESOLVE({ .env = "TW_RELEASE=secret-2" }, { .env = "TW_RELEASE=secret-3" });

	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_int_equal(version_of_process(s, b.serving), 0);
	assert_heirs(s, "127.0.0.1", a.port, 1);
	assert_int_equal(s->versions[1].state, ID_WAITING);
	assert_contains(s->versions[1].note, "TW_RELEASE (2 with another)");
	for (size_t i = 0; i < s->n_versions; i++)
		assert_null(strstr(s->versions[i].note, "secret"));
	id_snapshot__free(s);
}

static void keys_are_conjunctive(void **state)
{
	const char *program = copy_program("shop");
	struct server a = start((struct start){ .program = program, .env = "TW_RELEASE=1" });
	struct server b = start((struct start){ .program = program, .env = "TW_RELEASE=2" });
	struct server c = start((struct start){ .env = "TW_RELEASE=1" });
	struct id_snapshot *s = RESOLVE({ .exe = (char *)program, .env = "TW_RELEASE=1" },
	                                { .exe = (char *)program, .pid = c.serving });

	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_int_equal(version_of_process(s, b.serving), 0);
	assert_int_equal(version_of_process(s, c.serving), 0);
	assert_contains(s->versions[1].note, "no process matches all of it (pid: 1, exe: 2)");
	id_snapshot__free(s);
}

static void a_process_key_with_listen_is_narrowed_to_that_place(void **state)
{
	struct server a = start((struct start){ .env = "TW_RELEASE=1" });
	struct server b = start((struct start){ .env = "TW_RELEASE=1" });
	struct id_snapshot *s = RESOLVE({ .env = "TW_RELEASE=1", LISTEN("127.0.0.1", a.port) },
	                                { .env = "TW_RELEASE=1", LISTEN("127.0.0.1", b.port) });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(s->versions[1].state, ID_FOUND);
	assert_int_equal(s->versions[0].n_listeners, 1);
	assert_int_equal(s->n_places, 2);
	assert_static(s, "127.0.0.1", a.port, 1);
	assert_static(s, "127.0.0.1", b.port, 2);
	id_snapshot__free(s);
	s = RESOLVE({ .pid = a.serving, LISTEN("127.0.0.1", b.port) });
	assert_int_equal(s->versions[0].state, ID_WAITING);
	assert_by_reader(s, "127.0.0.1", b.port);
	assert_contains(s->versions[0].note, "not listening on 127.0.0.1:");
	assert_contains(s->versions[0].note, "it listens on 127.0.0.1:");
	id_snapshot__free(s);
	/* Whoever will listen there may be of another version. */
	s = RESOLVE({ .pid = a.serving, LISTEN("127.0.0.9", a.port) });
	assert_int_equal(s->versions[0].state, ID_WAITING);
	assert_by_reader(s, "127.0.0.9", a.port);
	id_snapshot__free(s);
}

/* ---- one process ------------------------------------------------------------------------------------------------- */

static void the_version_of_one_process_is_that_of_its_nearest_matching_ancestor(void **state)
{
	const char *master = copy_program("master"), *worker = copy_program("worker");
	struct server a = start((struct start){ .program = master, .flags = "x", .next = worker });
	struct server b = start((struct start){ .program = master, .flags = "f" });
	struct version versions[] = { { .name = "v1", .match = { .exe = (char *)master } },
		                      { .name = "v2", .match = { .exe = (char *)worker } },
		                      { .name = "v3", .match = { .pid = b.serving } } };
	struct config c = { .versions = versions, .n_versions = 2 };

	assert_int_equal(identity__version_of(&c, a.started), 1);
	assert_int_equal(identity__version_of(&c, a.serving), 2);
	assert_int_equal(identity__version_of(&c, b.serving), 1);
	assert_int_equal(identity__version_of(&c, getpid()), 0);
	c.n_versions = 3; /* v1 and v3 both match it now: nobody can tell */
	assert_int_equal(identity__version_of(&c, b.serving), 0);
	stop(a.started);
	assert_int_equal(identity__version_of(&c, a.started), 0);
}

/* ---- build ids ------------------------------------------------------------------------------------------------ */

static bool readelf_says(const char *file, char *hex, size_t len)
{
	char command[300], line[512];
	bool found = false;
	FILE *f;

	snprintf(command, sizeof(command), "readelf -n '%s' 2>/dev/null", file);
	f = popen(command, "re");
	while (f && fgets(line, sizeof(line), f)) {
		char *at = strstr(line, "Build ID: ");

		if (!at)
			continue;
		at[strcspn(at, "\n")] = '\0';
		snprintf(hex, len, "%s", at + strlen("Build ID: "));
		found = true;
	}
	if (f)
		pclose(f);
	return found;
}

static int build_id_of(const char *file, char *hex)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC), err;

	assert_true(fd >= 0);
	err = elf__build_id(fd, hex, ELF_BUILD_ID_HEX);
	close(fd);
	return err;
}

/* Turns every bit of the id's first byte over, wherever in the file it is. */
static void change_build_id(const char *file, const char *hex)
{
	unsigned char id[ELF_BUILD_ID_MAX], *bytes, *at;
	size_t n = strlen(hex) / 2;
	struct stat st;
	int fd = open(file, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0 && !fstat(fd, &st));
	for (size_t i = 0; i < n; i++) {
		unsigned int byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		id[i] = (unsigned char)byte;
	}
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(bytes, MAP_FAILED);
	at = memmem(bytes, (size_t)st.st_size, id, n);
	assert_non_null(at);
	*at ^= 0xff;
	munmap(bytes, (size_t)st.st_size);
	close(fd);
}

static void a_build_id_match_tells_two_builds_at_one_path_apart(void **state)
{
	const char *program = copy_program("shop");
	char old[ELF_BUILD_ID_HEX], new[ELF_BUILD_ID_HEX], said[ELF_BUILD_ID_HEX];
	struct server a, b;
	struct id_snapshot *s;

	if (!readelf_says(program, said, sizeof(said))) {
		print_message("skipped: no readelf, or built without a build id\n");
		skip();
	}
	assert_int_equal(build_id_of(program, old), 0);
	assert_string_equal(old, said);
	a = start((struct start){ .program = program });
	copy_program("shop"); /* deployed over the running one */
	change_build_id(program, old);
	assert_int_equal(build_id_of(program, new), 0);
	assert_string_not_equal(old, new);
	b = start((struct start){ .program = program });
	new[8] = '\0';
	s = RESOLVE({ .exe = (char *)program, .build_id = old }, { .exe = (char *)program, .build_id = new });
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_int_equal(version_of_process(s, b.serving), 2);
	assert_heirs(s, "127.0.0.1", a.port, 1);
	assert_heirs(s, "127.0.0.1", b.port, 2);
	id_snapshot__free(s);
}

static int build_id_of_bytes(int fd, const unsigned char *bytes, size_t n, char *hex)
{
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, bytes, n, 0), (ssize_t)n);
	return elf__build_id(fd, hex, ELF_BUILD_ID_HEX);
}

static void a_truncated_or_corrupt_program_file_is_an_error_and_never_a_crash(void **state)
{
	unsigned char *bytes, head[4096], text[] = "#!/bin/sh\necho no ELF at all\n";
	const char *program = copy_program("broken");
	int from = open(program, O_RDONLY | O_CLOEXEC), fd = memfd_create("broken", MFD_CLOEXEC);
	char hex[ELF_BUILD_ID_HEX];
	unsigned int seed = 4711;

	assert_true(from >= 0 && fd >= 0);
	bytes = malloc(sizeof(head));
	assert_non_null(bytes);
	assert_int_equal(read(from, head, sizeof(head)), (ssize_t)sizeof(head));
	for (size_t n = 0; n < 300; n++) /* before any note is whole */
		assert_true(build_id_of_bytes(fd, head, n, hex) < 0 && !hex[0]);
	for (size_t n = 300; n < sizeof(head); n += 7)
		build_id_of_bytes(fd, head, n, hex);
	for (int i = 0; i < 3000; i++) {
		memcpy(bytes, head, sizeof(head));
		for (int flips = 1 + i % 8; flips; flips--) {
			size_t where = (size_t)rand_r(&seed) % (i & 1 ? 1024 : 64);

			bytes[where] = (unsigned char)rand_r(&seed);
		}
		if (build_id_of_bytes(fd, bytes, sizeof(head), hex))
			assert_int_equal(hex[0], '\0');
	}
	assert_int_equal(build_id_of_bytes(fd, text, sizeof(text), hex), -ENOEXEC);
	assert_int_equal(elf__build_id(-1, hex, sizeof(hex)), -ENOEXEC);
	free(bytes);
	close(fd);
	close(from);
}

static const struct CMUnitTest tests[] = {
	T(a_cgroup_match_takes_the_processes_below_it_and_where_they_listen),
	T(a_process_that_moved_after_it_listened_is_attached_where_its_socket_is),
	T(a_pid_match_takes_descendants_too),
	T(a_descendant_of_a_pid_that_has_gone_stays_its_versions),
	T(a_descendant_that_matches_another_version_itself_belongs_to_that_one),
	T(an_exe_match_follows_symbolic_links_and_survives_the_deletion_of_the_file),
	T(a_unit_match_finds_the_cgroup_of_that_name_and_what_is_below),
	T(an_env_match_compares_the_whole_value_and_tells_nothing_about_environments),
	T(keys_are_conjunctive),
	T(a_process_key_with_listen_is_narrowed_to_that_place),
	T(the_version_of_one_process_is_that_of_its_nearest_matching_ancestor),
	T(a_build_id_match_tells_two_builds_at_one_path_apart),
	T(a_truncated_or_corrupt_program_file_is_an_error_and_never_a_crash),
};

IDENTITY_MAIN(tests)
