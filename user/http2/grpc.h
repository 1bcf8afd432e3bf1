/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What gRPC adds to HTTP/2: a content type, and a status in the trailers ("PROTOCOL-HTTP2" of the gRPC project). */
#ifndef HTTP2_GRPC_H
#define HTTP2_GRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is this content type "application/grpc", alone or with "+format" or parameters? gRPC-Web is another protocol. */
bool h2_is_grpc(const uint8_t *type, size_t len);

/* The value of grpc-status; H2_GRPC_NONE: it is no number, or none that could be a status. */
int h2_grpc_status(const uint8_t *value, size_t len);

/*
 * Could a request for this path be a call: "/Service/Method"? It has exactly two segments.
 */
bool h2_is_grpc_path(const char *path, size_t len);

#endif
