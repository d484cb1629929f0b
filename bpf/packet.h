/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Turnaround: first payload out to first payload back on a client's socket, first payload in to first payload out on
 * a backend's. Also the TCP flags that tell who ended a connection.
 *
 * Invariants: leaves at once on a segment that carries neither payload nor FIN nor RST, so the segments of a handshake
 * cost next to nothing, and on a socket that is not ours; a retransmitted segment starts nothing (its end is not
 * beyond the newest one seen); no shared counter is touched per packet. Bytes out are kept with the socket, bytes in are
 * the kernel's own count of what arrived in order; both are added when the connection ends, and per MiB before.
 *
 * Left out: pipelined and streaming protocols blur the figure, it is a field signal; a request on the SYN
 * (TCP fast open) is not measured; IPv6 extension headers are not walked.
 */
#ifndef CONTINUITY_PACKET_H
#define CONTINUITY_PACKET_H

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include "result.h"

struct segment {
	__u32 end; /* sequence number behind the payload */
	__u32 payload;
	__u32 fin;
	__u32 rst;
};

/* 1 if the packet is a TCP segment whose headers are at hand. */
static __always_inline int parse(struct __sk_buff *skb, struct segment *g)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data;
	struct ipv6hdr *ip6 = data;
	struct tcphdr *tcp;
	__u32 length;

	if ((void *)(ip + 1) > end)
		return 0;
	if (ip->version == 4) {
		if (ip->protocol != IPPROTO_TCP)
			return 0;
		length = ip->ihl * 4;
	} else {
		if ((void *)(ip6 + 1) > end || ip6->nexthdr != IPPROTO_TCP)
			return 0;
		length = sizeof(*ip6);
	}
	tcp = data + length;
	if ((void *)(tcp + 1) > end)
		return 0;
	length += tcp->doff * 4;
	g->payload = skb->len > length ? skb->len - length : 0;
	g->end = bpf_ntohl(tcp->seq) + g->payload;
	g->fin = tcp->fin;
	g->rst = tcp->rst;
	return 1;
}

/* A request starts to wait. */
static __always_inline void ask(struct ct_socket *s)
{
	struct ct_traffic *t = traffic_of(s);

	if (!t)
		return;
	s->started = bpf_ktime_get_ns();
	if (!won(s, CT_IDLE, CT_WAITING))
		return;
	wait_begin(s, t);
	hold(s);
}

/* Its answer begins. */
static __always_inline void answer(struct ct_socket *s)
{
	struct ct_traffic *t = traffic_of(s);
	struct ct_set_traffic *st = 0;
	struct ct_bank *bank = 0;

	if (!t || !won(s, CT_WAITING, CT_IDLE))
		return;
	let_go(s);
	if (s->prediction != CT_NO_PREDICTION && !(s->flags & CT_SERVER)) {
		st = set_traffic_of(s->set);
		bank = present_bank(s->set);
	}
	answered(s, t, st ? &st->regression : 0, bank ? &bank->choice : 0, bpf_ktime_get_ns());
}

/* Does the segment pass a multiple of CT_GATHER_SHIFT? Needs no memory of the last time. */
static __always_inline int passes(const struct segment *g)
{
	return (g->end ^ (g->end - g->payload)) >> CT_GATHER_SHIFT != 0;
}

/* Payload that is new, either way. `asks`: this direction carries requests. */
static __always_inline void on_payload(struct ct_socket *s, int asks)
{
	if (!(s->flags & CT_SPOKE))
		flag(s, CT_SPOKE);
	if (asks) {
		if (s->phase == CT_IDLE && !(s->flags & CT_OVER))
			ask(s);
	} else if (s->phase == CT_WAITING) {
		answer(s);
	} else if (s->flags & CT_PASSED) {
		let_go(s);
	}
}

static __always_inline struct ct_socket *measured(struct __sk_buff *skb)
{
	struct ct_socket *s = skb->sk ? socket_of(bpf_get_socket_cookie(skb)) : 0;

	return s && s->flags & CT_ACTIVE ? s : 0;
}

/* Where a datagram goes to, or comes from. */
struct datagram {
	__u32 there; /* digest of the address */
	__u32 port;
	__u32 payload;
};

/* 1 if the packet is a UDP datagram whose headers are at hand. */
static __always_inline int parse_datagram(struct __sk_buff *skb, struct datagram *g, int leaves)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data;
	struct ipv6hdr *ip6 = data;
	struct in6_addr *a;
	struct udphdr *udp;
	__u32 length;

	if ((void *)(ip + 1) > end)
		return 0;
	if (ip->version == 4) {
		if (ip->protocol != IPPROTO_UDP)
			return 0;
		length = ip->ihl * 4;
		g->there = digest_of(0, 0, CT_MAPPED, leaves ? ip->daddr : ip->saddr);
	} else {
		if ((void *)(ip6 + 1) > end || ip6->nexthdr != IPPROTO_UDP)
			return 0;
		length = sizeof(*ip6);
		a = leaves ? &ip6->daddr : &ip6->saddr;
		g->there = digest_of(a->in6_u.u6_addr32[0], a->in6_u.u6_addr32[1], a->in6_u.u6_addr32[2],
				a->in6_u.u6_addr32[3]);
	}
	udp = data + length;
	if ((void *)(udp + 1) > end)
		return 0;
	g->port = leaves ? udp->dest : udp->source;
	length += sizeof(*udp);
	g->payload = skb->len > length ? skb->len - length : 0;
	return 1;
}

/* The record of a connected UDP socket whose datagram goes to its backend or comes from it. */
static __always_inline struct ct_socket *associated(struct __sk_buff *skb, struct datagram *g, int leaves)
{
	struct ct_socket *s;

	if (!parse_datagram(skb, g, leaves))
		return 0;
	s = measured(skb);
	if (!s || !(s->flags & CT_DATAGRAM))
		return 0;
	return s->out_end == g->there && s->in_end == g->port ? s : 0;
}

static __always_inline int datagram_leaves(struct __sk_buff *skb)
{
	struct datagram g;
	struct ct_socket *s = associated(skb, &g, 1);

	if (!s)
		return CT_PASS;
	if (gone(s))
		return CT_DENY;
	said(s, g.payload);
	return CT_PASS;
}

static __always_inline void datagram_comes(struct __sk_buff *skb)
{
	struct datagram g;
	struct ct_socket *s = associated(skb, &g, 0);

	if (s)
		heard(s, g.payload);
}

static __always_inline void segment_leaves(struct __sk_buff *skb, const struct segment *g)
{
	struct ct_socket *s = measured(skb);
	struct ct_traffic *t;
	__s32 fresh;

	if (!s || !(s->flags & CT_OPEN))
		return;
	fresh = (__s32)(g->end - s->out_end);
	if (fresh <= 0)
		return;
	s->out_end = g->end;
	s->bytes_out += (__u32)fresh < g->payload ? (__u32)fresh : g->payload;
	on_payload(s, !(s->flags & CT_SERVER));
	t = passes(g) ? traffic_of(s) : 0;
	if (t)
		gather_out(s, t);
}

static __always_inline int on_egress(struct __sk_buff *skb)
{
	struct segment g;

	if (!parse(skb, &g))
		return datagram_leaves(skb);
	if (g.payload)
		segment_leaves(skb, &g);
	return CT_PASS;
}

/* Adds what had arrived in order before this segment. */
static __always_inline void gather_received(struct __sk_buff *skb, struct ct_socket *s)
{
	struct bpf_sock *sk = skb->sk;
	struct bpf_tcp_sock *tcp = sk ? bpf_tcp_sock(sk) : 0;
	struct ct_traffic *t = tcp ? traffic_of(s) : 0;

	if (t)
		gather_in(s, t, (__u32)tcp->bytes_received);
}

static __always_inline void on_ingress(struct __sk_buff *skb)
{
	struct ct_socket *s;
	struct segment g;

	if (!parse(skb, &g))
		return datagram_comes(skb);
	if (!(g.payload | g.fin | g.rst))
		return;
	s = measured(skb);
	if (!s)
		return;
	if (s->flags & CT_OPEN && (__s32)(g.end - s->in_end) > 0) {
		s->in_end = g.end;
		if (g.payload)
			on_payload(s, s->flags & CT_SERVER);
	}
	if (passes(&g) && s->flags & CT_OPEN)
		gather_received(skb, s);
	if (g.rst)
		flag(s, CT_PEER_RST);
	if (g.fin)
		flag(s, CT_PEER_FIN);
}

#endif
