// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model/tls_figures.h"

const char *const tls_protocol_names[TLS_PROTOCOL_NR] = {
	[TLS_SSL_3] = "SSL 3.0", [TLS_1_0] = "TLS 1.0", [TLS_1_1] = "TLS 1.1",
	[TLS_1_2] = "TLS 1.2",   [TLS_1_3] = "TLS 1.3", [TLS_PROTOCOL_OTHER] = "other",
};

enum tls_protocol tls_protocol_of(uint16_t version)
{
	return version >= 0x0300 && version <= 0x0304 ? (enum tls_protocol)(version - 0x0300) : TLS_PROTOCOL_OTHER;
}

uint64_t tls_turns__ended(const struct tls_turns *t)
{
	uint64_t n = 0;

	for (int i = 0; i < TW_OUTCOME_NR; i++)
		n += t->outcome[i];
	return n;
}
