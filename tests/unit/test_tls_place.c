/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where probes are placed in functions that were written to be difficult. The assembler is the oracle of what is where:
 * each function marks with labels where its arguments and its result are still, or already, in place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tls/place.h"

#if !defined(__x86_64__)
#error "the functions below are written for x86-64"
#endif

#define RDI (1u << 7)
#define RSI (1u << 6)
#define RDX (1u << 2)
#define RCX (1u << 1)
#define RAX 1u

#define FUNCTION(name, body)                                                                                          \
	__asm__(".pushsection .rodata\n.balign 16\n" #name ":\n" body "\n" #name "_end:\n.byte 0xcc\n.popsection\n"); \
	extern const uint8_t name[], name##_end[]
#define PLACE(name) extern const uint8_t name[]

/* What OpenSSL 3's SSL_read looks like. */
FUNCTION(like_ssl_read, "sub $0x18,%rsp\n mov %fs:0x28,%rax\n mov %rax,8(%rsp)\n xor %eax,%eax\n test %edx,%edx\n"
                        "like_ssl_read_in: js 2f\n mov %rsp,%rcx\n movslq %edx,%rdx\n call aside\n test %eax,%eax\n"
                        "jle 1f\n mov (%rsp),%eax\n 1: mov 8(%rsp),%rdx\n sub %fs:0x28,%rdx\n"
                        "like_ssl_read_out: jne 3f\n add $0x18,%rsp\n xor %edx,%edx\n ret\n"
                        "2: call aside\n mov $-1,%eax\n jmp 1b\n 3: call aside\n");
PLACE(like_ssl_read_in);
PLACE(like_ssl_read_out);

/* Called, jumped to: any function. */
FUNCTION(aside, "mov $1,%eax\n ret\n");

FUNCTION(clobbered_before, "sub $8,%rsp\n mov $1,%edi\n test %eax,%eax\n js 1f\n 1: add $8,%rsp\n ret\n");
FUNCTION(clobbered_on_one_path, "sub $8,%rsp\n jrcxz 1f\n xor %esi,%esi\n 1: nop\n add $8,%rsp\n ret\n");
FUNCTION(bypassed, "sub $8,%rsp\n jrcxz 1f\n test %edx,%edx\n js 2f\n 2: add $8,%rsp\n 1: ret\n");
FUNCTION(returns_early,
         "test %rdi,%rdi\n returns_early_in: je 1f\n push %rbx\n pop %rbx\n ret\n 1: xor %eax,%eax\n ret\n");
PLACE(returns_early_in);
FUNCTION(in_a_loop, "mov %edx,%eax\n 1: dec %eax\n jne 1b\n ret\n");
FUNCTION(changes_behind_our_back, "cpuid\n test %edi,%edi\n js 1f\n 1: ret\n");
FUNCTION(exchanges, "xchg %rdi,%rbx\n nop\n ret\n");
FUNCTION(keeps_an_int, "movslq %edx,%rdx\n keeps_an_int_in: nop\n xor %eax,%eax\n ret\n");
PLACE(keeps_an_int_in);
FUNCTION(call_first, "sub $8,%rsp\n call_first_in: call aside\n xor %edx,%edx\n test %eax,%eax\n cmovs %edx,%eax\n"
                     "add $8,%rsp\n call_first_out: ret\n");
PLACE(call_first_in);
PLACE(call_first_out);
FUNCTION(pushes_first, "push %rbx\n mov %rdi,%rbx\n call aside\n pop %rbx\n ret\n");

FUNCTION(
	result_written_after,
	"sub $8,%rsp\n test %edx,%edx\n js 1f\n 1: mov $3,%ecx\n test %ecx,%ecx\n jne 2f\n 2: mov %ecx,%eax\n add $8,%rsp\n"
	"result_written_after_out: ret\n");
PLACE(result_written_after_out);
FUNCTION(result_by_partial_write, "nop\n xor %eax,%eax\n jmp 1f\n 1: sete %al\n pop %rcx\n ret\n");
FUNCTION(two_returns, "sub $8,%rsp\n test %edx,%edx\n two_returns_in: js 1f\n mov $1,%eax\n cmp %rsp,%rbp\n"
                      "two_returns_out1: jne 2f\n add $8,%rsp\n ret\n"
                      "1: mov $-1,%eax\n cmp %rsp,%rbp\n two_returns_out2: jne 2f\n add $8,%rsp\n ret\n"
                      "2: call aside\n");
PLACE(two_returns_in);
PLACE(two_returns_out1);
PLACE(two_returns_out2);
FUNCTION(result_on_one_path_only, "sub $8,%rsp\n test %edx,%edx\n js 1f\n mov $1,%eax\n jmp 2f\n 1: mov $-1,%eax\n"
                                  "2: add $8,%rsp\n result_on_one_path_only_out: ret\n");
PLACE(result_on_one_path_only_out);
FUNCTION(last_act_is_a_call, "sub $8,%rsp\n test %edx,%edx\n js 1f\n add $8,%rsp\n jmp has_a_table\n"
                             "1: mov $-1,%eax\n add $8,%rsp\n ret\n");
FUNCTION(last_act_is_a_call_by_pointer, "sub $8,%rsp\n test %edx,%edx\n js 1f\n add $8,%rsp\n jmp *aside(%rip)\n"
                                        "1: mov $-1,%eax\n add $8,%rsp\n ret\n");
FUNCTION(has_a_table, "sub $8,%rsp\n test %edi,%edi\n js 1f\n lea has_a_table(%rip),%rax\n movslq (%rax,%rdi,4),%rcx\n"
                      "add %rax,%rcx\n jmp *%rcx\n 1: xor %eax,%eax\n add $8,%rsp\n ret\n");
FUNCTION(leaves_through_a_pointer, "test %rdi,%rdi\n leaves_through_a_pointer_in: je 1f\n jmp *aside(%rip)\n 1: ret\n");
PLACE(leaves_through_a_pointer_in);

/* Its rare part lies elsewhere and comes back: harmless, or with the arguments gone. */
FUNCTION(elsewhere, "mov $-1,%eax\n jmp with_a_cold_part_back\n");
FUNCTION(with_a_cold_part, "sub $8,%rsp\n test %edx,%edx\n with_a_cold_part_in: js elsewhere\n mov $1,%eax\n"
                           "with_a_cold_part_back: cmp %rsp,%rbp\n with_a_cold_part_out: jne 1f\n add $8,%rsp\n ret\n"
                           "1: call aside\n");
PLACE(with_a_cold_part_in);
PLACE(with_a_cold_part_out);
FUNCTION(spoils, "xor %edi,%edi\n jmp spoilt_by_a_cold_part_back\n");
FUNCTION(spoilt_by_a_cold_part, "sub $8,%rsp\n jrcxz spoils\n spoilt_by_a_cold_part_back: nop\n add $8,%rsp\n ret\n");

FUNCTION(jumps_into_an_instruction, "sub $8,%rsp\n jrcxz .+4\n mov $0x90909090,%eax\n js 1f\n 1: add $8,%rsp\n ret\n");
FUNCTION(runs_on, "sub $8,%rsp\n test %edx,%edx\n js 1f\n 1: nop\n");
FUNCTION(starts_itself_again, "dec %edi\n jne starts_itself_again\n ret\n");
FUNCTION(one_for_both, "sub $8,%rsp\n xor %eax,%eax\n nop\n add $8,%rsp\n ret\n");
FUNCTION(holds_nonsense, "test %edi,%edi\n js 1f\n 1: .byte 0x06\n ret\n");

/* Looks emulated and is not: the kernel's emulation would do something else, or it single-steps. */
FUNCTION(not_a_nop, "mov %rax,%rbx\n .byte 0x49,0x90\n xor %eax,%eax\n ret\n");  /* xchg %rax,%r8 */
FUNCTION(not_a_push, "mov %rax,%rbx\n .byte 0x41,0x92\n xor %eax,%eax\n ret\n"); /* xchg %eax,%r10d */
FUNCTION(with_a_hint, "sub $8,%rsp\n test %edx,%edx\n .byte 0x3e\n js 1f\n 1: add $8,%rsp\n ret\n");
FUNCTION(long_nop, "endbr64\n nopl 0(%rax)\n xor %eax,%eax\n ret\n");
FUNCTION(pushes_memory, "pushq (%rsp)\n pop %rcx\n ret\n");
FUNCTION(pushes_high, "sub $8,%rsp\n pushes_high_in: push %r12\n pop %r12\n add $8,%rsp\n ret\n");
PLACE(pushes_high_in);

FUNCTION(fails_inside, "sub $8,%rsp\n test %edx,%edx\n js 2f\n mov $1,%eax\n 1: cmp %rsp,%rbp\n"
                       "fails_inside_out: jne 3f\n add $8,%rsp\n ret\n 3: call aside\n 2: mov $-1,%eax\n jmp 1b\n");
PLACE(fails_inside_out);

/* Under CET functions begin with a mark, and compilers put moves before the first push. */
FUNCTION(marked, "endbr64\n marked_push: push %rbx\n mov %rdi,%rbx\n call aside\n pop %rbx\n ret\n");
PLACE(marked_push);
FUNCTION(marked_with_a_table, "endbr64\n marked_with_a_table_push: push %r12\n jmp *%rdi\n");
PLACE(marked_with_a_table_push);
FUNCTION(marked_low_with_a_table, "endbr64\n marked_low_with_a_table_push: push %rbx\n jmp *%rdi\n");
PLACE(marked_low_with_a_table_push);
FUNCTION(marked_only, "endbr64\n sub $8,%rsp\n call aside\n add $8,%rsp\n ret\n");
FUNCTION(pushes_late, "mov %rdi,%rax\n pushes_late_push: push %rbx\n call aside\n pop %rbx\n ret\n");
PLACE(pushes_late_push);

/* Of Go: starts again when the stack has grown. */
FUNCTION(like_go, "1: cmp 0x10(%r14),%rsp\n like_go_stack: jbe 3f\n sub $8,%rsp\n test %rcx,%rcx\n like_go_in: je 2f\n"
                  "xor %ecx,%ecx\n 2: xor %eax,%eax\n add $8,%rsp\n like_go_out1: ret\n"
                  "call aside\n add $8,%rsp\n like_go_out2: ret\n" /* only reached after a panic */
                  "3: mov %rax,8(%rsp)\n call aside\n mov 8(%rsp),%rax\n jmp 1b\n int3\n int3\n");
PLACE(like_go_in);
PLACE(like_go_out1);
PLACE(like_go_out2);

static const struct place_want usual = { .args = RDI | RSI | RDX, .halves = RDX, .result = RAX };
static struct decoder *decoder;

static size_t read_own(void *ctx, uint64_t addr, uint8_t *buf, size_t len)
{
	memcpy(buf, (const void *)(uintptr_t)addr, len);
	return len;
}

static const struct code own = { .read = read_own };

static void find_sized(const uint8_t *f, size_t size, const struct place_want *want, struct placement *p)
{
	struct code c = own;

	c.decoder = decoder;
	assert_int_equal(place__find(&c, (uintptr_t)f, size, want, p), 0);
}

static void find_want(const uint8_t *f, const uint8_t *end, const struct place_want *want, struct placement *p)
{
	find_sized(f, (size_t)(end - f), want, p);
}

static void find(const uint8_t *f, const uint8_t *end, struct placement *p)
{
	find_want(f, end, &usual, p);
}
#define FIND(f, p) find(f, f##_end, p)

static void is_at(const struct place *p, const uint8_t *at, enum tls_how how)
{
	assert_int_equal(p->addr, (uintptr_t)at);
	assert_int_equal(p->how, how);
}

/* The place for the arguments is the first byte, for the result what follows it. */
static void is_plain(const uint8_t *f, const struct placement *p, enum tls_how first)
{
	is_at(&p->in, f, first);
	assert_int_equal(p->n_out, 1);
	is_at(&p->out[0], f, TLS_URETPROBE);
	assert_non_null(p->why);
}

static void a_function_like_ssl_read_is_seen_at_two_emulated_jumps(void **state)
{
	struct placement p;

	FIND(like_ssl_read, &p);
	is_at(&p.in, like_ssl_read_in, TLS_EMULATED);
	assert_string_equal(p.in.text, "js");
	assert_int_equal(p.n_out, 1);
	is_at(&p.out[0], like_ssl_read_out, TLS_EMULATED);
	assert_string_equal(p.out[0].text, "jne");
	assert_null(p.why);
}

static void arguments_are_read_before_anything_changes_them(void **state)
{
	struct placement p;

	FIND(clobbered_before, &p);
	is_at(&p.in, clobbered_before, TLS_STEPPED);
	FIND(clobbered_on_one_path, &p);
	is_at(&p.in, clobbered_on_one_path, TLS_STEPPED);
	FIND(changes_behind_our_back, &p);
	is_at(&p.in, changes_behind_our_back, TLS_STEPPED);
	FIND(exchanges, &p);
	is_at(&p.in, exchanges, TLS_STEPPED);
}

static void an_argument_that_is_not_asked_for_may_change(void **state)
{
	const struct place_want want = { .args = RSI, .result = RAX };
	struct placement p;

	find_want(clobbered_before, clobbered_before_end, &want, &p);
	assert_int_equal(p.in.how, TLS_EMULATED);
	assert_string_equal(p.in.text, "js");
}

static void an_int_that_is_extended_stays_the_same_int(void **state)
{
	const struct place_want size = { .args = RDI | RDX, .result = 0 }, number = { RDI | RDX, RDX, 0 };
	struct placement p;

	find_want(keeps_an_int, keeps_an_int_end, &number, &p);
	is_at(&p.in, keeps_an_int_in, TLS_EMULATED);
	find_want(keeps_an_int, keeps_an_int_end, &size, &p);
	is_at(&p.in, keeps_an_int, TLS_STEPPED);
}

static void a_place_that_a_path_goes_around_is_not_taken(void **state)
{
	struct placement p;

	FIND(bypassed, &p);
	is_at(&p.in, bypassed, TLS_STEPPED);
	FIND(returns_early, &p);
	is_at(&p.in, returns_early_in, TLS_EMULATED);
}

static void a_place_that_is_passed_many_times_is_not_taken(void **state)
{
	struct placement p;

	FIND(in_a_loop, &p);
	is_at(&p.in, in_a_loop, TLS_STEPPED);
}

static void the_call_of_the_inner_function_sees_the_arguments(void **state)
{
	const struct place_want four = { .args = RDI | RSI | RDX | RCX, .result = RAX };
	struct placement p;

	find_want(call_first, call_first_end, &four, &p);
	is_at(&p.in, call_first_in, TLS_EMULATED);
	is_at(&p.out[0], call_first_out, TLS_STEPPED);
}

static void a_result_that_is_still_to_be_written_is_read_later(void **state)
{
	struct placement p;

	FIND(result_written_after, &p);
	assert_int_equal(p.n_out, 1);
	is_at(&p.out[0], result_written_after_out, TLS_STEPPED);
	FIND(result_by_partial_write, &p);
	is_plain(result_by_partial_write, &p, TLS_EMULATED);
}

static void every_return_is_seen_once(void **state)
{
	struct placement p;

	FIND(two_returns, &p);
	is_at(&p.in, two_returns_in, TLS_EMULATED);
	assert_int_equal(p.n_out, 2);
	is_at(&p.out[0], two_returns_out1, TLS_EMULATED);
	is_at(&p.out[1], two_returns_out2, TLS_EMULATED);
	FIND(result_on_one_path_only, &p);
	assert_int_equal(p.n_out, 1);
	is_at(&p.out[0], result_on_one_path_only_out, TLS_STEPPED);
}

static void where_the_first_byte_is_cheap_the_return_address_is_too(void **state)
{
	struct placement p;

	FIND(pushes_first, &p);
	is_plain(pushes_first, &p, TLS_EMULATED);
	FIND(pushes_high, &p);
	is_at(&p.in, pushes_high_in, TLS_EMULATED);
}

static void the_return_address_is_replaced_where_the_stack_is_still_the_same(void **state)
{
	struct placement p;

	FIND(marked, &p);
	is_plain(marked_push, &p, TLS_EMULATED);
	FIND(marked_with_a_table, &p);
	is_plain(marked_with_a_table_push, &p, TLS_EMULATED);
	FIND(marked_low_with_a_table, &p);
	is_plain(marked_low_with_a_table_push, &p, TLS_EMULATED);
	FIND(pushes_late, &p);
	is_plain(pushes_late_push, &p, TLS_EMULATED);
	/* An emulated call sees the arguments, but the return address is out of reach there. */
	FIND(marked_only, &p);
	assert_int_equal(p.in.how, TLS_EMULATED);
	assert_int_equal(p.out[0].how, TLS_STEPPED);
}

static void a_function_that_leaves_by_a_call_or_a_table_gets_the_plain_places(void **state)
{
	struct placement p;

	FIND(last_act_is_a_call, &p);
	is_plain(last_act_is_a_call, &p, TLS_STEPPED);
	FIND(last_act_is_a_call_by_pointer, &p);
	is_plain(last_act_is_a_call_by_pointer, &p, TLS_STEPPED);
	FIND(has_a_table, &p);
	is_plain(has_a_table, &p, TLS_STEPPED);
	assert_non_null(strstr(p.why, "table"));
}

static void a_last_call_through_a_fixed_pointer_does_not_hide_the_arguments(void **state)
{
	const struct place_want want = { .args = RDI };
	struct placement p;

	find_want(leaves_through_a_pointer, leaves_through_a_pointer_end, &want, &p);
	is_at(&p.in, leaves_through_a_pointer_in, TLS_EMULATED);
	assert_int_equal(p.n_out, 0);
}

static void a_part_that_lies_elsewhere_is_walked_too(void **state)
{
	struct placement p;

	FIND(with_a_cold_part, &p);
	is_at(&p.in, with_a_cold_part_in, TLS_EMULATED);
	assert_int_equal(p.n_out, 1);
	is_at(&p.out[0], with_a_cold_part_out, TLS_EMULATED);
	FIND(spoilt_by_a_cold_part, &p);
	is_at(&p.in, spoilt_by_a_cold_part, TLS_STEPPED);
}

static void what_is_not_understood_gets_the_plain_places(void **state)
{
	struct placement p;

	FIND(jumps_into_an_instruction, &p);
	is_plain(jumps_into_an_instruction, &p, TLS_STEPPED);
	FIND(runs_on, &p);
	is_plain(runs_on, &p, TLS_STEPPED);
	FIND(starts_itself_again, &p);
	is_plain(starts_itself_again, &p, TLS_STEPPED);
	FIND(holds_nonsense, &p);
	is_plain(holds_nonsense, &p, TLS_STEPPED);
	find_sized(like_ssl_read, 0, &usual, &p); /* its length is not known */
	is_plain(like_ssl_read, &p, TLS_STEPPED);
	find_sized(like_ssl_read, (size_t)(like_ssl_read_end - like_ssl_read) - 1, &usual,
	           &p); /* too short by a byte */
	is_plain(like_ssl_read, &p, TLS_STEPPED);
}

static void arguments_and_result_are_not_read_in_one_place(void **state)
{
	struct placement p;

	FIND(one_for_both, &p);
	assert_int_equal(p.n_out, 1);
	assert_int_not_equal(p.in.addr, p.out[0].addr);
}

static void what_the_kernel_does_not_emulate_is_not_taken_for_it(void **state)
{
	const struct place_want want = { .args = RDI };
	struct placement p;

	find_want(not_a_nop, not_a_nop_end, &want, &p);
	is_at(&p.in, not_a_nop, TLS_STEPPED);
	find_want(not_a_push, not_a_push_end, &want, &p);
	is_at(&p.in, not_a_push, TLS_STEPPED);
	find_want(with_a_hint, with_a_hint_end, &want, &p);
	is_at(&p.in, with_a_hint, TLS_STEPPED);
	find_want(long_nop, long_nop_end, &want, &p);
	is_at(&p.in, long_nop, TLS_STEPPED);
	find_want(pushes_memory, pushes_memory_end, &want, &p);
	is_at(&p.in, pushes_memory, TLS_STEPPED);
}

static bool aside_never_returns(void *ctx, uint64_t addr)
{
	return addr == (uintptr_t)aside;
}

static void a_call_that_is_known_not_to_return_ends_its_path(void **state)
{
	struct code c = own;
	struct placement p;

	c.decoder = decoder;
	assert_int_equal(
		place__find(&c, (uintptr_t)fails_inside, (size_t)(fails_inside_end - fails_inside), &usual, &p), 0);
	assert_int_equal(p.out[0].how, TLS_STEPPED); /* behind the call the result could be another one */
	c.never_returns = aside_never_returns;
	assert_int_equal(
		place__find(&c, (uintptr_t)fails_inside, (size_t)(fails_inside_end - fails_inside), &usual, &p), 0);
	assert_int_equal(p.n_out, 1);
	is_at(&p.out[0], fails_inside_out, TLS_EMULATED);
}

static void a_function_of_go_is_seen_behind_its_look_at_the_stack_and_at_every_return(void **state)
{
	const struct place_want want = { .args = RAX | 1u << 3 | RCX | 1u << 14, .result = RAX };
	struct code c = own;
	struct placement p;

	c.decoder = decoder;
	assert_int_equal(place__go(&c, (uintptr_t)like_go, (size_t)(like_go_end - like_go), &want, &p), 0);
	is_at(&p.in, like_go_in, TLS_EMULATED);
	assert_int_equal(p.n_out, 2);
	is_at(&p.out[0], like_go_out1, TLS_STEPPED);
	is_at(&p.out[1], like_go_out2, TLS_STEPPED);
	assert_int_equal(place__go(&c, (uintptr_t)holds_nonsense, 5, &want, &p), -ENOTSUP);
	assert_non_null(p.why);
}

static int open_decoder(void **state)
{
	decoder = decoder__new(EM_X86_64);
	return decoder ? 0 : -1;
}

static int close_decoder(void **state)
{
	decoder__free(decoder);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_function_like_ssl_read_is_seen_at_two_emulated_jumps),
		cmocka_unit_test(arguments_are_read_before_anything_changes_them),
		cmocka_unit_test(an_argument_that_is_not_asked_for_may_change),
		cmocka_unit_test(an_int_that_is_extended_stays_the_same_int),
		cmocka_unit_test(a_place_that_a_path_goes_around_is_not_taken),
		cmocka_unit_test(a_place_that_is_passed_many_times_is_not_taken),
		cmocka_unit_test(the_call_of_the_inner_function_sees_the_arguments),
		cmocka_unit_test(a_result_that_is_still_to_be_written_is_read_later),
		cmocka_unit_test(every_return_is_seen_once),
		cmocka_unit_test(where_the_first_byte_is_cheap_the_return_address_is_too),
		cmocka_unit_test(the_return_address_is_replaced_where_the_stack_is_still_the_same),
		cmocka_unit_test(a_function_that_leaves_by_a_call_or_a_table_gets_the_plain_places),
		cmocka_unit_test(a_last_call_through_a_fixed_pointer_does_not_hide_the_arguments),
		cmocka_unit_test(a_part_that_lies_elsewhere_is_walked_too),
		cmocka_unit_test(what_is_not_understood_gets_the_plain_places),
		cmocka_unit_test(arguments_and_result_are_not_read_in_one_place),
		cmocka_unit_test(what_the_kernel_does_not_emulate_is_not_taken_for_it),
		cmocka_unit_test(a_call_that_is_known_not_to_return_ends_its_path),
		cmocka_unit_test(a_function_of_go_is_seen_behind_its_look_at_the_stack_and_at_every_return),
	};

	return cmocka_run_group_tests(tests, open_decoder, close_decoder);
}
