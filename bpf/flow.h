/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * UDP sockets that send without connect: sendmsg chooses, recvmsg shows the address that was asked for.
 *
 * A socket keeps its backend for an address as long as it keeps sending (120 s of silence end it: what conntrack gives
 * a stream under kube-proxy), the backend stays in the set, and nobody isolates it. Then the next datagram chooses again.
 *
 * Invariants: nothing is rewritten without a way back (an answer from an address that was never asked is thrown away by
 * every resolver); the table is bounded, and a flow that it forgets chooses again; no datagram is refused but for a set
 * without backends, or on a connected socket whose backend is gone.
 * Left out: turnaround of such sockets, so they go by the slots and not by the score; two service addresses that share a
 * backend, asked by one socket: its answers show the one that was asked last; the address in an ICMP error's queue
 * (IP_RECVERR).
 */
#ifndef CONTINUITY_FLOW_H
#define CONTINUITY_FLOW_H

#include "connect.h"

#define CT_FLOW_LIFE 120000000000ull /* ns */

CT_LRU(flows, struct ct_flow_key, struct ct_flow);

#define CT_GONE 0xfffffffeu

/* An address in two words: functions that are verified once take five numbers and no memory on kernels before 5.13. */
struct wide {
	__u64 high;
	__u64 low;
};

static __always_inline struct wide wide_of(const __u32 *a)
{
	struct wide w = {a[0] | (__u64)a[1] << 32, a[2] | (__u64)a[3] << 32};

	return w;
}

static __always_inline int same(const __u32 *a, __u64 high, __u64 low)
{
	struct wide w = wide_of(a);

	return w.high == high && w.low == low;
}

static __always_inline void flow_key(struct ct_flow_key *k, __u64 cookie, struct wide w, __u16 port, __u16 answers)
{
	k->cookie = cookie;
	k->address[0] = (__u32)w.high;
	k->address[1] = (__u32)(w.high >> 32);
	k->address[2] = (__u32)w.low;
	k->address[3] = (__u32)(w.low >> 32);
	k->port = port;
	k->answers = answers;
	k->reserved = 0;
}

/* The backend that this socket uses for an address of the set, if it goes on, and the way back is known. */
__attribute__((noinline)) __u32 ct_flowing(__u64 cookie, __u64 high, __u64 low, __u64 set_port, __u64 now)
{
	struct wide asked = {high, low};
	__u16 port = (__u16)set_port;
	struct ct_flow *f, *back;
	struct ct_flow_key k;
	struct ct_backend *b;
	struct ct_record *r;
	__u32 at;

	flow_key(&k, cookie, asked, port, 0);
	f = bpf_map_lookup_elem(&flows, &k);
	if (!f || (now > f->last && now - f->last >= CT_FLOW_LIFE))
		return CT_NONE;
	at = f->backend;
	b = backend_at(at);
	if (!b || !(b->flags & CT_BACKEND_VALID) || b->set != (__u32)(set_port >> 32) ||
	    b->generation != f->generation)
		return CT_NONE;
	r = record_at(at);
	if (r && r->off)
		return CT_NONE;
	flow_key(&k, cookie, wide_of(b->address), b->port, 1);
	back = bpf_map_lookup_elem(&flows, &k);
	if (!back || back->port != port || !same(back->address, high, low))
		return CT_NONE;
	f->last = now;
	return at;
}

/* Keeps both ways; 0 if there is no room for them. */
__attribute__((noinline)) __u32 ct_keep_flow(__u64 cookie, __u64 high, __u64 low, __u16 port, __u32 backend)
{
	struct ct_backend *b = backend_at(backend);
	struct wide asked = {high, low};
	struct ct_flow f = {};
	struct ct_flow_key k;

	if (!b)
		return 0;
	f.last = about_now();
	f.address[0] = (__u32)high;
	f.address[1] = (__u32)(high >> 32);
	f.address[2] = (__u32)low;
	f.address[3] = (__u32)(low >> 32);
	f.port = port;
	f.backend = backend;
	f.generation = b->generation;
	flow_key(&k, cookie, wide_of(b->address), b->port, 1);
	if (bpf_map_update_elem(&flows, &k, &f, BPF_ANY))
		return 0;
	flow_key(&k, cookie, asked, port, 0);
	return !bpf_map_update_elem(&flows, &k, &f, BPF_ANY);
}

/* The backend that a connected socket has for this very address; CT_GONE if it left its set, CT_NONE if it has none. */
__attribute__((noinline)) __u32 ct_connected(__u64 cookie, __u64 high, __u64 low, __u16 port)
{
	struct ct_socket *s = socket_of(cookie);

	if (!s || !(s->flags & CT_DATAGRAM) || s->port != port || !same(s->address, high, low))
		return CT_NONE;
	return gone(s) ? CT_GONE : s->backend;
}

/* A flow without a connection opens and ends in one. */
static __always_inline void count_flow(__u32 backend)
{
	__u32 at = backend * (shard_mask + 1) + shard();
	struct ct_traffic *t = bpf_map_lookup_elem(&client_traffic, &at);

	if (!t)
		return;
	CT_ADD(&t->attempts, 1);
	CT_ADD(&t->established, 1);
	CT_ADD(&t->closed, 1);
}

/* Where a datagram to `key` goes; as decide() of connect.h. */
static __always_inline struct ct_backend *decide_datagram(struct bpf_sock_addr *ctx, const struct ct_key *key,
							  int *verdict)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct wide w = wide_of(key->address);
	struct ct_backend *b;
	struct decision d;
	struct target t;
	__u32 at;

	at = ct_connected(cookie, w.high, w.low, key->port);
	if (at == CT_GONE) {
		*verdict = CT_DENY;
		return 0;
	}
	if (at != CT_NONE)
		return backend_at(at);
	if (!aim(key, &t))
		return 0;
	if (t.state != CT_FALLBACK) {
		at = ct_flowing(cookie, w.high, w.low, (__u64)t.index << 32 | key->port, t.now);
		if (at != CT_NONE)
			return backend_at(at);
	}
	b = pick(ctx, key, &t, &d, 0, verdict);
	if (!b)
		return 0;
	if (!ct_keep_flow(cookie, w.high, w.low, key->port, d.backend)) {
		CT_COUNT_NODE(unkept);
		return 0;
	}
	count_flow(d.backend);
	count_steered(&t);
	return b;
}

static __always_inline int send_v4(struct bpf_sock_addr *ctx)
{
	struct ct_backend *backend;
	struct ct_key key = {};
	int verdict = CT_PASS;

	key_v4(ctx, &key, IPPROTO_UDP);
	backend = decide_datagram(ctx, &key, &verdict);
	if (backend)
		rewrite_v4(ctx, backend->address, backend->port);
	return verdict;
}

static __always_inline int send_v6(struct bpf_sock_addr *ctx)
{
	struct ct_backend *backend;
	struct ct_key key = {};
	int verdict = CT_PASS;

	key_v6(ctx, &key, IPPROTO_UDP);
	backend = decide_datagram(ctx, &key, &verdict);
	if (backend)
		rewrite_v6(ctx, backend->address, backend->port);
	return verdict;
}

/* The address that was asked for when this one answers: 1 with it in `asked`. */
static __always_inline int asked_for(struct bpf_sock_addr *ctx, const struct ct_key *from, struct ct_key *asked)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct ct_socket *s = socket_of(cookie);
	struct ct_flow_key k;
	struct ct_flow *f;
	__u32 to = digest_of(from->address[0], from->address[1], from->address[2], from->address[3]);

	if (s && s->flags & CT_DATAGRAM && s->out_end == to && s->in_end == from->port) {
		__builtin_memcpy(asked->address, s->address, sizeof(asked->address));
		asked->port = s->port;
		return 1;
	}
	flow_key(&k, cookie, wide_of(from->address), from->port, 1);
	f = bpf_map_lookup_elem(&flows, &k);
	if (!f)
		return 0;
	__builtin_memcpy(asked->address, f->address, sizeof(asked->address));
	asked->port = f->port;
	return 1;
}

static __always_inline void receive_v4(struct bpf_sock_addr *ctx)
{
	struct ct_key from = {}, asked = {};

	key_v4(ctx, &from, IPPROTO_UDP);
	if (asked_for(ctx, &from, &asked))
		rewrite_v4(ctx, asked.address, asked.port);
}

static __always_inline void receive_v6(struct bpf_sock_addr *ctx)
{
	struct ct_key from = {}, asked = {};

	key_v6(ctx, &from, IPPROTO_UDP);
	if (asked_for(ctx, &from, &asked))
		rewrite_v6(ctx, asked.address, asked.port);
}

#endif
