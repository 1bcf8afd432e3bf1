/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is said to be in registers and on the stack, against the processor: functions made up at random are stepped
 * through, and before every instruction what is claimed has to be so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "dice.h"
#include "stepper.h"
#include "tls/flow.h"

#define FUNCTIONS 400
#define CALLS     3 /* of each */
#define ROOM      1024
#define WRITTEN   40 /* from there on the session's memory is written by the functions */

/*
 * What functions are made of. After the prologue r15 is the first argument and r14 stays as it is; below rsp are 72
 * bytes to play with. A word is: its length, where in it the displacement of a call is (0: nowhere), whom it calls.
 */
__asm__(".pushsection .rodata\n"
        ".macro w text; .byte 2f-1f, 0, 0; 1: \\text; 2:; .endm\n"
        ".macro c before, whom, after\n"
        ".byte 3f-1f, 2f-1f-4, \\whom; 1: \\before; .byte 0xe8, 0, 0, 0, 0; 2: \\after; 3:\n"
        ".endm\n"
        "words:\n"
        "w \"mov %rdi, %rbx\"\n w \"mov %rsi, %rbp\"\n w \"mov %rdx, %r12\"\n w \"mov %rcx, %r13\"\n"
        "w \"mov %rbx, %rdi\"\n w \"mov %rbp, %rsi\"\n w \"mov %r12, %rax\"\n w \"mov %r8, %r12\"\n"
        "w \"mov %ecx, %r13d\"\n w \"mov %eax, %ebp\"\n w \"mov %r12d, %eax\"\n w \"movslq %edx, %rdx\"\n"
        "w \"mov %rbx, 8(%rsp)\"\n w \"mov 8(%rsp), %rbx\"\n w \"mov %rsi, 16(%rsp)\"\n w \"mov 16(%rsp), %rdi\"\n"
        "w \"mov %ebp, 12(%rsp)\"\n w \"mov 12(%rsp), %ebp\"\n w \"mov %eax, 28(%rsp)\"\n w \"mov 28(%rsp), %eax\"\n"
        "w \"mov 24(%rsp), %rax\"\n w \"mov %r12, 20(%rsp)\"\n w \"mov 20(%rsp), %r12\"\n w \"mov 16(%rsp), %eax\"\n"
        "w \"movb $9, 17(%rsp)\"\n w \"movw $9, 30(%rsp)\"\n w \"movl $3, 8(%rsp)\"\n w \"movq $3, 16(%rsp)\"\n"
        "w \"xor %eax, %eax\"\n w \"mov $5, %ebp\"\n w \"mov $-1, %eax\"\n w \"mov $1, %r12d\"\n"
        "w \"mov $0x1234567890, %rax\"\n w \"sub %ebp, %ebp\"\n w \"mov $-2, %rdx\"\n w \"xor %ah, %ah\"\n"
        "compares: w \"test %eax, %eax\"\n w \"cmp $-1, %eax\"\n w \"and $1, %r12d\"\n w \"and $1, %eax\"\n"
        "w \"test %rbp, %rbp\"\n w \"cmp $1, %r12\"\n w \"or %eax, %ebp\"\n w \"cmp $5, %ebp\"\n"
        "w \"cmp %eax, %ebp\"\n w \"test %al, %al\"\n w \"cmpl $3, 8(%rsp)\"\n w \"test $1, %eax\"\n"
        "compares_end: w \"push %rbx; pop %r12\"\n w \"push %r12; pop %rax\"\n w \"push %rbp; mov (%rsp), %rax; pop %rcx\"\n"
        "w \"push $7; pop %rbp\"\n w \"pushq 8(%rsp); pop %rdx\"\n w \"push %rsi; add $8, %rsp\"\n"
        "w \"sub $16, %rsp; mov %rbx, 8(%rsp); add $16, %rsp\"\n w \"push %rcx; popq 8(%rsp)\"\n"
        "w \"push %rbp; mov %rsp, %rbp; mov %rdi, -8(%rbp); leave\"\n w \"push %rbx; mov %eax, 12(%rsp); pop %rbx\"\n"
        "w \"mov 8(%r15), %rax\"\n w \"mov 8(%r15), %rdx; mov 16(%rdx), %rax\"\n w \"mov 8(%r15), %eax\"\n"
        "w \"movl $1, 64(%r15)\"\n w \"mov %rbx, 72(%r15)\"\n w \"mov 8(%r15), %rdi; mov 24(%rdi), %rdi\"\n"
        "w \"mov %rsp, %rcx; mov %rax, 16(%rcx)\"\n w \"lea 16(%rsp), %rdx; mov %r12, (%rdx)\"\n"
        "w \"lea 8(%rsp), %r12\"\n w \"mov %rsp, %rax; add $16, %rax; movl $2, (%rax)\"\n"
        "w \"mov $2, %eax; movl $9, 4(%rsp,%rax,4)\"\n w \"mov %rsp, %rax; xor %edx, %edx; movl $4, 8(%rax,%rdx,8)\"\n"
        "w \"mov %rsp, %rax; mov $8, %ecx; add %rcx, %rax; mov %rbx, (%rax)\"\n"
        "w \"mov %rsp, %rax; mov %rsp, %r8; and $-64, %rax; sub %rax, %r8; mov %rsi, 8(%rax,%r8)\"\n"
        "w \"movq %rbx, %xmm1; movq %rbp, %xmm0; punpcklqdq %xmm1, %xmm0; movups %xmm0, 16(%rsp)\"\n"
        "w \"xchg %rbx, %rbp\"\n w \"xchg %rax, 8(%rsp)\"\n w \"cmove %rsi, %rbp\"\n w \"cmovg 8(%rsp), %eax\"\n"
        "w \"sete %al\"\n w \"imul %edx, %eax\"\n w \"mul %rcx\"\n w \"cltq\"\n w \"cqto\"\n w \"bsf %rdx, %r13\"\n"
        "w \"addl $1, 8(%rsp)\"\n w \"lea 1(%rax), %ebp\"\n w \"lea (%rbx,%rbp), %r13\"\n w \"add $8, %rbx\"\n"
        "w \"sbb %eax, %eax\"\n w \"bswap %rbx\"\n w \"xadd %rax, 16(%rsp)\"\n w \"mov %rbx, %rbx\"\n w \"nop\"\n"
        "w \"mov %rbx, 8(%rsp); xor %edx, %edx; addl $1, 8(%rsp,%rdx,8); mov 8(%rsp), %r13\"\n"
        "w \"cmp $1, %eax; jg 3f; mov $1, %eax; 3:\"\n w \"cmp $7, %ebp; je 3f; mov $7, %ebp; 3:\"\n"
        "w \"lea 16(%rsp), %rax; mov %rax, 48(%r15); mov 48(%r15), %rcx; addl $1, (%rcx)\"\n"
        "w \"lea 8(%rsp), %rax; mov %rax, 48(%r15); mov 48(%r15), %rcx; mov %rbx, (%rcx)\"\n"
        /* Each with something to lose, and a look at it. */
        "w \"mov %rbx, 8(%rsp); xor %edx, %edx; mov %rsi, 8(%rsp,%rdx,8); mov 8(%rsp), %r13\"\n"
        "w \"lea 16(%rsp), %rax; mov %rax, 48(%r15); mov %rbx, 16(%rsp); mov 48(%r15), %rcx; addl $1, (%rcx); mov 16(%rsp), %r13\"\n"
        "w \"mov %rsp, %rax; mov $8, %ecx; add %rcx, %rax; mov %rbx, 8(%rsp); mov %rsi, (%rax); mov 8(%rsp), %r13\"\n"
        "w \"push %rbp; mov %rsp, %rbp; sub $24, %rsp; mov %rdi, -8(%rbp); leave\"\n"
        "w \"mov %rbx, 16(%rsp); mov %rsi, 20(%rsp); mov 16(%rsp), %r13; mov 24(%rsp), %eax\"\n"
        "w \"mov %rbx, 16(%rsp); mov %rsi, 12(%rsp); mov 16(%rsp), %r13; mov 20(%rsp), %ebp\"\n"
        "w \"test %edx, %edx; js 3f; lea 16(%rsp), %rax; mov %rax, 48(%r15); 3: mov %rbx, 16(%rsp); mov 48(%r15), %rcx;"
        " test %rcx, %rcx; je 4f; movq $5, (%rcx); 4: mov 16(%rsp), %r13\"\n"
        "w \"mov $3, %ebp; cmp $3, %ebp; jge 3f; cmp $5, %eax; 3: jne 4f; nop; 4:\"\n"
        "w \"mov %rbx, 24(%rsp); movups %xmm0, 16(%rsp); mov 24(%rsp), %r13\"\n"
        "w \"mov $-3, %r13d; test %rbp, %rbp; js 3f; xor %r13d, %r13d; 3:\"\n"
        "w \"mov $1, %ebp; test %edx, %edx; js 3f; mov $-7, %ebp; 3:\"\n"
        "w \"mov $9, %eax; test %rbx, %rbx; jle 3f; mov $1, %eax; 3:\"\n"
        "c \"nop\", 0, \"nop\"\n c \"mov %rbx, %rdi\", 0, \"mov %eax, %ebp\"\n c \"nop\", 0, \"test %eax, %eax\"\n"
        "c \"sub $8, %rsp; push %rbx\", 0, \"pop %rcx; pop %rsi\"\n c \"mov %eax, 28(%rsp)\", 0, \"mov 28(%rsp), %eax\"\n"
        "c \"lea 16(%rsp), %rdx\", 1, \"nop\"\n c \"mov %rsp, %rdx; add $24, %rdx\", 1, \"nop\"\n"
        "c \"lea 8(%rsp), %rdx; mov %rdx, 40(%r15); xor %edx, %edx\", 2, \"nop\"\n"
        "words_end: .popsection\n"
        /* What is called: spoils all that it may, and what it has been told of. */
        ".pushsection .text\n"
        "keeps: mov %rdx, kept(%rip); jmp spoils\n"
        "finds: mov 40(%r15), %rax; mov %rax, kept(%rip)\n"
        "spoils: mov kept(%rip), %rax; test %rax, %rax; je 1f\n"
        "movq $0x77, (%rax); movq $0x78, 8(%rax); movl $0x79, -4(%rax)\n"
        "1: incl turn(%rip); mov turn(%rip), %eax; and $3, %eax; dec %eax\n"
        "mov $0x61, %edi; mov $0x62, %esi; mov $0x63, %edx; mov $0x64, %ecx\n"
        "mov %rdi, %r8; mov %rdi, %r9; mov %rdi, %r10; mov %rdi, %r11; mov %rdi, -8(%rsp); mov %rdi, -16(%rsp); ret\n"
        ".popsection\n"
        ".pushsection .bss; .balign 8; kept: .quad 0; turn: .long 0; .popsection\n");
extern const uint8_t words[], words_end[], compares[], compares_end[];
extern char keeps[], finds[], spoils[];
extern uint64_t kept;

static const char *const callees[] = { spoils, keeps, finds };

#define WORDS_MAX 160
static const uint8_t *word_at[WORDS_MAX];
static unsigned n_words, first_compare, n_compares;

struct made {
	uint8_t *code;
	size_t len;
	struct graph g;
	struct flow f;
};

/* Beside the text, so that calls reach it. */
static uint8_t arena[FUNCTIONS * ROOM] __attribute__((aligned(4096)));
static struct made made[FUNCTIONS];
static uint64_t session[16], table[8];

static void word(struct made *m, unsigned i)
{
	const uint8_t *w = word_at[i];
	int32_t far;

	memcpy(m->code + m->len, w + 3, w[0]);
	if (w[1]) {
		far = (int32_t)(callees[w[2]] - (char *)(m->code + m->len + w[1] + 4));
		memcpy(m->code + m->len + w[1], &far, sizeof(far));
	}
	m->len += w[0];
}

static void bytes(struct made *m, const char *b, size_t n)
{
	memcpy(m->code + m->len, b, n);
	m->len += n;
}

/* push rbx, rbp, r12, r13, r15; mov %rdi,%r15; sub $72,%rsp */
#define PROLOGUE "\x53\x55\x41\x54\x41\x55\x41\x57\x49\x89\xff\x48\x83\xec\x48"
#define EPILOGUE "\x48\x83\xc4\x48\x41\x5f\x41\x5d\x41\x5c\x5d\x5b\xc3"

/* Blocks in a row; each ends by going on, by a jump forward or, counted, backward, or by a return. */
static void make(struct dice *d, struct made *m)
{
	unsigned n = 2 + dice_below(d, 6), fix[8], to[8], n_fix = 0;
	size_t start[9];

	m->len = 0;
	bytes(m, PROLOGUE, sizeof(PROLOGUE) - 1);
	for (unsigned b = 0; b < n; b++) {
		start[b] = m->len;
		for (unsigned i = dice_below(d, 7) + !b; i; i--)
			word(m, dice_below(d, n_words));
		if (b == n - 1)
			break;
		if (dice_below(d, 2))
			word(m, first_compare + dice_below(d, n_compares));
		switch (dice_below(d, 10)) {
		case 0 ... 1: /* je, jne forward */
			m->code[m->len++] = (uint8_t)(0x74 + dice_below(d, 2));
			to[n_fix] = b + 1 + dice_below(d, n - b - 1);
			fix[n_fix++] = (unsigned)m->len++;
			break;
		case 2: /* others */
			m->code[m->len++] = (uint8_t)(0x70 + dice_below(d, 16));
			to[n_fix] = b + 1 + dice_below(d, n - b - 1);
			fix[n_fix++] = (unsigned)m->len++;
			break;
		case 3:
		case 8: /* jmp forward: nothing runs on into what follows */
			m->code[m->len++] = 0xeb;
			to[n_fix] = b + 1 + dice_below(d, n - b - 1);
			fix[n_fix++] = (unsigned)m->len++;
			break;
		case 4 ... 5: /* dec %r14d; jg back: the caller sets it to 3 */
			bytes(m, "\x41\xff\xce\x7f", 4);
			to[n_fix] = dice_below(d, b + 1);
			fix[n_fix++] = (unsigned)m->len++;
			break;
		case 6:
			bytes(m, EPILOGUE, sizeof(EPILOGUE) - 1);
			break;
		default:
			break;
		}
	}
	bytes(m, EPILOGUE, sizeof(EPILOGUE) - 1);
	for (unsigned i = 0; i < n_fix; i++) {
		long far = (long)start[to[i]] - (long)fix[i] - 1;

		/* A jump that does not reach goes on. */
		m->code[fix[i]] = far < -128 || far > 127 ? 0 : (uint8_t)far;
	}
}

static size_t read_own(void *ctx, uint64_t addr, uint8_t *buf, size_t len)
{
	memcpy(buf, (const void *)(uintptr_t)addr, len);
	return len;
}

static void make_all(void)
{
	struct code c = { .decoder = decoder__new(EM_X86_64), .read = read_own };
	struct dice d = { 77 };

	assert_non_null(c.decoder);
	for (const uint8_t *w = words; w < words_end; w += 3 + w[0]) {
		if (w == compares)
			first_compare = n_words;
		n_compares += w >= compares && w < compares_end;
		word_at[n_words++] = w;
	}
	assert_true(n_words <= WORDS_MAX);
	assert_int_equal(mprotect(arena, sizeof(arena), PROT_READ | PROT_WRITE | PROT_EXEC), 0);
	for (unsigned i = 0; i < FUNCTIONS; i++) {
		struct made *m = &made[i];

		m->code = arena + i * ROOM;
		make(&d, m);
		assert_true(m->len < ROOM);
		assert_int_equal(graph__build(&m->g, &c, (uintptr_t)m->code, m->len, 0), 0);
		assert_int_equal(flow__new(&m->f, &m->g, &c), 0);
		assert_int_equal(flow__run(&m->f), 0);
	}
	decoder__free(c.decoder);
}

static void call_all(void)
{
	struct dice d = { 4711 };

	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	session[1] = (uintptr_t)table;
	for (unsigned i = 0; i < FUNCTIONS; i++)
		for (unsigned j = 0; j < CALLS; j++) {
			uint64_t b = dice_below(&d, 5) - 2ull, n = dice_word(&d), k = dice_below(&d, 4) - 1ull;
			uint64_t *a = session;

			kept = 0;
			session[5] = session[6] = 0;
			STEPPED_CALL(__asm__ volatile("sub $136,%%rsp; mov $3,%%r14d; call *%4; add $136,%%rsp"
			                              : "+D"(a), "+S"(b), "+d"(n), "+c"(k)
			                              : "r"(made[i].code)
			                              : "rax", "r8", "r9", "r10", "r11", "r14", "xmm0", "xmm1",
			                                "memory", "cc"));
		}
	_exit(0);
}

/* One call that is stepped through. */
struct run {
	pid_t child;
	const struct made *m;
	struct user_regs_struct entry;
	uint64_t made_value[FLOW_NODES_MAX];
	bool made_known[FLOW_NODES_MAX];
	unsigned long claims[VALUE_REST + 1];
};

static uint64_t peek(pid_t child, uint64_t addr)
{
	errno = 0;
	return (uint64_t)ptrace(PTRACE_PEEKDATA, child, (void *)addr, NULL);
}

static uint64_t argument(const struct user_regs_struct *r, int k)
{
	const unsigned long long v[] = { r->rdi, r->rsi, r->rdx, r->rcx, r->r8, r->r9 };

	return v[k];
}

static unsigned int sort(int32_t v)
{
	return v <= 0 ? SORT_NOT_POSITIVE : v == 1 ? SORT_ONE : SORT_MORE;
}

static void check_claim(struct run *x, const struct value *v, uint64_t is)
{
	x->claims[v->kind]++;
	switch (v->kind) {
	case VALUE_ARG:
		assert_int_equal(is, argument(&x->entry, v->a));
		break;
	case VALUE_FRAME:
		assert_int_equal(is, x->entry.rsp + (uint64_t)v->n);
		break;
	case VALUE_FIELD: /* as it was when it was read: those behind are written, too */
		if (v->a < WRITTEN)
			assert_int_equal(is, peek(x->child, x->entry.rdi + (uint64_t)v->a));
		break;
	case VALUE_ENTRY:
		assert_int_equal(is, peek(x->child, peek(x->child, x->entry.rdi + (uint64_t)v->a) + (uint64_t)v->n));
		break;
	case VALUE_CONST:
		assert_int_equal((uint32_t)is, (uint32_t)v->n);
		break;
	case VALUE_CONSTS:
		assert_true(sort((int32_t)is) & (unsigned int)v->a);
		break;
	case VALUE_MADE:
		if (x->made_known[v->a])
			assert_int_equal((uint32_t)is, (uint32_t)x->made_value[v->a]);
		x->made_value[v->a] = is;
		x->made_known[v->a] = true;
		break;
	default:
		assert_int_equal(v->kind, VALUE_UNKNOWN);
	}
}

static void check_state(struct run *x, const struct flow_state *s, const struct user_regs_struct *r)
{
	const unsigned long long regs[] = { r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
		                            r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15 };

	assert_true(s->reached);
	for (int i = 0; i < FLOW_REGS; i++)
		check_claim(x, &s->regs[i], regs[i]);
	for (int i = 0; i < FLOW_SLOTS; i++)
		if (s->slots[i].kind != VALUE_UNKNOWN && s->slots[i].kind != VALUE_REST)
			check_claim(x, &s->slots[i], peek(x->child, x->entry.rsp + (uint64_t)(i * 4 - FLOW_FRAME)));
}

static size_t node_at(const struct graph *g, uint64_t addr)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->nodes[i].in.at == addr)
			return i;
	return g->n;
}

/* From the int3 before the call until it has returned. */
static void step_through(struct run *x)
{
	uint64_t first = (uintptr_t)x->m->code;
	struct user_regs_struct r;
	bool inside = false;
	int status;

	memset(x->made_known, 0, sizeof(x->made_known));
	while (!ptrace(PTRACE_GETREGS, x->child, NULL, &r)) {
		size_t i = node_at(&x->m->g, r.rip);

		if (r.rip == first) {
			inside = true;
			x->entry = r;
		}
		if (inside && r.rsp == x->entry.rsp + 8)
			return;
		if (inside && i < x->m->g.n) {
			check_state(x, &x->m->f.before[0][i], &r);
			x->made_known[i] = false;
		}
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, x->child, NULL, NULL), 0);
		assert_int_equal(waitpid(x->child, &status, 0), x->child);
		assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
	}
	fail();
}

static void what_is_said_to_be_in_registers_and_on_the_stack_is_there(void **state)
{
	static struct run x;
	int status = 0;

	make_all();
	x.child = fork();
	if (!x.child)
		call_all();
	for (unsigned i = 0; i < FUNCTIONS; i++) {
		x.m = &made[i];
		for (unsigned j = 0; j < CALLS; j++) {
			if (!i && !j)
				assert_int_equal(waitpid(x.child, &status, 0), x.child);
			else
				assert_true(stepper_next(x.child, &status));
			step_through(&x);
		}
		flow__free(&made[i].f);
		graph__free(&made[i].g);
	}
	assert_false(stepper_next(x.child, &status));
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	printf("claims: %lu arguments, %lu addresses, %lu fields, %lu entries, %lu constants, %lu of several, %lu made\n",
	       x.claims[VALUE_ARG], x.claims[VALUE_FRAME], x.claims[VALUE_FIELD], x.claims[VALUE_ENTRY],
	       x.claims[VALUE_CONST], x.claims[VALUE_CONSTS], x.claims[VALUE_MADE]);
	for (int i = VALUE_ARG; i <= VALUE_MADE; i++)
		assert_true(x.claims[i] > 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_said_to_be_in_registers_and_on_the_stack_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
