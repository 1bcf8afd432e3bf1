// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/trap.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "capture/features.h"
#include "capture/uprobe.h"

#define BATCHES 7 /* the least disturbed of them counts */

/* Two functions, of which the kernel emulates the first instruction, or not. */
void trap_emulated(void);
void trap_stepped(void);

#if defined(__x86_64__)
#define EMULATED "push %rbp\n\tpop %rbp\n\tret\n"
#define STEPPED  "xor %eax, %eax\n\tret\n"
#elif defined(__aarch64__)
#define EMULATED "b 1f\n1:\n\tret\n"
#define STEPPED  "mov x0, xzr\n\tret\n"
#endif

#ifdef EMULATED
#define FUNCTION(name, code)                                                                                         \
	".p2align 4\n.globl " name "\n.hidden " name "\n.type " name ", @function\n" name ":\n\t" code ".size " name \
	", . - " name "\n"
__asm__(".text\n" FUNCTION("trap_emulated", EMULATED) FUNCTION("trap_stepped", STEPPED));
#endif

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double time_of(void (*function)(void), int calls)
{
	double least = INFINITY;

	for (int i = 0; i < BATCHES; i++) {
		double start = seconds(), took;

		for (int k = 0; k < calls; k++)
			function();
		took = (seconds() - start) / calls;
		if (took < least)
			least = took;
	}
	return least;
}

/* In the same way as libraries are watched. */
static bool by_many(void)
{
	return features__try()[FEATURE_UPROBE_MANY].ok;
}

/* A program that does nothing: what it takes is the trap's. */
static int empty_program(void)
{
	static const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, o, .expected_attach_type = by_many() ? UPROBE_MANY_TYPE : 0);
	int fd = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "tw_nothing", "GPL", nothing, 2, &o);

	return fd < 0 ? -errno : fd;
}

static int prepared = -1;

int trap_cost__prepare(void)
{
	if (prepared < 0)
		prepared = empty_program();
	return prepared < 0 ? prepared : 0;
}

struct probes {
	int prog, fds[3];
	size_t n;
};

/* Seconds that a call takes more once the function is trapped there, too. Negative: an errno. */
static double added(struct probes *p, void (*function)(void), bool at_return, int calls)
{
	const struct uprobe u = { .prog = p->prog, .pid = getpid(), .path = "/proc/self/exe", .at_return = at_return };
	double before = time_of(function, calls), after;
	uint64_t offset;
	int fd;

	if (uprobe__own_offset((const void *)function, &offset))
		return -ENOENT;
	fd = by_many() ? uprobe__attach_many(&u, &offset, NULL, 1) : uprobe__attach(&u, offset, 0);
	if (fd < 0)
		return fd;
	p->fds[p->n++] = fd;
	after = time_of(function, calls);
	return after > before ? after - before : 0;
}

static int measure(struct probes *p, struct trap_cost *c)
{
#ifdef EMULATED
	c->emulated = added(p, trap_emulated, false, 300);
	c->returned = c->emulated < 0 ? c->emulated : added(p, trap_emulated, true, 300);
	c->stepped = c->returned < 0 ? c->returned : added(p, trap_stepped, false, 30);
	return c->stepped < 0 ? (int)c->stepped : 0;
#else
	return -ENOTSUP;
#endif
}

int trap_cost__measure(struct closer *closer, struct trap_cost *out)
{
	int err = trap_cost__prepare(), *fds = calloc(3, sizeof(*fds));
	struct probes p = { .prog = prepared };

	if (!err)
		err = measure(&p, out);

	for (size_t i = 0; i < p.n; i++) {
		if (fds)
			fds[i] = p.fds[i];
		else
			close(p.fds[i]);
	}
	if (fds)
		closer__add(closer, fds, 0, p.n, getpid());
	if (p.prog >= 0)
		close(p.prog);
	prepared = -1;
	if (err)
		*out = (struct trap_cost){ NAN, NAN, NAN };
	return err;
}
