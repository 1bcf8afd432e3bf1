/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which TLS library a program file holds, and the places in it where its calls can be watched.
 *
 * The file is foreign: it is read within bounds and never mapped, see image.h. It is only recognised by functions that
 * it defines itself; a program that merely calls a shared library holds none.
 */
#ifndef TW_TLS_LIBRARY_H
#define TW_TLS_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "capture/elf_note.h"
#include "tls/site.h"

enum tls_kind {
	TLS_NONE,
	TLS_OPENSSL, /* also the one that is built into Node, and LibreSSL */
	TLS_BORINGSSL,
	TLS_GNUTLS,
	TLS_GO,
};

/* Of one site, for people: how far behind the function's first byte it is, on which instruction. */
struct tls_where {
	uint64_t distance;
	char insn[16];
	const char *why; /* why there is no cheaper place, or NULL; static */
};

struct tls_library {
	enum tls_kind kind;
	char version[48];                /* "OpenSSL 3.0.15", "go1.19.8", "" when not known */
	char build_id[ELF_BUILD_ID_HEX]; /* hex; "" when it has none */
	struct tls_site *sites;
	struct tls_where *where; /* of sites[i] */
	size_t n_sites;
	/* The same with reading watched inside the library (TLS_READ_AT) instead; n_inside 0: it cannot be. */
	struct tls_site *inside;
	struct tls_where *inside_where;
	size_t n_inside;
	const char *outside; /* why it cannot, or NULL: static */
	char note[160];      /* what would be missed and why ("stripped: no symbols of crypto/tls"), or "" */
};

/*
 * Looks into the file behind fd, which stays open and whose offset is not used. 0 and *out (with kind TLS_NONE, and
 * often a note that says why, when there is nothing to watch), or a negative errno with e: -ENOEXEC when it is no ELF
 * file or a broken one, with what is wrong, -ENOMEM, what reading it says. name: what to call the file in texts; its
 * last part may give away what the file is when nothing else does (libjvm.so).
 */
int tls_library__read(int fd, const char *name, struct tls_library **out, struct err *e);
void tls_library__free(struct tls_library *lib);

/* What is to be attached. inside: reading inside the library, where that can be; it takes programs that are told where.
 */
const struct tls_site *tls_library__sites(const struct tls_library *lib, bool inside, size_t *n);

/* "OpenSSL", "Go crypto/tls" ...; never NULL. */
const char *tls_kind__name(enum tls_kind kind);

#endif
