// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/near_ports.h"

struct near_ports near_ports_of(const struct id_place *places, size_t n_places)
{
	struct near_ports near = { .all = true };
	size_t n = 0;

	for (size_t i = 0; i < n_places; i++) {
		uint16_t port = places[i].key.port;
		bool known = places[i].key.client;

		for (size_t k = 0; k < n; k++)
			known |= (near.ports >> (k * 16) & 0xffff) == port;
		if (known)
			continue;
		if (n == NEAR_PORTS) {
			near.all = false;
			break;
		}
		near.ports |= (uint64_t)port << (n++ * 16);
	}
	/* No room is left empty: 0 would be a port, too. */
	for (; n && n < NEAR_PORTS; n++)
		near.ports |= (near.ports & 0xffff) << (n * 16);
	return near;
}
