/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What is kept with a socket: the address it asked for, the backend it got, and the request that waits.
 *
 * One record for every purpose (reverse translation, results, turnaround), in a table found by the socket's cookie:
 * buckets of eight cookies, a cache line each, and beside them the records, a cache line each. Taking a record costs a
 * compare-exchange where socket storage costs two allocations, on both ends of a connection, while connect(2) waits.
 *
 * A record is given back when its socket reaches CLOSE, is released without a handshake, or its handshake goes
 * elsewhere; what slips through (a kernel's own socket that fails before its SYN) is taken over when a bucket is full.
 * A socket that finds no room is steered all the same, but not measured, and counted as such.
 *
 * Invariants: every change of phase is won by compare-exchange, so what was counted up is counted down once; a record
 * that nobody owns has no flag set; cookies are never given twice, so a record is never read as another socket's.
 * Left out: a lookup holds no lock. A packet's program that found a record just before another CPU closed the socket
 * may set a flag in it after it was given away, if that happens within its few ns and in the same bucket.
 */
#ifndef CONTINUITY_SOCKET_H
#define CONTINUITY_SOCKET_H

#include "map.h"

enum ct_phase { CT_IDLE = 0, CT_CONNECTING = 1, CT_WAITING = 2 };

#define CT_SERVER 1u /* accepted by a local backend; else a steered client */
#define CT_CHOSEN 2u /* the connect hook rewrote the address */
#define CT_ACTIVE 4u /* the handshake goes to the chosen backend: translate and count */
#define CT_OPEN 8u /* counted as established */
#define CT_PEER_RST 16u
#define CT_PEER_FIN 32u
#define CT_EXPIRED 64u /* the last retransmission timer ran out */
#define CT_LOCAL_END 128u /* the local side ended first */
#define CT_PEER_END 256u /* the peer ended first */
#define CT_SPOKE 512u /* payload has passed, either way */
#define CT_OVER 1024u /* judged: no request starts any more */

CT_ARRAY(cookies, struct ct_cookies);
CT_ARRAY(sockets, struct ct_socket); /* bucket * CT_WAYS + way */

/* 64 minus the logarithm of the number of buckets. */
const volatile __u32 bucket_shift = 64;

/* Golden ratio: consecutive cookies fall into buckets far apart. */
#define CT_SPREAD 0x9e3779b97f4a7c15ull

static __always_inline __u32 bucket_of(__u64 cookie)
{
	return (__u32)((cookie * CT_SPREAD) >> (bucket_shift & 63));
}

static __always_inline struct ct_socket *socket_in(__u32 bucket, __u32 way)
{
	__u32 at = bucket * CT_WAYS + way;

	return bpf_map_lookup_elem(&sockets, &at);
}

/* The way of a cookie in its bucket, or CT_WAYS. */
static __always_inline __u32 way_of(const struct ct_cookies *c, __u64 cookie)
{
	__u32 way = CT_WAYS, i;

#pragma unroll
	for (i = 0; i < CT_WAYS; i++)
		if (c->way[i] == cookie)
			way = i;
	return way;
}

/* The socket's record, or 0. */
static __always_inline struct ct_socket *socket_of(__u64 cookie)
{
	__u32 bucket = bucket_of(cookie), way;
	struct ct_cookies *c = bpf_map_lookup_elem(&cookies, &bucket);

	if (!c)
		return 0;
	way = way_of(c, cookie);
	return way < CT_WAYS ? socket_in(bucket, way) : 0;
}

/* A way whose socket never came to its handshake, taken from it; CT_WAYS if there is none. */
static __always_inline __u32 taken_over(struct ct_cookies *c, __u32 bucket, __u64 cookie)
{
	__u32 way = CT_WAYS, i;

#pragma unroll
	for (i = 0; i < CT_WAYS; i++) {
		struct ct_socket *s = socket_in(bucket, i);
		__u64 owner = c->way[i];

		if (way == CT_WAYS && s && !(s->flags & CT_ACTIVE) &&
		    __sync_val_compare_and_swap(&c->way[i], owner, cookie) == owner)
			way = i;
	}
	return way;
}

/* A record for a socket that may have one already; 0 if its bucket is full. The caller fills it, flags last. */
static __always_inline struct ct_socket *claim(__u64 cookie)
{
	__u32 bucket = bucket_of(cookie), way, i;
	struct ct_cookies *c = bpf_map_lookup_elem(&cookies, &bucket);

	if (!c)
		return 0;
	way = way_of(c, cookie);
#pragma unroll
	for (i = 0; i < CT_WAYS; i++)
		if (way == CT_WAYS && !c->way[i] && !__sync_val_compare_and_swap(&c->way[i], 0ull, cookie))
			way = i;
	if (way == CT_WAYS)
		way = taken_over(c, bucket, cookie);
	return way < CT_WAYS ? socket_in(bucket, way) : 0;
}

/* Gives the record back. */
static __always_inline void give_back(__u64 cookie)
{
	__u32 bucket = bucket_of(cookie), way;
	struct ct_cookies *c = bpf_map_lookup_elem(&cookies, &bucket);
	struct ct_socket *s;

	if (!c)
		return;
	way = way_of(c, cookie);
	if (way >= CT_WAYS)
		return;
	s = socket_in(bucket, way);
	if (s)
		__sync_lock_test_and_set(&s->flags, 0u);
	CT_OPAQUE(way);
	__sync_val_compare_and_swap(&c->way[way & (CT_WAYS - 1)], cookie, 0ull);
}

static __always_inline int won(struct ct_socket *s, __u32 from, __u32 to)
{
	return __sync_val_compare_and_swap(&s->phase, from, to) == from;
}

#endif
