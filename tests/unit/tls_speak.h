/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A process that speaks TLS with itself through a pair of buffers, by a libssl that it loads. */
#ifndef TW_TESTS_TLS_SPEAK_H
#define TW_TESTS_TLS_SPEAK_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>

#define RECORD 512

/* What is used of the two libraries. */
struct tls_api {
	const void *(*server_method)(void), *(*client_method)(void);
	void *(*ctx_new)(const void *), *(*ssl_new)(void *);
	long (*ctx_ctrl)(void *, int, long, void *);
	int (*cipher_list)(void *, const char *), (*shake)(void *), (*bio_pair)(void **, size_t, void **, size_t);
	void (*accepts)(void *), (*connects)(void *), (*set_bio)(void *, void *, void *), (*free)(void *);
	int (*read)(void *, void *, int), (*write)(void *, const void *, int);
	int (*read_ex)(void *, void *, size_t, size_t *), (*write_ex)(void *, const void *, size_t, size_t *);
};

#define TLS_GET(handle, field, name) (a->field = (__typeof__(a->field))dlsym(handle, name))

static inline bool tls_api(void *ssl, void *crypto, struct tls_api *a)
{
	return TLS_GET(ssl, server_method, "TLS_server_method") && TLS_GET(ssl, client_method, "TLS_client_method") &&
	       TLS_GET(ssl, ctx_new, "SSL_CTX_new") && TLS_GET(ssl, ssl_new, "SSL_new") &&
	       TLS_GET(ssl, ctx_ctrl, "SSL_CTX_ctrl") && TLS_GET(ssl, cipher_list, "SSL_CTX_set_cipher_list") &&
	       TLS_GET(ssl, shake, "SSL_do_handshake") && TLS_GET(crypto, bio_pair, "BIO_new_bio_pair") &&
	       TLS_GET(ssl, accepts, "SSL_set_accept_state") && TLS_GET(ssl, connects, "SSL_set_connect_state") &&
	       TLS_GET(ssl, set_bio, "SSL_set_bio") && TLS_GET(ssl, free, "SSL_free") &&
	       TLS_GET(ssl, read, "SSL_read") && TLS_GET(ssl, write, "SSL_write") &&
	       TLS_GET(ssl, read_ex, "SSL_read_ex") && TLS_GET(ssl, write_ex, "SSL_write_ex");
}

/* Anonymous TLS 1.2, so that no certificate is needed; small records, for there is much to step through. */
static inline void *tls_new(const struct tls_api *a, const void *method)
{
	void *ctx = a->ctx_new(method);

	a->ctx_ctrl(ctx, 124, 0x0303L, NULL); /* at most TLS 1.2 */
	a->ctx_ctrl(ctx, 52, RECORD, NULL);   /* bytes of a record */
	a->ctx_ctrl(ctx, 118, 1L, NULL);      /* Diffie-Hellman parameters of its own choice */
	a->cipher_list(ctx, "ADH-AES128-GCM-SHA256:@SECLEVEL=0");
	return a->ssl_new(ctx);
}

struct tls_pair {
	void *server, *client;
};

static inline int tls_pair(const struct tls_api *a, struct tls_pair *p)
{
	void *near, *far;

	p->server = tls_new(a, a->server_method());
	p->client = tls_new(a, a->client_method());
	a->accepts(p->server);
	a->connects(p->client);
	a->bio_pair(&near, 4 * RECORD, &far, 4 * RECORD);
	a->set_bio(p->server, near, near);
	a->set_bio(p->client, far, far);
	for (int i = 0; i < 20; i++) {
		int client = a->shake(p->client), server = a->shake(p->server);

		if (client == 1 && server == 1)
			return 0;
	}
	return -1;
}

#endif
