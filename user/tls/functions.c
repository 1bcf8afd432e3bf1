// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/functions.h"

#include <errno.h>
#include <string.h>

#include "tls/deep.h"
#include "tls/switch.h"

#define NO_JOB (-1)

struct function {
	const char *name;
	int in, out;   /* enum tls_job; NO_JOB */
	unsigned args; /* so many of its arguments are needed */
	bool int_size; /* the third is an int */
};

/* SSL_peek is not here: what it returns is read again. */
static const struct function openssl[] = {
	{ "SSL_read", TLS_READ_IN, TLS_READ_OUT, 2, true },
	{ "SSL_read_ex", TLS_READ_EX_IN, TLS_READ_EX_OUT, 4, false },
	{ "SSL_read_early_data", TLS_READ_EX_IN, TLS_READ_EX_OUT, 4, false },
	{ "SSL_write", TLS_WRITE_IN, TLS_WRITE_OUT, 3, true },
	{ "SSL_write_ex", TLS_WRITE_EX_IN, TLS_WRITE_EX_OUT, 4, false },
	{ "SSL_write_early_data", TLS_WRITE_EX_IN, TLS_WRITE_EX_OUT, 4, false },
	{ "SSL_sendfile", TLS_SENDFILE_IN, TLS_SENDFILE_OUT, 1, false },
	{ "SSL_do_handshake", TLS_HANDSHAKE_IN, TLS_HANDSHAKE_OUT, 1, false },
	{ "SSL_accept", TLS_HANDSHAKE_IN, TLS_HANDSHAKE_OUT, 1, false },
	{ "SSL_connect", TLS_HANDSHAKE_IN, TLS_HANDSHAKE_OUT, 1, false },
	{ "SSL_free", TLS_FREE_IN, NO_JOB, 1, false },
	{ "SSL_clear", TLS_FREE_IN, NO_JOB, 1, false },
};

static const struct function gnutls[] = {
	{ "gnutls_record_recv", TLS_READ_IN, TLS_READ_OUT, 2, false },
	{ "gnutls_record_recv_seq", TLS_READ_IN, TLS_READ_OUT, 2, false },
	{ "gnutls_record_send", TLS_WRITE_IN, TLS_WRITE_OUT, 3, false },
	{ "gnutls_record_send2", TLS_WRITE_IN, TLS_WRITE_OUT, 3, false },
	{ "gnutls_handshake", TLS_HANDSHAKE_IN, TLS_HANDSHAKE_OUT, 1, false },
	{ "gnutls_deinit", TLS_FREE_IN, NO_JOB, 1, false },
};

/* The calling conventions: System V for x86-64 (rdi, rsi, rdx, rcx; rax) and AAPCS64 (x0 to x3; x0). */
static void convention(const struct reading *r, const struct function *f, struct place_want *want)
{
	static const uint8_t x86[] = { 7, 6, 2, 1 }, arm64[] = { 0, 1, 2, 3 };
	const uint8_t *regs = r->img.machine == EM_X86_64 ? x86 : arm64;

	*want = (struct place_want){ .result = f->out == NO_JOB ? 0 : 1 };
	for (unsigned i = 0; i < f->args; i++)
		want->args |= (regset)1 << regs[i];
	if (f->int_size && f->args > 2)
		want->halves = (regset)1 << regs[2];
}

static const struct function *table(enum tls_kind kind, size_t *n)
{
	*n = kind == TLS_GNUTLS ? sizeof(gnutls) / sizeof(*gnutls) : sizeof(openssl) / sizeof(*openssl);
	return kind == TLS_GNUTLS ? gnutls : openssl;
}

/*
 * SSL_accept prepares and then jumps to SSL_do_handshake, gnutls_record_send to gnutls_record_send2: the same job is
 * done there, and a second program would only cost.
 */
static bool another_does_it(struct reading *r, const struct function *f, const struct symbol *s)
{
	const struct symbol *callee;
	const struct function *t;
	struct insn jump;
	size_t n;

	if (!place__hands_on(&r->code, s->addr, s->size, &jump))
		return false;
	callee = reading__callee(r, &jump);
	t = table(r->lib->kind, &n);
	for (size_t i = 0; callee && callee != s && callee->defined && i < n; i++)
		if (!strcmp(t[i].name, callee->name))
			return t[i].in == f->in && t[i].out == f->out;
	return false;
}

static int find(struct reading *r, const struct function *f, const struct symbol *s, enum tls_switch how,
                struct placement *p)
{
	struct place_want want;

	convention(r, f, &want);
	if (how != SWITCH_PLAIN)
		return place__find(&r->code, s->addr, s->size, &want, p);
	place__plain(&r->code, s->addr, &want, p);
	p->why = SWITCH_WHY;
	return 0;
}

static int add(struct reading *r, const struct function *f, const struct symbol *s, enum tls_switch how, struct err *e)
{
	struct placement p;
	int err;

	if (another_does_it(r, f, s))
		return 0;
	err = find(r, f, s, how, &p);
	if (!err)
		err = reading__add_site(r, f->name, s->addr, (uint8_t)f->in, &p.in,
		                        p.in.how == TLS_EMULATED ? NULL : p.why);
	for (size_t i = 0; i < p.n_out && !err; i++)
		err = reading__add_site(r, f->name, s->addr, (uint8_t)f->out, &p.out[i],
		                        p.out[i].how == TLS_EMULATED ? NULL : p.why);
	if (err == -ENOMEM)
		return err_set(e, ENOMEM, "%s: out of memory", r->img.name);
	if (err)
		return err_set(e, ENOEXEC, "%s: broken ELF file: %s is at %#llx, where there is no code", r->img.name,
		               f->name, (unsigned long long)s->addr);
	return 0;
}

int functions__find(struct reading *r, struct err *e)
{
	size_t n;
	const struct function *t = table(r->lib->kind, &n);
	enum tls_switch how;
	int err = switch__read(&how, e);

	for (size_t i = 0; i < n && !err; i++) {
		const struct symbol *s = reading__symbol(r, t[i].name);

		if (s->defined)
			err = add(r, &t[i], s, how, e);
	}
	if (r->lib->kind == TLS_GNUTLS)
		reading__note(r, "gnutls_record_recv_packet and early data are not watched");
	if (err || r->lib->kind != TLS_OPENSSL)
		return err;
	r->lib->outside = SWITCH_WHY;
	return how == SWITCH_BEST ? deep__find(r, e) : 0;
}
