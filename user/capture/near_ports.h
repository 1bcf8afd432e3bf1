/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The watched ports that the kernel programs know without asking their map: see near_ports in bpf/maps.h. */
#ifndef TW_NEAR_PORTS_H
#define TW_NEAR_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/identity.h"

#define NEAR_PORTS 4

struct near_ports {
	uint64_t
		ports; /* NEAR_PORTS numbers of 16 bits, the first one lowest; where there are fewer, the first again */
	bool all;      /* there are no others */
};

/*
 * The first NEAR_PORTS different ports that the places have servers at, in their order. Ports of the far end of a
 * proxy's connections are none of them. Without any, ports is 0, which is the port of no connection.
 */
struct near_ports near_ports_of(const struct id_place *places, size_t n_places);

#endif
