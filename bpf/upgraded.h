/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sessions of another protocol, and tunnels: of a connection that has left HTTP, how it ends. */
#ifndef TW_UPGRADED_H
#define TW_UPGRADED_H

#define WS_CLOSE       0x88 /* the first byte of a WebSocket's closing frame, RFC 6455, 5.2 */
#define WS_CLOSE_BYTES 131  /* the longest: 2 bytes of head, 4 of mask, 125 of reason */

static __always_inline int is_upgraded(const struct tw_conn *c)
{
	return c->kind == TW_IGNORED && c->flags & TW_C_DECODED && !is_astray(c);
}

/* Does this segment say that its side is done? A closing frame travels alone, nearly always; the answer to it does. */
static __always_inline int says_bye(struct ctx *x)
{
	__u8 first = 0;

	if (x->s.len > WS_CLOSE_BYTES || bpf_skb_load_bytes(x->skb, x->s.off, &first, 1))
		return 0;
	return first == WS_CLOSE;
}

/* Bytes of a session have passed; bye: they say that their side is done. */
static __always_inline void upgraded_bytes(struct tw_conn *c, int requests, int bye)
{
	if (requests)
		c->rq_ends = bye ? c->rq_ends | TW_C_RQ_BYE : c->rq_ends & ~TW_C_RQ_BYE;
	else
		c->rs_flags = bye ? c->rs_flags | TW_C_RS_BYE : c->rs_flags & ~TW_C_RS_BYE;
}

static __always_inline void upgraded_closes(struct tw_conn *c, int requests, __u8 f)
{
	if (requests && f & (TCP_FIN | TCP_RST))
		c->rq_ends |= f & TCP_RST ? TW_C_RQ_RST : TW_C_RQ_FIN;
	if (requests)
		return;
	if (f & TCP_RST)
		c->rs_flags |= TW_C_RS_RST;
	else if (f & TCP_FIN && !(c->rq_ends & TW_C_RQ_FIN))
		c->rs_flags |= TW_C_RS_FIN; /* it closed first */
}

/* A packet of a connection that is not followed any more: of one that left HTTP, the end is still of interest. */
static __always_inline void upgraded_packet(struct ctx *x, int client)
{
	int requests = !client == !!x->ingress;
	struct tw_conn *c = x->c;

	if (!is_upgraded(c))
		return;
	if (x->s.len)
		upgraded_bytes(c, requests, c->rs.status == 101 && says_bye(x));
	upgraded_closes(c, requests, x->s.tcp_flags);
}

/* How a session ended whose socket goes now. */
static __always_inline enum tw_session_end upgraded_end(const struct tw_conn *c, int err)
{
	int bye = c->rq_ends & TW_C_RQ_BYE || c->rs_flags & TW_C_RS_BYE;

	/* After the closing frames a side that does not wait for the other's FIN may well reset. */
	if (bye)
		return TW_END_CLOSED;
	if (c->rs_flags & TW_C_RS_FIN && c->rs.status == 101)
		return TW_END_CUT;
	if (c->rs_flags & TW_C_RS_RST)
		return TW_END_RESET_BY_SERVER;
	if (c->rq_ends & TW_C_RQ_RST)
		return TW_END_RESET_BY_CLIENT;
	return err == 110 ? TW_END_TIMEOUT : TW_END_CLOSED;
}

#endif
