/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Places in functions made up at random, against the processor: whatever path a call takes, the arguments are where
 * they were at the first byte, the result is what the caller gets, and each is passed once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "dice.h"
#include "stepper.h"
#include "tls/place.h"

#define FUNCTIONS 400
#define CALLS     6 /* of each */
#define ROOM      512

#define RAX  1u
#define RDX  (1u << 2)
#define ARGS (1u << 7 | 1u << 6 | RDX)

/* Each changes something that matters, or looks as if it did. */
static const char *const words[] = {
	"\xb8\x05\x00\x00\x00", /* mov $5,%eax */
	"\x31\xc0",             /* xor %eax,%eax */
	"\x89\xd0",             /* mov %edx,%eax */
	"\x48\x01\xf8",         /* add %rdi,%rax */
	"\xbf\x07\x00\x00\x00", /* mov $7,%edi */
	"\x31\xf6",             /* xor %esi,%esi */
	"\x48\x63\xd2",         /* movslq %edx,%rdx */
	"\x89\xd2",             /* mov %edx,%edx */
	"\x85\xd2",             /* test %edx,%edx */
	"\x48\x39\xf7",         /* cmp %rsi,%rdi */
	"\x53\x5b",             /* push %rbx; pop %rbx */
	"\x41\x54\x41\x5c",     /* push %r12; pop %r12 */
	"\x50\x5a",             /* push %rax; pop %rdx */
	"\x90",                 /* nop */
	"\x49\x90",             /* xchg %rax,%r8 */
	"\x0f\x94\xc0",         /* sete %al */
	"\x0f\x48\xc1",         /* cmovs %ecx,%eax */
	"\x0f\xaf\xc2",         /* imul %edx,%eax */
	"\xf7\xe1",             /* mul %ecx */
	"\x48\x92",             /* xchg %rax,%rdx */
	"\x48\x98",             /* cltq */
	"\x48\x99",             /* cqto */
	"\xff\xc6",             /* inc %esi */
	"\x0f\xc8",             /* bswap %eax */
	"\xb4\x01",             /* mov $1,%ah */
	"\x48\x89\xd1",         /* mov %rdx,%rcx */
	"\x0f\xc1\xd0",         /* xadd %edx,%eax */
	"\x0f\xb1\xd1",         /* cmpxchg %edx,%ecx */
	"\x66\x0f\x6e\xc0",     /* movd %eax,%xmm0 */
	"\x66\x0f\x7e\xc0",     /* movd %xmm0,%eax */
	"\x0f\xa2",             /* cpuid: it changes rbx, which the caller saves here */
	"\xe8",                 /* call: the displacement is filled in */
};
#define N_WORDS (sizeof(words) / sizeof(*words))
static const uint8_t lengths[N_WORDS] = { 5, 2, 2, 3, 5, 2, 3, 2, 2, 3, 2, 4, 2, 1, 2, 3,
	                                  3, 3, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 4, 4, 2, 5 };

struct made {
	uint8_t *code;
	size_t len;
	struct placement p;
};

static uint8_t *arena;
static struct made made[FUNCTIONS];

/* The function that is called spoils what it may. */
static const uint8_t callee[] = { 0xb8, 0x63, 0, 0, 0, 0x31, 0xff, 0x31, 0xf6, 0x31, 0xd2, 0x31, 0xc9, 0xc3 };

static void word(struct made *m, unsigned i)
{
	int32_t far;

	memcpy(m->code + m->len, words[i], lengths[i] == 5 && words[i][0] == '\xe8' ? 1 : lengths[i]);
	m->len += lengths[i];
	if (i == N_WORDS - 1) {
		far = (int32_t)(arena - (m->code + m->len));
		memcpy(m->code + m->len - 4, &far, sizeof(far));
	}
}

static void leave(struct made *m, bool framed)
{
	size_t n = framed ? 4 : 0;

	memcpy(m->code + m->len, "\x48\x83\xc4\x08", n); /* add $8,%rsp */
	m->len += n;
	m->code[m->len++] = 0xc3;
}

/* Blocks in a row; each ends by going on, by a jump forward or, counted, backward, or by a return. */
static void make(struct dice *d, struct made *m)
{
	unsigned n = 2 + dice_below(d, 6), fix[8], to[8], n_fix = 0;
	size_t start[9];
	bool framed;

	/* Half of them keep something on the stack, and their return address is further down. */
	framed = dice_below(d, 2);
	m->len = framed ? 4 : 0;
	memcpy(m->code, "\x48\x83\xec\x08", m->len); /* sub $8,%rsp */
	for (unsigned b = 0; b < n; b++) {
		start[b] = m->len;
		for (unsigned i = dice_below(d, 5) + !b; i; i--)
			word(m, dice_below(d, dice_below(d, 3) ? 14 : N_WORDS));
		if (b == n - 1)
			break;
		switch (dice_below(d, 9)) {
		case 0 ... 3: /* jcc forward */
			m->code[m->len++] = (uint8_t)(0x70 + dice_below(d, 16));
			to[n_fix] = b + 1 + dice_below(d, n - b - 1);
			fix[n_fix++] = (unsigned)m->len++;
			break;
		case 4: /* jmp forward */
			m->code[m->len++] = 0xeb;
			to[n_fix] = b + 1 + dice_below(d, n - b - 1);
			fix[n_fix++] = (unsigned)m->len++;
			break;
		case 5: /* dec %r10d; jg back, but not to the first byte: the caller sets it to 3 */
			if (!b)
				break;
			memcpy(m->code + m->len, "\x41\xff\xca\x7f", 4);
			m->len += 4;
			to[n_fix] = 1 + dice_below(d, b);
			fix[n_fix++] = (unsigned)m->len++;
			break;
		case 7: /* jrcxz forward, which the kernel does not emulate */
			m->code[m->len++] = 0xe3;
			to[n_fix] = b + 1 + dice_below(d, n - b - 1);
			fix[n_fix++] = (unsigned)m->len++;
			break;
		case 6:
			leave(m, framed);
			break;
		default:
			break;
		}
	}
	leave(m, framed);
	for (unsigned i = 0; i < n_fix; i++)
		m->code[fix[i]] = (uint8_t)(start[to[i]] - fix[i] - 1);
}

static size_t read_own(void *ctx, uint64_t addr, uint8_t *buf, size_t len)
{
	memcpy(buf, (const void *)(uintptr_t)addr, len);
	return len;
}

static void make_all(void)
{
	struct code c = { .decoder = decoder__new(EM_X86_64), .read = read_own };
	const struct place_want want = { .args = ARGS, .halves = RDX, .result = RAX };
	struct dice d = { 20 };

	assert_non_null(c.decoder);
	arena = mmap(NULL, (FUNCTIONS + 1) * ROOM, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	             0);
	assert_ptr_not_equal(arena, MAP_FAILED);
	memcpy(arena, callee, sizeof(callee));
	for (unsigned i = 0; i < FUNCTIONS; i++) {
		made[i].code = arena + (i + 1) * ROOM;
		make(&d, &made[i]);
		assert_int_equal(place__find(&c, (uintptr_t)made[i].code, made[i].len, &want, &made[i].p), 0);
	}
	decoder__free(c.decoder);
}

static void call_all(void)
{
	struct dice d = { 4711 };

	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	for (unsigned i = 0; i < FUNCTIONS; i++)
		for (unsigned j = 0; j < CALLS; j++) {
			uint64_t a = dice_below(&d, 5) - 2ull, b = dice_below(&d, 5) - 2ull, n = dice_word(&d),
				 c = dice_below(&d, 2);

			STEPPED_CALL(__asm__ volatile(
				"sub $136,%%rsp; push %%rbx; mov $3,%%r10d; call *%4; pop %%rbx; add $136,%%rsp"
				: "+D"(a), "+S"(b), "+d"(n), "+c"(c)
				: "r"(made[i].code)
				: "rax", "r8", "r9", "r10", "r11", "xmm0", "memory", "cc"));
		}
	_exit(0);
}

static void check_call(const struct made *m, const struct stepped *s)
{
	const struct spot *in = &s->spots[0];
	unsigned results = 0;

	assert_int_equal(in->passed, 1);
	assert_int_equal(in->regs.rdi, s->entry.rdi);
	assert_int_equal(in->regs.rsi, s->entry.rsi);
	assert_int_equal((uint32_t)in->regs.rdx, (uint32_t)s->entry.rdx);
	if (m->p.out[0].how == TLS_URETPROBE) {
		assert_int_equal(s->spots[1].passed, 1);
		assert_int_equal(s->spots[1].regs.rsp, s->entry.rsp);
		return;
	}
	for (unsigned i = 1; i < s->n_spots; i++) {
		results += s->spots[i].passed;
		if (s->spots[i].passed)
			assert_int_equal(s->spots[i].regs.rax, s->back.rax);
	}
	assert_int_equal(results, 1);
}

static void whatever_path_a_call_takes_arguments_and_result_are_seen_once_and_right(void **state)
{
	unsigned in_emulated = 0, in_moved = 0, out_emulated = 0, out_stepped = 0;
	int status = 0;
	pid_t child;

	make_all();
	child = fork();
	if (!child)
		call_all();
	for (unsigned i = 0; i < FUNCTIONS; i++) {
		struct stepped s = { .n_spots = 1 + (unsigned)made[i].p.n_out };

		s.spots[0].addr = made[i].p.in.addr;
		for (unsigned j = 1; j < s.n_spots; j++)
			s.spots[j].addr = made[i].p.out[j - 1].addr;
		for (unsigned j = 0; j < CALLS; j++) {
			if (!i && !j)
				assert_int_equal(waitpid(child, &status, 0), child);
			else
				assert_true(stepper_next(child, &status));
			assert_true(stepper_call(child, (uintptr_t)made[i].code, &s));
			check_call(&made[i], &s);
		}
		in_emulated += made[i].p.in.how == TLS_EMULATED;
		in_moved += made[i].p.in.addr != (uintptr_t)made[i].code;
		out_emulated += made[i].p.out[0].how == TLS_EMULATED;
		out_stepped += made[i].p.out[0].how == TLS_STEPPED;
	}
	assert_false(stepper_next(child, &status));
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	printf("of %d functions: arguments on an emulated instruction %u (%u not the first), result %u, stepped %u\n",
	       FUNCTIONS, in_emulated, in_moved, out_emulated, out_stepped);
	/* Otherwise little was tested. */
	assert_true(in_moved > FUNCTIONS / 4 && out_emulated > FUNCTIONS / 5 && out_stepped > FUNCTIONS / 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_path_a_call_takes_arguments_and_result_are_seen_once_and_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
