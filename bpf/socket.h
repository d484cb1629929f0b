/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What is kept with a socket: the address it asked for, the backend it got, and the request that waits.
 *
 * One record for every purpose (reverse translation, results, turnaround), in a table found by the socket's cookie:
 * buckets of eight cache lines, seven cookies in the first and their records in the others, so that one page holds all
 * that a packet needs. Taking a record costs a compare-exchange where socket storage costs two allocations, on both ends
 * of a connection, while connect(2) waits.
 *
 * A record is given back when its socket reaches CLOSE, is released without a handshake (UDP always is), or connects
 * elsewhere. A socket that finds no room in both its buckets is steered all the same, but not measured, and counted as
 * such. What nobody gives back (a socket of the kernel's own that fails before its SYN) stays until the maps go.
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
#define CT_DATAGRAM 2048u /* a connected UDP socket */
#define CT_PASSED 8192u /* went on to the VIP in FALLBACK; only its token is kept */
#define CT_GOVERNED 16384u /* admission let it in: its requests count */
#define CT_HELD 32768u /* holds a slot of its set */
#define CT_CALLER_SHIFT 16 /* from here up: slot of the calling pod + 1, 0 = not known */
#define CT_TOKEN (0xffff0000u | CT_HELD | CT_GOVERNED)

CT_ARRAY(sockets, union ct_line); /* bucket * CT_LINES: cookies; from there on, line_of_way */

/* 64 minus the logarithm of the number of buckets. */
const volatile __u32 bucket_shift = 64;

/* Golden ratio: consecutive cookies fall far apart. */
#define CT_SPREAD 0x9e3779b97f4a7c15ull

/*
 * Where a socket belongs. Cookies are given in sequence, so four that follow each other share a bucket, and its line
 * and the page of its records are still at hand.
 */
static __always_inline __u32 home(__u64 cookie)
{
	return (__u32)(cookie >> 2) & (__u32)(~0ull >> (bucket_shift & 63));
}

/* Where it goes when others live there too long. */
static __always_inline __u32 elsewhere(__u64 cookie)
{
	return (__u32)((cookie * CT_SPREAD) >> (bucket_shift & 63));
}

static __always_inline struct ct_cookies *cookies_of(__u32 bucket)
{
	__u32 line = bucket * CT_LINES;

	return bpf_map_lookup_elem(&sockets, &line);
}

/* Index of a record. */
static __always_inline __u32 line_of_way(__u32 bucket, __u32 way)
{
	return bucket * CT_LINES + 1 + way;
}

static __always_inline void touch_home(__u64 cookie)
{
	struct ct_cookies *c = cookies_of(home(cookie));

	if (c)
		CT_TOUCH(c);
}

/*
 * The way of a cookie, or CT_WAYS. The loops stay loops: a connect finds little of its code in the caches, and seven copies
 * cost it more than seven jumps.
 */
static __always_inline __u32 way_of(const struct ct_cookies *c, __u64 cookie)
{
	__u32 i;

#pragma clang loop unroll(disable)
	for (i = 0; i < CT_WAYS; i++)
		if (c->way[i] == cookie)
			break;
	return i;
}

/* Takes a free way, or CT_WAYS. */
static __always_inline __u32 free_way(struct ct_cookies *c, __u64 cookie)
{
	__u32 i;

#pragma clang loop unroll(disable)
	for (i = 0; i < CT_WAYS; i++)
		if (!c->way[i] && !__sync_val_compare_and_swap(&c->way[i], 0ull, cookie))
			break;
	return i;
}

/* Index of the socket's record, or CT_NONE. Functions of their own are verified once, not once for every path to them. */
__attribute__((noinline)) __u32 ct_find(__u64 cookie)
{
	__u32 bucket = home(cookie), way;
	struct ct_cookies *c = cookies_of(bucket);

	if (!c)
		return CT_NONE;
	way = way_of(c, cookie);
	if (way == CT_WAYS && c->away) {
		bucket = elsewhere(cookie);
		c = cookies_of(bucket);
		if (!c)
			return CT_NONE;
		way = way_of(c, cookie);
	}
	return way < CT_WAYS ? line_of_way(bucket, way) : CT_NONE;
}

/* The socket has a record already: what it holds goes back (admission.h). */
__u32 ct_again(__u32 at);

/* Index of a record for a socket that may have one already; CT_NONE if both its buckets are full. */
__attribute__((noinline)) __u32 ct_claim(__u64 cookie)
{
	__u32 bucket = home(cookie), other = elsewhere(cookie), way;
	struct ct_cookies *c = cookies_of(bucket);
	struct ct_cookies *o;

	if (!c)
		return CT_NONE;
	way = way_of(c, cookie);
	if (way < CT_WAYS)
		return ct_again(line_of_way(bucket, way));
	way = free_way(c, cookie);
	if (way < CT_WAYS)
		return line_of_way(bucket, way);
	o = cookies_of(other);
	if (!o)
		return CT_NONE;
	way = way_of(o, cookie);
	if (way < CT_WAYS)
		return ct_again(line_of_way(other, way));
	CT_ADD(&c->away, 1);
	way = free_way(o, cookie);
	if (way < CT_WAYS)
		return line_of_way(other, way);
	CT_ADD(&c->away, -1);
	return CT_NONE;
}

/* Frees the way of a record. */
__attribute__((noinline)) __u32 ct_free(__u64 cookie)
{
	__u32 bucket = home(cookie), other = elsewhere(cookie), way;
	struct ct_cookies *c = cookies_of(bucket);
	struct ct_cookies *o;

	if (!c)
		return 0;
	way = way_of(c, cookie);
	CT_OPAQUE(way);
	if (way < CT_WAYS) {
		c->way[way] = 0;
		return 1;
	}
	o = cookies_of(other);
	if (!o)
		return 0;
	way = way_of(o, cookie);
	CT_OPAQUE(way);
	if (way >= CT_WAYS)
		return 0;
	o->way[way] = 0;
	CT_ADD(&c->away, -1);
	return 1;
}

static __always_inline struct ct_socket *socket_of(__u64 cookie)
{
	__u32 at = ct_find(cookie);

	return bpf_map_lookup_elem(&sockets, &at);
}

/* A record for a socket; 0 if there is no room. The caller fills it, flags last. */
static __always_inline struct ct_socket *claim(__u64 cookie)
{
	__u32 at = ct_claim(cookie);

	return bpf_map_lookup_elem(&sockets, &at);
}

static __always_inline int won(struct ct_socket *s, __u32 from, __u32 to)
{
	return __sync_val_compare_and_swap(&s->phase, from, to) == from;
}

#endif
