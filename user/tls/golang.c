// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/golang.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/tame.h"
#include "tls/gotable.h"

#define FUNCTION_MAX (64 * 1024) /* bytes; crypto/tls's have two thousand */

/*
 * The first two are needed. The others tell whose connection it is before it is read: HTTP/2 is read by another
 * goroutine than the one that has shaken hands, and has read the socket with it.
 */
#define NAMES 4
static const char *const names[NAMES] = { "crypto/tls.(*Conn).Read", "crypto/tls.(*Conn).Write",
	                                  "crypto/tls.(*Conn).serverHandshake", "crypto/tls.(*Conn).clientHandshake" };
static const uint8_t jobs[NAMES][2] = { { TLS_GO_READ_IN, TLS_GO_READ_OUT },
	                                { TLS_GO_WRITE_IN, TLS_GO_WRITE_OUT },
	                                { TLS_GO_HANDSHAKE_IN, TLS_GO_HANDSHAKE_OUT },
	                                { TLS_GO_HANDSHAKE_IN, TLS_GO_HANDSHAKE_OUT } };

bool golang__is(const struct reading *r)
{
	return image__section(&r->img, ".go.buildinfo") || image__section(&r->img, ".gopclntab") ||
	       image__section(&r->img, ".note.go.buildid");
}

/* Go before 1.18: a pointer to a pointer and a length. */
static bool old_version(const struct reading *r, uint64_t header, char *out, size_t len)
{
	uint64_t string[2], off;

	if (!image__offset(&r->img, header, false, &off) || image__read(&r->img, off, string, sizeof(string), NULL) ||
	    !image__offset(&r->img, string[0], false, &off) || string[1] >= len ||
	    image__read(&r->img, off, out, string[1], NULL))
		return false;
	out[string[1]] = '\0';
	return true;
}

/* debug/buildinfo: a magic of 14 bytes, the size of a pointer, flags (2: the text follows at 32, after its length). */
static void find_version(struct reading *r)
{
	const Elf64_Shdr *s = image__section(&r->img, ".go.buildinfo");
	char *v = r->lib->version;
	uint8_t b[33];
	uint64_t header;

	if (!s || s->sh_size < sizeof(b) || image__read(&r->img, s->sh_offset, b, sizeof(b), NULL) ||
	    memcmp(b, "\xff Go buildinf:", 14))
		return;
	memcpy(&header, b + 16, sizeof(header));
	if (b[15] & 2) {
		if (b[32] >= sizeof(r->lib->version) || image__read(&r->img, s->sh_offset + 33, v, b[32], NULL))
			v[0] = '\0';
		else
			v[b[32]] = '\0';
	} else if (b[14] == 8 && !(b[15] & 1) && !old_version(r, header, v, sizeof(r->lib->version))) {
		v[0] = '\0';
	}
	if (strncmp(v, "go", 2)) /* a development version says "devel go1.20-..." */
		memmove(v, strstr(v, "go1") ? strstr(v, "go1") : "",
		        strstr(v, "go1") ? strlen(strstr(v, "go1")) + 1 : 1);
	tame_line(v);
}

/* Arguments are in registers since 1.17 on x86-64 and since 1.18 on arm64. */
static bool passes_in_registers(const struct reading *r, unsigned since)
{
	unsigned minor = 0;

	if (since >= 18)
		return true;
	return r->img.machine == EM_X86_64 && sscanf(r->lib->version, "go1.%u", &minor) == 1 && minor >= 17;
}

/* Its functions begin by looking at the end of the stack, except for small ones: these two do. */
static bool begins_like_go(struct reading *r, uint64_t addr)
{
	uint8_t b[4];

	if (image_window__code(&r->code_window, addr, b, sizeof(b)) < sizeof(b))
		return false;
	if (r->img.machine == EM_AARCH64) /* ldr x16, [x28, #16] */
		return !memcmp(b, "\x90\x0b\x40\xf9", 4);
	/* cmp 0x10(%r14),%rsp, or lea -x(%rsp),%r12 */
	return !memcmp(b, "\x49\x3b\x66\x10", 4) || !memcmp(b, "\x4c\x8d\x64\x24", 4) ||
	       !memcmp(b, "\x4c\x8d\xa4\x24", 4);
}

/* Receiver, pointer, length; and the goroutine: rax, rbx, rcx and r14, or x0, x1, x2 and x28. */
static void convention(const struct reading *r, struct place_want *want)
{
	*want = (struct place_want){ .result = 1 };
	want->args = r->img.machine == EM_X86_64 ? 1u << 0 | 1u << 3 | 1u << 1 | 1u << 14 : 7u | 1u << 28;
}

static int add(struct reading *r, size_t i, const struct gofunction *f)
{
	struct place_want want;
	struct placement p;
	int err;

	if (f->size > FUNCTION_MAX || !begins_like_go(r, f->addr)) {
		reading__note(r, "%s is not where the program's own table says", names[i]);
		return 0;
	}
	convention(r, &want);
	err = place__go(&r->code, f->addr, f->size, &want, &p);
	if (err == -ENOTSUP) {
		reading__note(r, "%s %s", names[i], p.why);
		return 0;
	}
	if (!err)
		err = reading__add_site(r, names[i], f->addr, jobs[i][0], &p.in,
		                        p.in.how == TLS_EMULATED ? NULL : p.why);
	for (size_t j = 0; j < p.n_out && !err; j++)
		err = reading__add_site(r, names[i], f->addr, jobs[i][1], &p.out[j],
		                        p.out[j].how == TLS_EMULATED ? NULL : p.why);
	return err;
}

/* One that is read and never written (or the other way round) would make no exchanges, only riddles. */
static void both_or_none(struct reading *r)
{
	bool has[TLS_JOB_NR] = { false };

	for (size_t i = 0; i < r->lib->n_sites; i++)
		has[r->lib->sites[i].job] = true;
	if (!has[TLS_GO_READ_IN] || !has[TLS_GO_WRITE_IN])
		r->lib->n_sites = 0;
}

static int find(struct reading *r, const struct gotable *t, struct err *e)
{
	struct gofunction f[NAMES];
	int err = gotable__find(t, names, f, NAMES, e);

	if (err)
		return err;
	if (!f[0].addr && !f[1].addr) {
		reading__note(r, "a Go program without crypto/tls");
		return 0;
	}
	r->lib->kind = TLS_GO;
	if (!f[0].addr || !f[1].addr) {
		reading__note(r, "%s is not in the program", names[f[0].addr ? 1 : 0]);
		return 0;
	}
	if (!passes_in_registers(r, t->since)) {
		reading__note(r, "%s passes arguments on the stack; Go 1.17 or later is needed (arm64: 1.18)",
		              r->lib->version[0] ? r->lib->version : "its Go");
		return 0;
	}
	if (!r->code.decoder) {
		reading__note(r, "neither x86-64 nor arm64");
		return 0;
	}
	for (size_t i = 0; i < NAMES && !err; i++)
		if (f[i].addr)
			err = add(r, i, &f[i]);
	if (err == -ENOMEM)
		return err_set(e, ENOMEM, "%s: out of memory", r->img.name);
	if (err)
		return err_set(e, ENOEXEC, "%s: broken ELF file: crypto/tls is where there is no code", r->img.name);
	both_or_none(r);
	return 0;
}

int golang__find(struct reading *r, struct err *e)
{
	struct gotable t;
	int err = gotable__open(&t, &r->img, e);

	find_version(r);
	if (err == -ENODATA) {
		reading__note(r, "a Go program without its table of functions");
		return 0;
	}
	if (err == -ENOTSUP) {
		reading__note(r, "a Go program whose table of functions is of an unknown version");
		return 0;
	}
	return err ? err : find(r, &t, e);
}
