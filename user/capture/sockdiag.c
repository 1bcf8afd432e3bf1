// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/sockdiag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define SOCKS_MAX      (1024 * 1024)
#define ANSWER_SECONDS 5

/* Everything in which a connection still can carry an exchange; not TIME_WAIT, which has no cgroup any more. */
#define CONNECTION_STATES \
	(1 << TCP_ESTABLISHED | 1 << TCP_SYN_SENT | 1 << TCP_FIN_WAIT1 | 1 << TCP_FIN_WAIT2 | 1 << TCP_CLOSE_WAIT)

/* --- the table
 * --------------------------------------------------------------------------------------------------------- */

void socktable__free(struct socktable *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i].holders);
	free(t->v);
	free(t->index);
	*t = (struct socktable){ 0 };
}

static int append(struct socktable *t, const struct sock *s)
{
	if (t->n >= SOCKS_MAX)
		return -E2BIG;
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		struct sock *grown = reallocarray(t->v, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		t->v = grown;
		t->cap = cap;
	}
	t->v[t->n++] = *s;
	return 0;
}

static uint32_t *slot_of(struct socktable *t, uint64_t inode)
{
	size_t i = (size_t)(inode * 0x9e3779b97f4a7c15ULL >> 32) & (t->index_cap - 1);

	while (t->index[i] && t->v[t->index[i] - 1].inode != inode)
		i = (i + 1) & (t->index_cap - 1);
	return &t->index[i];
}

/* A dump that goes on while sockets come and go may report one twice: the index also drops the second. */
int socktable__index(struct socktable *t)
{
	size_t kept = 0;

	t->index_cap = 64;
	while (t->index_cap < 2 * t->n)
		t->index_cap *= 2;
	free(t->index);
	t->index = calloc(t->index_cap, sizeof(*t->index));
	if (!t->index)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++) {
		uint32_t *slot;

		t->v[kept] = t->v[i];
		slot = t->v[kept].inode ? slot_of(t, t->v[kept].inode) : NULL;
		if (slot && *slot)
			continue;
		kept++;
		if (slot)
			*slot = (uint32_t)kept;
	}
	t->n = kept;
	return 0;
}

void socktable__hold(struct socktable *t, uint64_t inode, uint32_t process)
{
	uint32_t *slot, *grown;
	struct sock *s;

	if (!t->index)
		return;
	slot = slot_of(t, inode);
	if (!*slot)
		return;
	s = &t->v[*slot - 1];
	/* A process is read in one go, so a descriptor that it has twice comes twice in a row. */
	if (s->n_holders && s->holders[s->n_holders - 1] == process)
		return;
	grown = reallocarray(s->holders, s->n_holders + 1, sizeof(*grown));
	if (!grown) {
		t->error = -ENOMEM;
		return;
	}
	s->holders = grown;
	s->holders[s->n_holders++] = process;
}

/* --- netlink
 * ------------------------------------------------------------------------------------------------------------- */

void sockdiag__be_patient(int nl)
{
	struct timeval patience = { .tv_sec = ANSWER_SECONDS };

	setsockopt(nl, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

int sockdiag__open(void)
{
	int nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (nl < 0)
		return -errno;
	sockdiag__be_patient(nl);
	return nl;
}

/* Compares the remote port in the kernel, so that a host with 100,000 connections hands over only the few that count.
 */
struct port_filter {
	struct rtattr attr;
	struct inet_diag_bc_op op[4];
};

static void make_port_filter(struct port_filter *f, uint16_t port)
{
	const unsigned short size = sizeof(f->op[0]);

	*f = (struct port_filter){
		.attr = { .rta_len = sizeof(*f), .rta_type = INET_DIAG_REQ_BYTECODE },
		/* yes: on to the next pair; no: one step past the end, which rejects. The port is in the second half.
		 */
		.op = { { .code = INET_DIAG_BC_D_GE, .yes = (unsigned char)(2 * size), .no = 5 * size },
		        { .no = port },
		        { .code = INET_DIAG_BC_D_LE, .yes = (unsigned char)(2 * size), .no = 3 * size },
		        { .no = port } },
	};
}

static int ask(int nl, uint8_t family, uint32_t states, uint16_t port)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 req;
		struct port_filter filter;
	} m = {
		.head = { .nlmsg_len = sizeof(m),
		          .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.req = { .sdiag_family = family,
		         .sdiag_protocol = IPPROTO_TCP,
		         .idiag_states = states,
		         .idiag_ext = 1 << (INET_DIAG_SKMEMINFO - 1) },
	};
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	if (port)
		make_port_filter(&m.filter, port);
	else
		m.head.nlmsg_len -= sizeof(m.filter);
	if (sendto(nl, &m, m.head.nlmsg_len, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

static void set_addr(struct tw_place *place, uint8_t family, const __be32 words[4])
{
	static const uint8_t zero[16];

	if (!memcmp(words, zero, family == AF_INET ? 4 : 16))
		return;
	if (family == AF_INET6) {
		memcpy(place->addr, words, 16);
		return;
	}
	place->addr[10] = place->addr[11] = 0xff;
	memcpy(place->addr + 12, words, 4);
}

static int take(struct socktable *t, const struct nlmsghdr *head, bool remote)
{
	const struct inet_diag_msg *m = NLMSG_DATA(head);
	const struct rtattr *attr = (const struct rtattr *)(m + 1);
	struct sock s = { .family = m->idiag_family,
		          .inode = m->idiag_inode,
		          .cookie = m->id.idiag_cookie[0] | (uint64_t)m->id.idiag_cookie[1] << 32,
		          .queued = m->idiag_rqueue,
		          .queue_limit = m->idiag_wqueue };
	int left = (int)head->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*m));

	if (left < 0)
		return 0;
	s.place.client = remote;
	s.place.port = ntohs(remote ? m->id.idiag_dport : m->id.idiag_sport);
	set_addr(&s.place, m->idiag_family, remote ? m->id.idiag_dst : m->id.idiag_src);
	for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left)) {
		if (attr->rta_type == INET_DIAG_SKV6ONLY && RTA_PAYLOAD(attr) >= 1)
			s.v6only = *(const uint8_t *)RTA_DATA(attr);
		else if (attr->rta_type == INET_DIAG_CGROUP_ID && RTA_PAYLOAD(attr) >= sizeof(s.cgroup_id))
			memcpy(&s.cgroup_id, RTA_DATA(attr), sizeof(s.cgroup_id));
		else if (attr->rta_type == INET_DIAG_SKMEMINFO && RTA_PAYLOAD(attr) >= 4 * (SK_MEMINFO_DROPS + 1))
			memcpy(&s.drops, (const uint32_t *)RTA_DATA(attr) + SK_MEMINFO_DROPS, sizeof(s.drops));
	}
	return append(t, &s);
}

/* Takes the answer to the end; returns 0 or a negative errno. */
static int collect(int nl, struct socktable *t, bool remote)
{
	_Alignas(struct nlmsghdr) char buf[32768];

	for (;;) {
		ssize_t len = recv(nl, buf, sizeof(buf), 0);
		struct nlmsghdr *head = (struct nlmsghdr *)buf;

		if (len < 0 && errno == EINTR)
			continue;
		if (len <= 0)
			return len ? -errno : -EIO;
		for (unsigned int left = (unsigned int)len; NLMSG_OK(head, left); head = NLMSG_NEXT(head, left)) {
			int err = 0;

			if (head->nlmsg_type == NLMSG_DONE)
				return 0;
			if (head->nlmsg_type == NLMSG_ERROR)
				return head->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr))
				               ? ((struct nlmsgerr *)NLMSG_DATA(head))->error
				               : -EIO;
			if (head->nlmsg_type == SOCK_DIAG_BY_FAMILY)
				err = take(t, head, remote);
			if (err)
				return err;
		}
	}
}

static int dump(int nl, uint32_t states, uint16_t port, struct socktable *t, struct err *e)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	int err = 0;

	for (size_t i = 0; i < 2; i++) {
		err = ask(nl, families[i], states, port);
		if (!err)
			err = collect(nl, t, port != 0);
		/* A kernel without IPv6 answers ENOENT to the second question. */
		if (err == -ENOENT && families[i] == AF_INET6)
			err = 0;
		if (err)
			break;
	}
	if (err == -ENOENT)
		return err_set(e, ENOENT, "the kernel has no inet_diag for TCP; try: modprobe tcp_diag");
	if (err)
		return err_set(e, -err, "cannot read the kernel's socket tables (inet_diag): %s", strerror(-err));
	return 0;
}

int sockdiag__listeners(int nl, struct socktable *t, struct err *e)
{
	return dump(nl, 1U << TCP_LISTEN, 0, t, e);
}

int sockdiag__connections_to(int nl, uint16_t port, struct socktable *t, struct err *e)
{
	return dump(nl, CONNECTION_STATES, port, t, e);
}

/* --- places
 * ---------------------------------------------------------------------------------------------------------------- */

bool place__is_any(const struct tw_place *place)
{
	static const uint8_t zero[16];

	return !memcmp(place->addr, zero, sizeof(zero));
}

bool place__same(const struct tw_place *a, const struct tw_place *b)
{
	return a->port == b->port && a->client == b->client && !memcmp(a->addr, b->addr, sizeof(a->addr));
}

static bool is_v4(const uint8_t addr[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(addr, mapped, sizeof(mapped));
}

bool place__covers(const struct tw_place *place, const struct sock *s)
{
	if (place->port != s->place.port || place->client != s->place.client)
		return false;
	if (place__is_any(place) || place__same(place, &s->place))
		return true;
	if (place->client || !place__is_any(&s->place))
		return false;
	/* A wildcard listener takes what comes to the address of the place. */
	return is_v4(place->addr) ? s->family == AF_INET || !s->v6only : s->family == AF_INET6;
}

const char *place__text(const struct tw_place *place, int family, char *text, size_t len)
{
	char addr[INET6_ADDRSTRLEN] = "";

	if (place__is_any(place) && !family)
		snprintf(text, len, "port %u", place->port);
	else if (place__is_any(place))
		snprintf(text, len, family == AF_INET6 ? "[::]:%u" : "0.0.0.0:%u", place->port);
	else if (is_v4(place->addr))
		snprintf(text, len, "%s:%u", inet_ntop(AF_INET, place->addr + 12, addr, sizeof(addr)), place->port);
	else
		snprintf(text, len, "[%s]:%u", inet_ntop(AF_INET6, place->addr, addr, sizeof(addr)), place->port);
	return text;
}
