// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Attaching to and letting go of nginx's TLS library under load, again and again. Oracle: wrk's own count of what went
 * wrong, and nginx's of what it could not serve.
 *
 * Letting go waits for the kernel, three times 50 ms: so there are several servers, each with a table and a copy of the
 * library to itself, and while some are let go of the next one is attached to.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tls/targets.h"

#define CYCLES  200
#define SERVERS 4
#define WORKERS 2

struct server {
	char dir[64];
	int port;
	pid_t nginx, wrk;
	struct id_process p[1 + WORKERS + 1]; /* one more than there may be */
	size_t n;
	struct tls_targets *table;
};

static char dir[] = "/tmp/tw-load-XXXXXX";

static bool have(const char *program)
{
	char line[128];

	snprintf(line, sizeof(line), "PATH=$PATH:/usr/sbin command -v %s >/dev/null", program);
	return !system(line);
}

/* Starts a command in a folder of ours, with its output in a file there. */
static pid_t start(const char *in, const char *out, const char *command)
{
	char line[1024];
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(line, sizeof(line), "cd %s; exec 3<&- >%s 2>&1; PATH=$PATH:/usr/sbin; %s", in, out, command);
	execl("/bin/sh", "sh", "-c", line, (char *)NULL);
	_exit(127);
}

static int wait_for(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	return status;
}

static void slurp(const struct server *s, const char *name, char *text, size_t room)
{
	char path[256];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	f = fopen(path, "re");
	n = f ? fread(text, 1, room - 1, f) : 0;
	if (f)
		fclose(f);
	text[n] = '\0';
}

static bool listens(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_port = htons((uint16_t)port),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = !connect(fd, (struct sockaddr *)&to, sizeof(to));

	close(fd);
	return ok;
}

/* A port that nobody had a moment ago. */
static int free_port(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	close(fd);
	return ntohs(at.sin_port);
}

/* nginx with a copy of its library, so that nobody else has a hand in what is put into the file and taken out again. */
static void start_nginx(struct server *s)
{
	char path[128];
	FILE *f;

	s->port = free_port();
	snprintf(path, sizeof(path), "%s/nginx.conf", s->dir);
	f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f,
	        "daemon off; worker_processes %d; pid %s/pid; error_log %s/error.log warn;\n"
	        "events { worker_connections 256; }\n"
	        "http { access_log off; keepalive_requests 50;\n"
	        "server { listen 127.0.0.1:%d ssl; ssl_certificate ../cert; ssl_certificate_key ../key;\n"
	        "location / { return 200 \"ok\\n\"; } } }\n",
	        WORKERS, s->dir, s->dir, s->port);
	fclose(f);
	s->nginx = start(s->dir, "nginx.out",
	                 "ldd $(command -v nginx) | sed -n 's/.*libssl.* => \\([^ ]*\\).*/\\1/p' | xargs -r cp -t . && "
	                 "LD_LIBRARY_PATH=$PWD exec nginx -p $PWD -e $PWD/error.log -c nginx.conf");
	for (int i = 0; i < 1000 && !listens(s->port); i++)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	assert_true(listens(s->port));
}

/* The master, and its workers as far as it has any. */
static size_t processes_of(pid_t master, struct id_process *p, size_t room)
{
	char path[64], text[256] = "";
	size_t n = 0;
	FILE *f;

	p[n++] = (struct id_process){ .tgid = master, .version = 1 };
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)master, (int)master);
	f = fopen(path, "re");
	assert_non_null(f);
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	for (char *at = text, *end; n < room; at = end) {
		pid_t pid = (pid_t)strtol(at, &end, 10);

		if (!pid)
			break;
		p[n++] = (struct id_process){ .tgid = pid, .version = 1 };
	}
	for (size_t i = 0; i < n; i++) {
		struct tls_process is;

		assert_int_equal(tls_process__read(p[i].tgid, &is), 0);
		p[i].start_ticks = is.start_ticks;
	}
	return n;
}

/* Of its TLS library, which must be its server's own. */
static const struct tls_hold *hold_of(const struct server *s, const struct tls_target *at)
{
	for (size_t i = 0; i < at->n_uses; i++) {
		const struct tls_use *use = &at->uses[i];

		if (!use->file->library || !use->file->library->n_sites)
			continue;
		assert_memory_equal(use->where.path, s->dir, strlen(s->dir));
		return &use->hold;
	}
	fail_msg("process %d has no library", (int)at->tgid);
	return NULL;
}

static void begin(struct server *s, struct loader *l, int number)
{
	char line[128];

	snprintf(s->dir, sizeof(s->dir), "%s/%d", dir, number);
	assert_int_equal(mkdir(s->dir, 0755), 0);
	s->table = tls_targets__new(l);
	assert_non_null(s->table);
	start_nginx(s);
	/* It listens before it has them. */
	for (int i = 0; (s->n = processes_of(s->nginx, s->p, 1 + WORKERS + 1)) < 1 + WORKERS && i < 1000; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	assert_int_equal(s->n, 1 + WORKERS);
	snprintf(line, sizeof(line), "exec wrk -t 1 -c 4 -d 600 https://127.0.0.1:%d/", s->port);
	s->wrk = start(s->dir, "wrk.out", line);
}

/* To all of its processes, once what was there before has gone. */
static void attach(struct server *s)
{
	tls_targets__stop(s->table);
	assert_int_equal(tls_targets__update(s->table, s->p, s->n), 0);
	assert_int_equal(tls_targets__work(s->table, INFINITY), 0);
	assert_int_equal(tls_targets__count(s->table), s->n);
	for (size_t i = 0; i < s->n; i++) {
		const struct tls_hold *h = hold_of(s, tls_targets__at(s->table, i));

		assert_true(h->attached > 0);
		assert_string_equal(h->note, "");
	}
}

/* In the background. */
static void let_go(struct server *s)
{
	assert_int_equal(tls_targets__update(s->table, NULL, 0), 0);
}

static void end(struct server *s)
{
	char text[4096];

	kill(s->wrk, SIGINT);
	wait_for(s->wrk);
	slurp(s, "wrk.out", text, sizeof(text));
	tls_targets__free(s->table);
	kill(s->nginx, SIGTERM);
	assert_int_equal(wait_for(s->nginx), 0);
	assert_non_null(strstr(text, "requests in"));
	if (strstr(text, "Socket errors") || strstr(text, "Non-2xx"))
		fail_msg("%s", text);
	print_message("%s", strstr(text, "requests in") - 12);
	slurp(s, "error.log", text, sizeof(text));
	assert_string_equal(text, "");
}

static void two_hundred_times_attaching_and_letting_go_fails_no_request(void **state)
{
	static struct server servers[SERVERS];

	if (!have("nginx") || !have("wrk")) {
		print_message("skipped: needs nginx and wrk\n");
		skip();
	}
	for (int i = 0; i < SERVERS; i++)
		begin(&servers[i], *state, i);
	for (int i = 0; i < CYCLES; i++) {
		attach(&servers[i % SERVERS]);
		if (i)
			let_go(&servers[(i - 1) % SERVERS]);
	}
	for (int i = 0; i < SERVERS; i++)
		end(&servers[i]);
}

static int load(void **state)
{
	struct loader_options o = { .seed = 1, .endpoint_other = 1, .slots = 8, .tls = true };
	struct err e = { "" };

	log_threshold = LOG_ERROR;
	if (!mkdtemp(dir) || chmod(dir, 0755))
		return -1;
	if (wait_for(start(
		    dir, "openssl.out",
		    "exec openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -keyout key -out cert")))
		return -1;
	*state = loader__new(&o, &e);
	if (*state && loader__tls(*state))
		return 0;
	print_message("cannot load: %s\n", e.text);
	return -1;
}

static int unload(void **state)
{
	char line[64];

	loader__free(*state);
	snprintf(line, sizeof(line), "rm -rf %s", dir);
	return system(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_hundred_times_attaching_and_letting_go_fails_no_request),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
