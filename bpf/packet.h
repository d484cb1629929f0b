/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Turnaround: first payload out to first payload back on a client's socket, first payload in to first payload out on
 * a backend's. Also the TCP flags that tell who ended a connection.
 *
 * Invariants: leaves at once on a socket that is not ours and on a segment that carries neither payload nor FIN nor
 * RST; a retransmitted segment starts nothing (its end is not beyond the newest one seen); no shared counter is
 * touched per packet; bytes (without retransmitted ones) are kept with the socket and added when the connection ends or 1 MiB has gathered.
 *
 * Left out: pipelined and streaming protocols blur the figure, it is a field signal; a request on the SYN
 * (TCP fast open) is not measured; IPv6 extension headers are not walked; bytes in that arrive behind newer ones (they
 * fill a hole that a loss left) look like retransmitted ones and are not counted.
 */
#ifndef CONTINUITY_PACKET_H
#define CONTINUITY_PACKET_H

#include <linux/ip.h>
#include <linux/ipv6.h>
#include "result.h"

#define CT_GATHER (1u << 20)

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
	if (won(s, CT_IDLE, CT_WAITING))
		wait_begin(s, t);
}

/* Its answer begins. */
static __always_inline void answer(struct ct_socket *s)
{
	struct ct_traffic *t = traffic_of(s);
	struct ct_set_traffic *st = 0;
	struct ct_bank *bank = 0;

	if (!t || !won(s, CT_WAITING, CT_IDLE))
		return;
	if (s->prediction != CT_NO_PREDICTION && !(s->flags & CT_SERVER)) {
		st = set_traffic_of(s->set);
		bank = present_bank(s->set);
	}
	answered(s, t, st ? &st->regression : 0, bank ? &bank->choice : 0, bpf_ktime_get_ns());
}

static __always_inline void gather(struct ct_socket *s)
{
	struct ct_traffic *t;

	if (s->bytes_in < CT_GATHER && s->bytes_out < CT_GATHER)
		return;
	t = traffic_of(s);
	if (t)
		flush_bytes(s, t);
}

/* One segment of a socket of ours. `asks`: this direction carries requests. */
static __always_inline void on_payload(struct ct_socket *s, const struct segment *g, __u32 *newest, __u32 *bytes,
				       int asks)
{
	__s32 fresh = (__s32)(g->end - *newest);

	if (fresh <= 0)
		return;
	*newest = g->end;
	if (!(s->flags & CT_SPOKE))
		flag(s, CT_SPOKE);
	*bytes += (__u32)fresh < g->payload ? (__u32)fresh : g->payload;
	if (asks) {
		if (s->phase == CT_IDLE && !(s->flags & CT_OVER))
			ask(s);
	} else if (s->phase == CT_WAITING) {
		answer(s);
	}
	gather(s);
}

static __always_inline struct ct_socket *measured(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct ct_socket *s;

	if (!sk)
		return 0;
	s = bpf_sk_storage_get(&sockets, sk, 0, 0);
	return s && s->flags & CT_ACTIVE ? s : 0;
}

static __always_inline void on_egress(struct __sk_buff *skb)
{
	struct ct_socket *s = measured(skb);
	struct segment g;

	if (!s || !(s->flags & CT_OPEN) || !parse(skb, &g) || !g.payload)
		return;
	on_payload(s, &g, &s->out_end, &s->bytes_out, !(s->flags & CT_SERVER));
}

static __always_inline void on_ingress(struct __sk_buff *skb)
{
	struct ct_socket *s = measured(skb);
	struct segment g;

	if (!s || !parse(skb, &g))
		return;
	if (g.payload && s->flags & CT_OPEN)
		on_payload(s, &g, &s->in_end, &s->bytes_in, s->flags & CT_SERVER);
	if (g.rst)
		flag(s, CT_PEER_RST);
	if (g.fin)
		flag(s, CT_PEER_FIN);
}

#endif
