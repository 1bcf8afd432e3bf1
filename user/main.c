// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <bpf/libbpf.h>
#include <cjson/cJSON.h>

#include "cmd/cmd.h"

static const struct command *const commands[] = {
	&cmd_doctor, &cmd_top, &cmd_init, &cmd_watch, &cmd_gate, &cmd_plan, &cmd_replay,
};
#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

static void print_usage(FILE *out)
{
	fputs("usage: tillwatch [--verbose] COMMAND [OPTION...]\n\n"
	      "Watches the endpoints that earn money while a new version takes over, and says promote, hold or roll back.\n\n",
	      out);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\n`tillwatch COMMAND --help` explains each; --verbose says on stderr what is done, and why the kernel refuses "
	      "what it refuses.\nExit codes: 0 promote (or done), 10 rollback, 20 hold, 30 invalid,\n"
	      "1 failure, 2 usage.\n",
	      out);
}

static void print_version(void)
{
	printf("tillwatch %s\n"
	       "libbpf %u.%u, cJSON %s\n"
	       "protocols: HTTP/1.0, HTTP/1.1 (plaintext)\n"
	       "versions by: listen cgroup upstream pid exe unit env build_id\n"
	       "output: table, lines, tillwatch.comparison/1, tillwatch.verdict/1, tillwatch.plan/1, "
	       "tillwatch.replay/1\n",
	       TW_VERSION, libbpf_major_version(), libbpf_minor_version(), cJSON_Version());
}

/* Output that could not be written is a failure, whatever the command itself says. */
static int finish(int code)
{
	if (!fflush(stdout) && !ferror(stdout))
		return code;
	log_error("cannot write to standard output");
	return TW_EXIT_FAILURE;
}

/*
 * A file that is opened takes the lowest number that is free: where one of these is closed, a tick log would be what is
 * printed to. What takes its place is open the wrong way round, so that its use fails as that of a closed one does.
 */
static bool occupy_standard_descriptors(void)
{
	static const int wrong_way[] = { O_WRONLY, O_RDONLY, O_RDONLY };

	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", wrong_way[fd]) != fd)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	int at = 1;

	if (!occupy_standard_descriptors())
		return TW_EXIT_FAILURE;
	/* A pipe that closes early is an error to report, not a reason to die with maps half read. */
	signal(SIGPIPE, SIG_IGN);
	/* The same of a file that has reached the size it may have. */
	signal(SIGXFSZ, SIG_IGN);
	if (argc > at && !strcmp(argv[at], "--verbose")) {
		log_threshold = LOG_DEBUG;
		at++;
	}
	if (argc <= at) {
		print_usage(stderr);
		return TW_EXIT_USAGE;
	}
	if (!strcmp(argv[at], "--version") || !strcmp(argv[at], "version")) {
		print_version();
		return finish(TW_EXIT_OK);
	}
	if (!strcmp(argv[at], "--help") || !strcmp(argv[at], "-h") || !strcmp(argv[at], "help")) {
		print_usage(stdout);
		return finish(TW_EXIT_OK);
	}
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!strcmp(argv[at], commands[i]->name))
			return finish(commands[i]->run(argc - at, argv + at));
	fprintf(stderr, "tillwatch: there is no command '%s'; `tillwatch --help` lists them\n", argv[at]);
	return TW_EXIT_USAGE;
}
