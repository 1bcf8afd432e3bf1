/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The processor as an oracle: a child calls functions, its parent lets it do so one instruction at a time and looks at
 * the places where probes would be. No root, no kernel programs.
 */
#ifndef TW_STEPPER_H
#define TW_STEPPER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS_MAX 4000000
#define SPOTS_MAX 40

/* One place in the child's memory that is watched. */
struct spot {
	uint64_t addr;
	unsigned passed;              /* times, in this call */
	struct user_regs_struct regs; /* when it was passed last */
};

/* One call: the registers at the function's first byte and behind its return, and the spots. */
struct stepped {
	struct user_regs_struct entry, back;
	struct spot spots[SPOTS_MAX];
	unsigned n_spots;
};

/* In the child: what is between these two is one call that the parent steps through. */
#define STEPPED_CALL(statement)                        \
	do {                                           \
		__asm__ volatile("int3" ::: "memory"); \
		statement;                             \
		__asm__ volatile("" ::: "memory");     \
	} while (0)

/* Lets the child run to its next STEPPED_CALL. false: it has ended (status is what waitpid says). */
static inline bool stepper_next(pid_t child, int *status)
{
	if (ptrace(PTRACE_CONT, child, NULL, NULL) || waitpid(child, status, 0) != child)
		return false;
	return WIFSTOPPED(*status) && WSTOPSIG(*status) == SIGTRAP;
}

/* Steps until the function at addr has been entered and has returned. false: something else happened. */
static inline bool stepper_call(pid_t child, uint64_t addr, struct stepped *s)
{
	struct user_regs_struct r;
	bool inside = false;
	int status;

	for (unsigned i = 0; i < s->n_spots; i++)
		s->spots[i].passed = 0;
	for (long n = 0; n < STEPS_MAX; n++) {
		if (ptrace(PTRACE_GETREGS, child, NULL, &r))
			return false;
		if (!inside && r.rip == addr) {
			inside = true;
			s->entry = r;
		}
		if (inside && r.rsp == s->entry.rsp + 8) {
			s->back = r;
			return true;
		}
		for (unsigned i = 0; inside && i < s->n_spots; i++)
			if (s->spots[i].addr == r.rip) {
				s->spots[i].passed++;
				s->spots[i].regs = r;
			}
		if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) || waitpid(child, &status, 0) != child ||
		    !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
			return false;
	}
	return false;
}

#endif
