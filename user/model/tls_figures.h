/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is known of TLS: connections by name and version, and why some of them cannot be read. Plain data, of fixed
 * size: what there is no room for is summed up.
 */
#ifndef TW_TLS_FIGURES_H
#define TW_TLS_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/histogram.h"

#define TLS_NAMES_MAX   20
#define TLS_REASONS_MAX 16

/* Connections that had the handshake seen, by what was negotiated in it. */
enum tls_protocol { TLS_SSL_3, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3, TLS_PROTOCOL_OTHER, TLS_PROTOCOL_NR };

extern const char *const tls_protocol_names[TLS_PROTOCOL_NR];

/* version: as on the wire, 0x0303. */
enum tls_protocol tls_protocol_of(uint16_t version);

struct tls_name {
	const char *version; /* of the service; NULL: not known */
	char name[48];       /* that the client asked for; "": none, or there were too many to keep apart */
	enum tls_protocol protocol;
	uint64_t connections;
};

/* Why a process of a version with opaque connections is not read. */
struct tls_reason {
	const char *version;
	pid_t pid;          /* 0: no single process */
	unsigned int alike; /* processes of the version of which the same is to be said, this one included */
	char comm[16];
	char text[280];
};

struct tls_coverage {
	uint64_t connections;
	bool read_measured;  /* programs can be attached to libraries, or there is no TLS */
	uint64_t read;       /* connections whose session in the process is known */
	uint64_t opaque;     /* data was exchanged on them that nobody saw as plaintext */
	uint64_t withheld;   /* of these, because reading them would have cost too much */
	uint64_t unjoined;   /* calls with plaintext whose connection is not known */
	uint64_t mismatched; /* of these, because the socket that was read has another session */
	uint64_t unframed;   /* times that the beginnings of records were lost on the wire: times are coarser there */
	uint64_t negotiated[TLS_PROTOCOL_NR];
	struct tls_name names[TLS_NAMES_MAX]; /* [n_names], most connections first */
	size_t n_names;
	uint64_t other_names; /* connections of those that there is no room for */
	struct tls_reason reasons[TLS_REASONS_MAX];
	size_t n_reasons;
};

/*
 * What can be told of opaque connections: their two sides take turns. Nothing is judged by it. Of those that were read
 * after a while it is of the time before.
 */
struct tls_turns {
	uint64_t begun;
	uint64_t outcome[TW_OUTCOME_NR]; /* of those that have ended; answered: the server sent data */
	struct histogram first_byte;     /* client's first byte -> server's first one, of those answered */
	struct histogram last_byte;      /* client's first byte -> server's last one before the client's next */
};

/* Turns that have ended. */
uint64_t tls_turns__ended(const struct tls_turns *t);

/* Of one version. */
struct tls_version {
	uint64_t connections, read, opaque, withheld;
	bool read_measured;
	unsigned int workers, workers_read; /* processes known to speak TLS that can be read, and those that are */
	struct tls_turns turns;             /* of opaque connections that are not withheld */
	struct tls_turns withheld_turns;    /* of those that are: read or not, they are alike but for that */
};

#endif
