// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/library.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls/functions.h"
#include "tls/golang.h"
#include "tls/reading.h"
#include "tls/scan.h"

const char *tls_kind__name(enum tls_kind kind)
{
	static const char *const names[] = {
		[TLS_NONE] = "none",     [TLS_OPENSSL] = "OpenSSL",  [TLS_BORINGSSL] = "BoringSSL",
		[TLS_GNUTLS] = "GnuTLS", [TLS_GO] = "Go crypto/tls",
	};

	return (size_t)kind < sizeof(names) / sizeof(*names) && names[kind] ? names[kind] : "unknown";
}

static bool defines(const struct reading *r, const char *name)
{
	return reading__symbol(r, name)->defined;
}

static bool imports(const struct reading *r, const char *name)
{
	return reading__symbol(r, name)->imported;
}

static enum tls_kind recognise(struct reading *r)
{
	if (defines(r, "gnutls_record_recv") && defines(r, "gnutls_record_send"))
		return TLS_GNUTLS;
	if (!defines(r, "SSL_read") || !defines(r, "SSL_write"))
		return TLS_NONE;
	/* GnuTLS comes with a small library of OpenSSL's names, which hands everything on to it. */
	if (imports(r, "gnutls_record_recv")) {
		reading__note(r, "hands everything on to GnuTLS, which is watched");
		return TLS_NONE;
	}
	return defines(r, "SSL_CTX_set_grease_enabled") ? TLS_BORINGSSL : TLS_OPENSSL;
}

static void find_version(struct reading *r)
{
	char *v = r->lib->version, soname[16] = "";
	size_t len = sizeof(r->lib->version);

	if (r->lib->kind == TLS_GNUTLS)
		scan__version(&r->img, ".rodata", "GnuTLS ", false, v, len);
	if (r->lib->kind != TLS_OPENSSL || scan__version(&r->img, ".rodata", "OpenSSL ", true, v, len) ||
	    scan__version(&r->img, ".rodata", "LibreSSL ", false, v, len))
		return;
	/* OpenSSL 3 keeps its version in the other library, libcrypto; the file's own name says a part of it. */
	if (scan__version(&r->img, ".dynstr", "libssl.so.", false, soname, sizeof(soname)))
		snprintf(v, len, "OpenSSL %s", soname + strlen("libssl.so."));
}

/* A program that is started, not a library: it has a loader, or needs none. */
static bool is_program(const struct reading *r)
{
	bool dynamic = false;

	for (size_t i = 0; i < r->img.n_segments; i++) {
		if (r->img.segments[i].p_type == PT_INTERP)
			return true;
		dynamic = dynamic || r->img.segments[i].p_type == PT_DYNAMIC;
	}
	return r->img.type == ET_EXEC || !dynamic || !image__section_of(&r->img, SHT_DYNSYM);
}

/* What is linked into a program without leaving symbols is given away by texts, at best. */
static void guess(struct reading *r)
{
	if (imports(r, "SSL_read") || imports(r, "gnutls_record_recv") || !is_program(r))
		return;
	if (scan__contains(&r->img, ".rodata", "ssl/ssl_lib.c"))
		reading__note(r,
		              "looks like OpenSSL or BoringSSL, but is stripped: no symbols of SSL_read and SSL_write");
	else if (scan__contains(&r->img, ".rodata", "rustls"))
		reading__note(r, "looks like rustls, whose calls cannot be watched");
}

/* There is nothing to watch: say what there may be instead. */
static void say_why(struct reading *r)
{
	static const struct {
		const char *symbol, *text;
	} others[] = {
		{ "JNI_CreateJavaVM", "a Java machine: TLS in Java cannot be watched" },
		{ "SSL_ImportFD", "NSS, whose calls are not watched" },
		{ "mbedtls_ssl_read", "Mbed TLS, whose calls are not watched" },
		{ "wolfSSL_read", "wolfSSL, whose calls are not watched" },
		{ "s2n_recv", "s2n, whose calls are not watched" },
	};
	const char *base = strrchr(r->img.name, '/');

	if (r->lib->note[0])
		return;
	base = base ? base + 1 : r->img.name;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (defines(r, others[i].symbol) || (!i && !strcmp(base, "libjvm.so"))) {
			reading__note(r, "%s", others[i].text);
			return;
		}
	guess(r);
}

static int look(struct reading *r, struct err *e)
{
	int err = 0;

	if (!r->img.elf64) {
		reading__note(r, "not a 64-bit little-endian program");
		return 0;
	}
	r->lib->kind = recognise(r);
	if (r->lib->kind == TLS_NONE && golang__is(r))
		err = golang__find(r, e);
	if (r->lib->kind == TLS_NONE)
		say_why(r);
	if (r->lib->kind == TLS_NONE || r->lib->kind == TLS_GO)
		return err;
	find_version(r);
	if (r->code.decoder)
		return functions__find(r, e);
	reading__note(r, "for another machine: only x86-64 and arm64 are known");
	return 0;
}

int tls_library__read(int fd, const char *name, struct tls_library **out, struct err *e)
{
	struct tls_library *lib = calloc(1, sizeof(*lib));
	struct reading r;
	int err;

	*out = NULL;
	if (!lib)
		return err_set(e, ENOMEM, "%s: out of memory", name);
	err = reading__open(&r, fd, name, lib, e);
	if (!err)
		err = look(&r, e);
	reading__close(&r);
	if (err) {
		tls_library__free(lib);
		return err;
	}
	elf__build_id(fd, lib->build_id, sizeof(lib->build_id));
	*out = lib;
	return 0;
}

void tls_library__free(struct tls_library *lib)
{
	if (!lib)
		return;
	free(lib->sites);
	free(lib->where);
	free(lib->inside);
	free(lib->inside_where);
	free(lib);
}

const struct tls_site *tls_library__sites(const struct tls_library *lib, bool inside, size_t *n)
{
	inside = inside && lib->n_inside;
	*n = inside ? lib->n_inside : lib->n_sites;
	return inside ? lib->inside : lib->sites;
}
