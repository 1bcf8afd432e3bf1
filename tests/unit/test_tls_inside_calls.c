/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The places inside real libraries, against what a process says: a child reads and looks in every way there is, its
 * parent has breakpoints at the places. What is found there (where the site says) is what each call came to: its
 * session, its buffer, its bytes, once; and nothing of a call that only looked or got nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <link.h>
#include <sys/mman.h>

#include "dice.h"
#include "stepper.h"
#include "tls_files.h"
#include "tls_speak.h"

#define ROUNDS    200
#define CALLS_MAX (10 * ROUNDS)
#define SAMPLE    64 /* bytes of the content that are compared */

enum call_kind { READ, READ_EX, PEEK, PEEK_EX };

struct call {
	int kind, returned;
	uint64_t session, buffer, bytes;
	uint8_t content[SAMPLE];
};

/* In memory that both see. n: the call that is being made, or that comes next. */
struct story {
	size_t n;
	struct call calls[CALLS_MAX];
};

struct api {
	struct tls_api base;
	int (*peek)(void *, void *, int), (*peek_ex)(void *, void *, size_t, size_t *), (*renegotiate)(void *);
};

static char buffer[8 * RECORD];

static int call(const struct api *a, struct story *s, enum call_kind kind, void *session, char *at, size_t size)
{
	struct call *c = &s->calls[s->n];
	size_t n = 0;
	int r;

	if (kind == READ || kind == PEEK) {
		r = kind == READ ? a->base.read(session, at, (int)size) : a->peek(session, at, (int)size);
		n = r > 0 ? (size_t)r : 0;
	} else {
		r = kind == READ_EX ? a->base.read_ex(session, at, size, &n) : a->peek_ex(session, at, size, &n);
	}
	*c = (struct call){
		.kind = kind, .returned = r, .session = (uintptr_t)session, .buffer = (uintptr_t)at, .bytes = n
	};
	memcpy(c->content, at, n < SAMPLE ? n : SAMPLE);
	s->n++;
	return r;
}

/* In the child. */
static void speak(const struct api *a, struct story *s)
{
	struct dice d = { 31 };
	struct tls_pair p;

	if (tls_pair(&a->base, &p))
		_exit(2);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	for (int i = 0; i < ROUNDS; i++) {
		char text[3 * RECORD];
		bool up = dice_below(&d, 2);

		for (size_t k = 0; k < sizeof(text); k++)
			text[k] = (char)dice_word(&d);
		a->base.write(up ? p.client : p.server, text, 1 + (int)dice_below(&d, sizeof(text)));
		for (int j = 0; j < 5; j++)
			call(a, s, dice_below(&d, 4), up ? p.server : p.client, buffer + dice_below(&d, RECORD),
			     1 + dice_below(&d, 2 * RECORD));
		while (call(a, s, dice_below(&d, 2), up ? p.server : p.client, buffer, sizeof(buffer)) > 0)
			;
	}
	call(a, s, READ, p.client, buffer, (size_t)-1);
	/*
	 * The client asks for new keys while something is on the way: it gets that in the middle of its handshake, and
	 * the library has to read for a second time.
	 */
	a->base.write(p.server, "in between", 10);
	if (a->renegotiate(p.client) != 1 || call(a, s, READ, p.client, buffer, 100) != 10)
		_exit(3);
	call(a, s, READ, p.client, buffer, 100);
	_exit(0);
}

/* ---- the parent ---------------------------------------------------------------------------------------------------
 */

struct breakpoint {
	uint64_t addr, where;
	long was;
	unsigned long hits, reads;
};

static uint64_t peek(pid_t child, uint64_t addr)
{
	errno = 0;
	return (uint64_t)ptrace(PTRACE_PEEKDATA, child, (void *)addr, NULL);
}

static void set(pid_t child, const struct breakpoint *b, bool on)
{
	long word = on ? (b->was & ~0xffL) | 0xcc : b->was;

	assert_int_equal(ptrace(PTRACE_POKETEXT, child, (void *)b->addr, (void *)word), 0);
}

/* As the kernel program finds it: see TLS_WHERE. */
static uint64_t operand(pid_t child, const struct user_regs_struct *r, uint64_t where, int i)
{
	const unsigned long long kept[] = { r->rbx, r->rbp, r->r12, r->r13, r->r14, r->r15 };
	unsigned int at = (where >> 16 * i) & 0xffff;

	if (at & TLS_WHERE_STACK)
		return peek(child, r->rsp + (at & (TLS_WHERE_STACK - 1)));
	assert_true(at < 6);
	return kept[at];
}

/* What the place has shown of the present call. */
struct seen {
	unsigned reads;
	uint64_t session, buffer, bytes;
	uint8_t content[SAMPLE];
};

static void look(pid_t child, struct breakpoint *b, struct seen *seen)
{
	struct user_regs_struct r;
	bool flag = b->where >> 48 != TLS_WHERE_NONE;

	assert_int_equal(ptrace(PTRACE_GETREGS, child, NULL, &r), 0);
	b->hits++;
	if ((int32_t)r.rax < 1 || (flag && (uint32_t)operand(child, &r, b->where, 3)))
		return;
	b->reads++;
	seen->reads++;
	seen->session = operand(child, &r, b->where, 0);
	seen->buffer = operand(child, &r, b->where, 1);
	seen->bytes = peek(child, operand(child, &r, b->where, 2));
	for (size_t k = 0; k < SAMPLE && k < seen->bytes; k += 8) {
		uint64_t word = peek(child, seen->buffer + k);

		memcpy(seen->content + k, &word, 8);
	}
}

static void check(const struct call *c, const struct seen *seen)
{
	bool reads = (c->kind == READ || c->kind == READ_EX) && c->returned > 0;

	assert_int_equal(seen->reads, reads);
	if (!reads)
		return;
	assert_int_equal(seen->session, c->session);
	assert_int_equal(seen->buffer, c->buffer);
	assert_int_equal(seen->bytes, c->bytes);
	assert_memory_equal(seen->content, c->content, c->bytes < SAMPLE ? c->bytes : SAMPLE);
}

/* Runs to the next breakpoint and over it. -1: the child has ended. */
static int next(pid_t child, struct breakpoint *b, int n, struct seen *seen)
{
	struct user_regs_struct r;
	int status, i = 0;

	assert_int_equal(ptrace(PTRACE_CONT, child, NULL, NULL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status)) {
		assert_int_equal(WEXITSTATUS(status), 0);
		return -1;
	}
	assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
	assert_int_equal(ptrace(PTRACE_GETREGS, child, NULL, &r), 0);
	r.rip--;
	while (i < n && b[i].addr != r.rip)
		i++;
	assert_true(i < n);
	look(child, &b[i], seen);
	assert_int_equal(ptrace(PTRACE_SETREGS, child, NULL, &r), 0);
	set(child, &b[i], false);
	assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	set(child, &b[i], true);
	return i;
}

/* A breakpoint belongs to the call that the story has come to; when that has moved on, the ones before are complete. */
static void follow(pid_t child, struct breakpoint *b, int n, const struct story *s)
{
	static struct seen seen[CALLS_MAX + 1];
	unsigned kinds[4] = { 0 };
	struct seen now;

	memset(seen, 0, sizeof(seen));
	for (;;) {
		size_t at = s->n;

		memset(&now, 0, sizeof(now));
		if (next(child, b, n, &now) < 0)
			break;
		at = s->n;
		assert_true(at < CALLS_MAX);
		if (now.reads) {
			now.reads += seen[at].reads;
			seen[at] = now;
		}
	}
	for (size_t i = 0; i < s->n; i++) {
		check(&s->calls[i], &seen[i]);
		kinds[s->calls[i].kind] += s->calls[i].returned > 0;
	}
	printf("%zu calls; %u read, %u read_ex, %u peek, %u peek_ex gave something;", s->n, kinds[0], kinds[1],
	       kinds[2], kinds[3]);
	for (int i = 0; i < 4; i++)
		assert_true(kinds[i] > ROUNDS / 8);
}

static void compare(void *h, void *crypto)
{
	struct story *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct breakpoint b[8];
	struct tls_library *lib;
	struct link_map *map;
	struct api a;
	int status, n = 0;
	pid_t child;
	struct err e;

	assert_ptr_not_equal(s, MAP_FAILED);
	assert_int_equal(dlinfo(h, RTLD_DI_LINKMAP, &map), 0);
	assert_int_equal(look_into(map->l_name, &lib, &e), 0);
	assert_true(tls_api(h, crypto, &a.base));
	a.peek = (__typeof__(a.peek))dlsym(h, "SSL_peek");
	a.peek_ex = (__typeof__(a.peek_ex))dlsym(h, "SSL_peek_ex");
	a.renegotiate = (__typeof__(a.renegotiate))dlsym(h, "SSL_renegotiate");
	assert_true(a.peek && a.peek_ex && a.renegotiate);
	child = fork();
	if (!child)
		speak(&a, s);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSTOPPED(status));
	for (size_t i = 0; i < lib->n_inside; i++) {
		if (lib->inside[i].job != TLS_READ_AT)
			continue;
		/* In these libraries code lies in the file as it does in memory. */
		b[n] = (struct breakpoint){ map->l_addr + lib->inside[i].offset, lib->inside[i].where, 0, 0, 0 };
		b[n].was = (long)peek(child, b[n].addr);
		set(child, &b[n], true);
		n++;
	}
	assert_int_equal(n, 2);
	follow(child, b, n, s);
	printf(" reads seen %lu and %lu, of %lu and %lu passed\n", b[0].reads, b[1].reads, b[0].hits, b[1].hits);
	/* The second place is the one of the second reading. */
	assert_int_equal(b[1].reads, 1);
	munmap(s, sizeof(*s));
	tls_library__free(lib);
}

static void what_is_found_inside_openssl_3_is_what_its_calls_came_to(void **state)
{
	void *h = dlopen("libssl.so.3", RTLD_NOW), *crypto = dlopen("libcrypto.so.3", RTLD_NOW);

	if (!h || !crypto) {
		printf("skipped: %s\n", dlerror());
		skip();
	}
	compare(h, crypto);
}

static void what_is_found_inside_openssl_1_1_too(void **state)
{
	void *h, *crypto;

	NEED_FOREIGN(FOREIGN "bullseye-amd64/usr/lib/x86_64-linux-gnu/libssl.so.1.1");
	crypto = dlopen(FOREIGN "bullseye-amd64/usr/lib/x86_64-linux-gnu/libcrypto.so.1.1", RTLD_NOW);
	h = crypto ? dlopen(FOREIGN "bullseye-amd64/usr/lib/x86_64-linux-gnu/libssl.so.1.1", RTLD_NOW) : NULL;
	if (!h) {
		printf("skipped: %s\n", dlerror());
		skip();
	}
	compare(h, crypto);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_found_inside_openssl_3_is_what_its_calls_came_to),
		cmocka_unit_test(what_is_found_inside_openssl_1_1_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
