/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sites of this host's libssl under real probes: a process notes every call that it makes and what came of it, and
 * the kernel notes the registers at every site. They must tell the same story, whether the kernel emulates the
 * instruction, steps over it or replaces the return address.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <asm/perf_regs.h>
#include <errno.h>
#include <link.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../unit/dice.h"
#include "../unit/tls_files.h"
#include "../unit/tls_speak.h"

#define ROUNDS     400
#define CALLS_MAX  (16 * ROUNDS)
#define RING_BYTES (1024 * 1024)
#define REGS                                                                                                     \
	(1ull << PERF_REG_X86_AX | 1ull << PERF_REG_X86_CX | 1ull << PERF_REG_X86_DX | 1ull << PERF_REG_X86_SI | \
	 1ull << PERF_REG_X86_DI)

enum function { READ, WRITE, READ_EX, WRITE_EX, FUNCTIONS };
static const char *const names[] = { "SSL_read", "SSL_write", "SSL_read_ex", "SSL_write_ex" };
static const int jobs[][2] = { { TLS_READ_IN, TLS_READ_OUT },
	                       { TLS_WRITE_IN, TLS_WRITE_OUT },
	                       { TLS_READ_EX_IN, TLS_READ_EX_OUT },
	                       { TLS_WRITE_EX_IN, TLS_WRITE_EX_OUT } };

/* What the process says. */
struct call {
	int function, returned;
	uint64_t session, buffer, size, bytes;
};
struct story {
	size_t n;
	struct call calls[CALLS_MAX];
};

static void tell(struct story *s, int function, void *session, void *buffer, size_t size, size_t *bytes, int returned)
{
	s->calls[s->n++] =
		(struct call){ function, returned, (uint64_t)session, (uint64_t)buffer, size, (uint64_t)bytes };
}

/* In the child: writes and reads of random sizes, some of which get nothing or do not fit. */
static void speak(const struct tls_api *a, struct story *s)
{
	static char buffer[8 * RECORD];
	struct dice d = { 9 };
	struct tls_pair p;

	if (tls_pair(a, &p))
		_exit(2);
	raise(SIGSTOP);
	for (int i = 0; i < ROUNDS; i++) {
		int n = (int)dice_below(&d, 3 * RECORD) + 1, r;
		size_t bytes = 0;
		char *at = buffer + dice_below(&d, RECORD);

		if (dice_below(&d, 2)) {
			r = a->write(p.client, buffer, n);
			tell(s, WRITE, p.client, buffer, (size_t)n, NULL, r);
		} else {
			r = a->write_ex(p.client, buffer, (size_t)n, &bytes);
			tell(s, WRITE_EX, p.client, buffer, (size_t)n, &bytes, r);
		}
		for (int j = 0; j < 4; j++) {
			n = (int)dice_below(&d, RECORD) + (j ? 1 : -100);
			if (n < 0 || dice_below(&d, 2)) {
				r = a->read(p.server, at, n);
				tell(s, READ, p.server, at, (size_t)n, NULL, r);
			} else {
				r = a->read_ex(p.server, at, (size_t)n, &bytes);
				tell(s, READ_EX, p.server, at, (size_t)n, &bytes, r);
			}
		}
		do { /* what is left */
			r = a->read(p.server, buffer, sizeof(buffer));
			tell(s, READ, p.server, buffer, sizeof(buffer), NULL, r);
		} while (r > 0);
	}
	_exit(0);
}

/* One probe and what the kernel notes at it. */
struct probe {
	int fd;
	uint8_t *ring;
};

/* The number in a file that holds one: "8", "config:0". */
static int number_in(const char *path)
{
	char line[64] = "";
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	fclose(f);
	return (int)strtol(line + strcspn(line, "0123456789"), NULL, 10);
}

static bool probe_open(struct probe *p, pid_t pid, const char *path, uint64_t offset, bool at_return)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = (uint32_t)number_in("/sys/bus/event_source/devices/uprobe/type"),
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_REGS_USER,
		.sample_regs_user = REGS,
		.wakeup_events = 1,
		.uprobe_path = (uint64_t)path,
		.probe_offset = offset,
	};

	if (at_return)
		attr.config = 1ull << number_in("/sys/bus/event_source/devices/uprobe/format/retprobe");
	p->fd = (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (p->fd < 0)
		return false;
	p->ring = mmap(NULL, 4096 + RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
	return p->ring != MAP_FAILED;
}

static void probe_close(struct probe *p)
{
	munmap(p->ring, 4096 + RING_BYTES);
	close(p->fd);
}

/* In the order of their bits. */
struct sample {
	struct perf_event_header h;
	uint64_t abi, ax, cx, dx, si, di;
};

/* The samples of a probe, in order; the ring is large enough for all. */
static size_t samples_of(const struct probe *p, const struct sample **out)
{
	const struct perf_event_mmap_page *page = (const void *)p->ring;
	size_t n = 0, head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);

	assert_true(head < RING_BYTES);
	*out = (const void *)(p->ring + page->data_offset);
	while ((n + 1) * sizeof(**out) <= head) {
		assert_int_equal((*out)[n].h.type, PERF_RECORD_SAMPLE);
		assert_int_equal((*out)[n].h.size, sizeof(**out));
		n++;
	}
	assert_int_equal(n * sizeof(**out), head);
	return n;
}

static void is_its_arguments(const struct sample *x, const struct call *c)
{
	assert_int_equal(x->di, c->session);
	assert_int_equal(x->si, c->buffer);
	assert_int_equal((uint32_t)x->dx, (uint32_t)c->size);
	if (c->bytes)
		assert_int_equal(x->cx, c->bytes);
}

static void is_its_result(const struct sample *x, const struct call *c)
{
	assert_int_equal((int)x->ax, c->returned);
}

/* Each call of one function was seen once, in order, and `is` what the story says; how many. */
static size_t check_samples(const struct probe *p, const struct story *s, int function,
                            void (*is)(const struct sample *x, const struct call *c))
{
	const struct sample *x;
	size_t n = samples_of(p, &x), i = 0;

	for (size_t k = 0; k < s->n; k++) {
		if (s->calls[k].function != function)
			continue;
		assert_true(i < n);
		is(&x[i++], &s->calls[k]);
	}
	assert_int_equal(i, n);
	return n;
}

/* Any of the variants: where the arguments are seen, and the result, of one function. */
static void check_arguments(const struct probe *p, const struct story *s, int function)
{
	assert_true(check_samples(p, s, function, is_its_arguments) > 100);
}

static void check_results(const struct probe *p, const struct story *s, int function)
{
	check_samples(p, s, function, is_its_result);
}

struct watched {
	struct probe in, out, plain, at_return;
	uint8_t how_in, how_out;
};

static void watch(struct watched *w, int function, const struct tls_library *lib, pid_t pid, const char *path)
{
	const struct tls_site *in = site_of(lib, names[function], jobs[function][0]);
	const struct tls_site *out = site_of(lib, names[function], jobs[function][1]);
	uint64_t first;

	assert_non_null(in);
	assert_non_null(out);
	first = in->offset - where_of(lib, names[function], jobs[function][0])->distance;
	w->how_in = in->how;
	w->how_out = out->how;
	assert_true(probe_open(&w->in, pid, path, in->offset, false));
	assert_true(probe_open(&w->out, pid, path, out->offset, out->how == TLS_URETPROBE));
	assert_true(probe_open(&w->plain, pid, path, first, false));
	assert_true(probe_open(&w->at_return, pid, path, first, true));
}

static void what_probes_see_is_what_the_process_did(void **state)
{
	void *h = dlopen("libssl.so.3", RTLD_NOW), *crypto = dlopen("libcrypto.so.3", RTLD_NOW);
	struct story *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct watched w[FUNCTIONS];
	unsigned hows[3] = { 0 };
	struct tls_library *lib;
	struct link_map *map;
	struct tls_api api;
	int status = 0;
	pid_t child;
	struct err e;

	if (!h || !crypto) {
		printf("skipped: %s\n", dlerror());
		skip();
	}
	assert_ptr_not_equal(s, MAP_FAILED);
	assert_int_equal(dlinfo(h, RTLD_DI_LINKMAP, &map), 0);
	assert_int_equal(look_into(map->l_name, &lib, &e), 0);
	assert_true(tls_api(h, crypto, &api));
	child = fork();
	if (!child)
		speak(&api, s);
	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	assert_true(WIFSTOPPED(status));
	for (int i = 0; i < FUNCTIONS; i++)
		watch(&w[i], i, lib, child, map->l_name);
	kill(child, SIGCONT);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	for (int i = 0; i < FUNCTIONS; i++) {
		check_arguments(&w[i].in, s, i);
		check_arguments(&w[i].plain, s, i);
		check_results(&w[i].out, s, i);
		check_results(&w[i].at_return, s, i);
		hows[w[i].how_in]++;
		hows[w[i].how_out]++;
		probe_close(&w[i].in);
		probe_close(&w[i].out);
		probe_close(&w[i].plain);
		probe_close(&w[i].at_return);
	}
	printf("%zu calls; sites emulated %u, stepped %u, at return %u\n", s->n, hows[TLS_EMULATED], hows[TLS_STEPPED],
	       hows[TLS_URETPROBE]);
	tls_library__free(lib);
}

/* Under CET a function begins with a mark; the push behind it is cheaper, and as good for replacing the return address.
 */
__asm__(".text\n.globl triple\ntriple: endbr64\ntriple_push: push %rbx\nmov %rdi,%rbx\nlea (%rbx,%rbx,2),%rax\npop %rbx\nret\n");
extern const char triple_push[];
long triple(long x);

static void a_return_address_is_replaced_behind_the_mark(void **state)
{
	char self[512] = "";
	struct probe p;
	struct link_map *map = NULL;
	const struct sample *x;
	int status;
	pid_t child = fork();

	if (!child) {
		raise(SIGSTOP);
		for (long i = 0; i < 1000; i++)
			if (triple(i) != 3 * i)
				_exit(1);
		_exit(0);
	}
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	map = dlopen(NULL, RTLD_NOW);
	assert_non_null(map);
	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	/* The text of this program lies in the file as far from its beginning as in memory: it is linked that way. */
	assert_true(probe_open(&p, child, self, (uint64_t)triple_push - map->l_addr, true));
	kill(child, SIGCONT);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	assert_int_equal(samples_of(&p, &x), 1000);
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(x[i].ax, 3 * i);
	probe_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_probes_see_is_what_the_process_did),
		cmocka_unit_test(a_return_address_is_replaced_behind_the_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
