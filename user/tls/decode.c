// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/decode.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>

#include "tls/decode_arch.h"

struct decoder {
	csh handle;
	cs_insn *scratch;
	uint16_t machine;
};

struct decoder *decoder__new(uint16_t machine)
{
	struct decoder *d;

	if (machine != EM_X86_64 && machine != EM_AARCH64)
		return NULL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->machine = machine;
	if (cs_open(machine == EM_X86_64 ? CS_ARCH_X86 : CS_ARCH_ARM64, machine == EM_X86_64 ? CS_MODE_64 : CS_MODE_ARM,
	            &d->handle)) {
		free(d);
		return NULL;
	}
	cs_option(d->handle, CS_OPT_DETAIL, CS_OPT_ON);
	d->scratch = cs_malloc(d->handle);
	if (d->scratch)
		return d;
	decoder__free(d);
	return NULL;
}

void decoder__free(struct decoder *d)
{
	if (!d)
		return;
	if (d->scratch)
		cs_free(d->scratch, 1);
	cs_close(&d->handle);
	free(d);
}

uint16_t decoder__machine(const struct decoder *d)
{
	return d->machine;
}

bool decoder__insn(struct decoder *d, uint64_t at, const uint8_t *bytes, size_t len, struct insn *out)
{
	const uint8_t *p = bytes;
	uint64_t address = at;
	size_t left = len;

	if (d->machine == EM_AARCH64 && decode__arm64_stub(at, bytes, len, out))
		return true;
	if (!cs_disasm_iter(d->handle, &p, &left, &address, d->scratch))
		return d->machine == EM_AARCH64 && decode__arm64_other(at, bytes, len, out);
	*out = (struct insn){ .at = at, .len = (uint8_t)d->scratch->size, .kind = INSN_ANYWHERE, .changes = REGS_ALL };
	snprintf(out->text, sizeof(out->text), "%.15s", d->scratch->mnemonic);
	if (d->machine == EM_X86_64)
		decode__x86(d->scratch, out);
	else
		decode__arm64(d->scratch, out);
	return true;
}

bool decoder__move(struct decoder *d, uint64_t at, const uint8_t *bytes, size_t len, struct move *out)
{
	const uint8_t *p = bytes;
	uint64_t address = at;
	size_t left = len;

	if (d->machine != EM_X86_64 || !cs_disasm_iter(d->handle, &p, &left, &address, d->scratch))
		return false;
	decode__x86_move(d->scratch, out);
	return true;
}
