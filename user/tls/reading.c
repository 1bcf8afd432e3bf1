// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/reading.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All names that are ever asked for: one pass over the symbol tables finds them. */
static const char *const names[] = {
	/* OpenSSL and those that look like it; see functions.c */
	"SSL_read", "SSL_read_ex", "SSL_read_early_data", "SSL_write", "SSL_write_ex", "SSL_write_early_data",
	"SSL_sendfile", "SSL_do_handshake", "SSL_accept", "SSL_connect", "SSL_free", "SSL_clear",
	/* the way from them into the library; see inside.h */
	"SSL_peek", "SSL_peek_ex", "SSL_get_ssl_method", "TLS_method", "TLS_server_method", "TLS_client_method",
	"TLSv1_2_method", "TLSv1_2_server_method", "TLSv1_2_client_method", "TLSv1_1_method", "TLSv1_1_server_method",
	"TLSv1_1_client_method", "TLSv1_method", "TLSv1_server_method", "TLSv1_client_method",
	/* tell them apart */
	"SSL_CTX_set_grease_enabled", "OPENSSL_init_ssl",
	/* GnuTLS */
	"gnutls_record_recv", "gnutls_record_recv_seq", "gnutls_record_send", "gnutls_record_send2", "gnutls_handshake",
	"gnutls_deinit",
	/* others, that are not read */
	"SSL_ImportFD", "mbedtls_ssl_read", "wolfSSL_read", "s2n_recv", "JNI_CreateJavaVM",
	/* calls that never return */
	"__stack_chk_fail", "abort", "__assert_fail", "__chk_fail", "OPENSSL_die"
};
#define N_NAMES        (sizeof(names) / sizeof(*names))
#define N_NEVER_RETURN 5 /* the last ones */

static size_t read_code(void *ctx, uint64_t addr, uint8_t *buf, size_t len)
{
	struct reading *r = ctx;

	return image_window__code(&r->code_window, addr, buf, len);
}

static bool never_returns(void *ctx, uint64_t addr)
{
	struct reading *r = ctx;
	struct insn in = { .kind = INSN_JUMP, .target = addr };
	const struct symbol *s = reading__callee(r, &in);

	return s && (size_t)(s - r->symbols) >= N_NAMES - N_NEVER_RETURN;
}

int reading__open(struct reading *r, int fd, const char *name, struct tls_library *lib, struct err *e)
{
	int err;

	*r = (struct reading){ .lib = lib, .n_symbols = N_NAMES };
	err = image__open(&r->img, fd, name, e);
	if (err)
		return err;
	r->code_window.img = r->stub_window.img = &r->img;
	for (size_t i = 0; i < N_NAMES; i++)
		r->symbols[i].name = names[i];
	if (!r->img.elf64)
		return 0;
	err = symbols__find(&r->img, r->symbols, N_NAMES, e);
	if (err)
		return err;
	r->n_slots = symbols__slots(&r->img, r->symbols, N_NAMES, r->slots, r->slot_of, READING_SLOTS_MAX);
	r->code = (struct code){ decoder__new(r->img.machine), r, read_code, never_returns };
	if (!r->code.decoder && (r->img.machine == EM_X86_64 || r->img.machine == EM_AARCH64))
		return err_set(e, ENOMEM, "%s: out of memory", name);
	return 0;
}

void reading__close(struct reading *r)
{
	image_window__close(&r->code_window);
	image_window__close(&r->stub_window);
	decoder__free(r->code.decoder);
	image__close(&r->img);
}

const struct symbol *reading__symbol(const struct reading *r, const char *name)
{
	for (size_t i = 0; i < r->n_symbols; i++)
		if (!strcmp(r->symbols[i].name, name))
			return &r->symbols[i];
	abort();
}

/* The pointer that the linker's stub at addr jumps through; 0: there is no stub. */
static uint64_t stub_slot(struct reading *r, uint64_t addr)
{
	/* x86-64: maybe endbr64, then the jump. arm64: maybe bti, then adrp, ldr, add, br, which decode folds into one.
	 */
	for (int i = 0; i < 2; i++) {
		uint8_t bytes[INSN_BYTES_MAX];
		size_t len = image_window__code(&r->stub_window, addr, bytes, sizeof(bytes));
		struct insn in;

		if (!len || !decoder__insn(r->code.decoder, addr, bytes, len, &in))
			return 0;
		if (in.kind == INSN_LEAVES)
			return in.target;
		if (in.kind != INSN_PLAIN || in.changes)
			return 0;
		addr += in.len;
	}
	return 0;
}

const struct symbol *reading__callee(struct reading *r, const struct insn *in)
{
	uint64_t slot = in->kind == INSN_LEAVES ? in->target : 0;

	for (size_t i = 0; !slot && i < r->n_symbols; i++)
		if (r->symbols[i].defined && r->symbols[i].addr == in->target)
			return &r->symbols[i];
	if (!slot)
		slot = stub_slot(r, in->target);
	for (size_t i = 0; slot && i < r->n_slots; i++)
		if (r->slots[i] == slot)
			return &r->symbols[r->slot_of[i]];
	return NULL;
}

int reading__copy_site(struct reading *r, const struct tls_site *site, const struct tls_where *where)
{
	struct tls_library *lib = r->lib;
	struct tls_site *sites = realloc(lib->sites, (lib->n_sites + 1) * sizeof(*sites));
	struct tls_where *wheres;

	if (!sites)
		return -ENOMEM;
	lib->sites = sites;
	wheres = realloc(lib->where, (lib->n_sites + 1) * sizeof(*wheres));
	if (!wheres)
		return -ENOMEM;
	lib->where = wheres;
	sites[lib->n_sites] = *site;
	wheres[lib->n_sites++] = *where;
	return 0;
}

int reading__add_site(struct reading *r, const char *function, uint64_t addr, uint8_t job, const struct place *p,
                      const char *why)
{
	struct tls_site site = { .name = function, .job = job, .how = p->how };
	struct tls_where where = { .distance = p->addr - addr, .why = why };

	memcpy(where.insn, p->text, sizeof(where.insn));
	return image__offset(&r->img, p->addr, true, &site.offset) ? reading__copy_site(r, &site, &where) : -ENOEXEC;
}

void reading__note(struct reading *r, const char *fmt, ...)
{
	char *note = r->lib->note;
	size_t len = strlen(note), max = sizeof(r->lib->note);
	va_list args;

	if (len)
		len += (size_t)snprintf(note + len, max - len, "; ");
	if (len >= max)
		return;
	va_start(args, fmt);
	vsnprintf(note + len, max - len, fmt, args);
	va_end(args);
}
