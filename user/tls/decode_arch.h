/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the two architectures' tables give to decode.c. in has len, at and text filled in, and the worst for the rest.
 */
#ifndef TW_TLS_DECODE_ARCH_H
#define TW_TLS_DECODE_ARCH_H

#include <capstone/capstone.h>

#include "tls/decode.h"
#include "tls/move.h"

void decode__x86(const cs_insn *raw, struct insn *in);
void decode__arm64(const cs_insn *raw, struct insn *in);

/* The general register that r is (part of); none for others, all for what the tables do not have. */
regset decode__x86_register(x86_reg r);
void decode__x86_move(const cs_insn *raw, struct move *m);

/* The four instructions of a linker's stub taken as one, if they are there. */
bool decode__arm64_stub(uint64_t at, const uint8_t *bytes, size_t len, struct insn *in);
/* What capstone does not know. */
bool decode__arm64_other(uint64_t at, const uint8_t *bytes, size_t len, struct insn *in);

#endif
