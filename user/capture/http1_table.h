/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The careful engine's tables: the specification of what the HTTP/1.x recogniser accepts. See bpf/http1.h. */
#ifndef TW_HTTP1_TABLE_H
#define TW_HTTP1_TABLE_H

#include <linux/types.h>

/* The recogniser is shared with the kernel programs; these are the compiler words it relies on. */
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#include "tw_abi.h"

extern __u8 h1_classes[256];
extern __u16 h1_transitions[];
#define H1_CLASS(c) h1_classes[c]
#define H1_NEXT(i)  h1_transitions[i]
#include "http1.h"

/* Fills both; the loader copies them into the kernel programs' constants. Idempotent. */
void http1_table_build(void);

#endif
