// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Any bytes as a program file; or, when they do not begin like one, as a function of one of the two architectures. It
 * must hold that
 *  - a file is refused with a reason, or understood, with every site inside of it; its version and its build id may
 *    reach a terminal;
 *  - of a function, the place for the arguments and those for the result are within it, and not one and the same unless
 *    the return address is replaced there.
 */
#include <elf.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capture/elf_note.h"
#include "plain_text.h"
#include "tls/library.h"
#include "tls/place.h"

#define BASE 0x401000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void look_at_build_id(int fd)
{
	char hex[ELF_BUILD_ID_HEX];
	int err = elf__build_id(fd, hex, sizeof(hex));

	if (strspn(hex, "0123456789abcdef") != strlen(hex) || strlen(hex) % 2 || !err != !!hex[0])
		fail("a build id that is none");
}

static void as_file(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct tls_library *lib;
	struct err e = { "" };
	int err;

	if (fd < 0)
		fd = memfd_create("elf", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		fail("no file to put it in");
	look_at_build_id(fd);
	err = tls_library__read(fd, "elf", &lib, &e);
	if (err) {
		if (err != -ENOEXEC || !e.text[0] || lib)
			fail("refused without a word");
		return;
	}
	if (!is_plain_text(lib->version, strlen(lib->version), false) ||
	    !is_plain_text(lib->note, strlen(lib->note), false))
		fail("a version or a note that is not for a terminal");
	for (size_t i = 0; i < lib->n_sites; i++)
		if (lib->sites[i].offset >= size || lib->sites[i].job >= TLS_JOB_NR)
			fail("a site that is not in the file");
	tls_library__free(lib);
}

struct bytes {
	const uint8_t *at;
	size_t len;
};

static size_t read_bytes(void *ctx, uint64_t addr, uint8_t *buf, size_t len)
{
	const struct bytes *b = ctx;

	if (addr < BASE || addr - BASE >= b->len)
		return 0;
	if (len > b->len - (addr - BASE))
		len = b->len - (addr - BASE);
	memcpy(buf, b->at + (addr - BASE), len);
	return len;
}

static void within(const struct placement *p, uint64_t size)
{
	if (p->in.addr - BASE >= size)
		fail("the arguments are read outside");
	if (p->n_out > PLACES_OUT_MAX)
		fail("too many places");
	for (size_t i = 0; i < p->n_out; i++) {
		if (p->out[i].addr - BASE >= size)
			fail("the result is read outside");
		if (p->out[i].how == TLS_URETPROBE && (p->out[i].addr != p->in.addr || p->n_out != 1))
			fail("a return address is replaced elsewhere");
		if (p->out[i].how != TLS_URETPROBE && p->out[i].addr == p->in.addr)
			fail("arguments and result are read in one place");
	}
}

static void as_code(const uint8_t *data, size_t size)
{
	static struct decoder *decoders[2];
	const struct place_want want = { .args = 0xc4, .halves = 4, .result = 1 };
	struct bytes b = { data + 2, size - 2 };
	struct code c = { .ctx = &b, .read = read_bytes };
	uint64_t length = b.len - data[1] % (b.len + 1); /* the function; what is behind it may be jumped to */
	struct placement p;
	struct insn jump;
	int arm64 = data[0] & 1;

	if (!decoders[arm64])
		decoders[arm64] = decoder__new(arm64 ? EM_AARCH64 : EM_X86_64);
	c.decoder = decoders[arm64];
	if (!length)
		return;
	if (!c.decoder || place__find(&c, BASE, length, &want, &p))
		fail("out of memory");
	within(&p, length);
	if (!place__go(&c, BASE, length, &want, &p)) {
		within(&p, length);
		for (size_t i = 0; i < p.n_out; i++)
			if (p.out[i].how == TLS_URETPROBE)
				fail("a return address is replaced in Go");
	}
	place__hands_on(&c, BASE, length, &jump);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size >= 4 && !memcmp(data, ELFMAG, 4))
		as_file(data, size);
	else if (size > 2)
		as_code(data, size);
	return 0;
}
