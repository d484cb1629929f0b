/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Connected UDP sockets: connect(2) chooses once, and the socket's own datagrams then pass no hook that could choose
 * again. So a datagram to a backend that left its set is dropped on its way out, and send(2) fails with EPERM: the
 * client sees at once that its socket is worth nothing, and opens another.
 *
 * What counts as gone: the set still stands and the backend is no more in it. When the set itself goes (its policy was
 * removed), sockets keep the backend that they have.
 *
 * Invariants: the record is given back when the socket connects again or is released; a datagram that does not go to
 * the chosen backend (a socket that was disconnected) is never touched; an exchange is counted when its answer comes,
 * so that protocols without answers leave no gauge up.
 * Left out: failures of a backend that is silent. Who asks once and closes, and who never expects an answer, look the
 * same here.
 */
#ifndef CONTINUITY_DATAGRAM_H
#define CONTINUITY_DATAGRAM_H

#include <bpf/bpf_endian.h>
#include "admission.h"
#include "set.h"
#include "socket.h"
#include "traffic.h"

#define CT_MAPPED bpf_htonl(0x0000ffff) /* third word of ::ffff:a.b.c.d */
#define CT_GATHER_SHIFT 20 /* bytes are added at every 2^20th */

/* An address in one word, to tell whether a datagram goes to the backend. */
static __always_inline __u32 digest_of(__u32 a, __u32 b, __u32 c, __u32 d)
{
	return ((a * 0x9e3779b1u ^ b) * 0x9e3779b1u ^ c) * 0x9e3779b1u ^ d;
}

/* The socket, whose record was just made, is connected to its backend from now on. */
__attribute__((noinline)) __u32 ct_associate(__u64 cookie, __u32 generation)
{
	struct ct_socket *s = socket_of(cookie);
	struct ct_backend *b;
	struct ct_traffic *t;
	__u32 at;

	if (!s)
		return 0;
	at = s->backend;
	b = backend_at(at);
	if (!b)
		return 0;
	s->out_end = digest_of(b->address[0], b->address[1], b->address[2], b->address[3]);
	s->in_end = b->port;
	s->handshake = (__u16)generation;
	s->flags = CT_CHOSEN | CT_ACTIVE | CT_OPEN | CT_DATAGRAM;
	t = traffic_of(s);
	if (t) {
		CT_ADD(&t->attempts, 1);
		CT_ADD(&t->established, 1);
	}
	return 1;
}

/* Adds the bytes that were held back. */
static __always_inline void gather_datagrams(struct ct_socket *s, struct ct_traffic *t)
{
	__u32 in = __sync_lock_test_and_set(&s->bytes_in, 0u);

	gather_out(s, t);
	if (in)
		CT_ADD(&t->bytes_in, in);
}

/* A UDP socket leaves the backend that it was connected to, if it was. */
__attribute__((noinline)) __u32 ct_settle(__u64 cookie)
{
	struct ct_socket *s = socket_of(cookie);
	struct ct_traffic *t;

	if (!s || !(s->flags & CT_DATAGRAM))
		return 0;
	t = traffic_of(s);
	if (t) {
		gather_datagrams(s, t);
		CT_ADD(&t->closed, 1);
	}
	give_back(s, cookie);
	return 1;
}

/* Did the backend leave a set that still stands? Counted where it did. */
static __always_inline int gone(const struct ct_socket *s)
{
	__u32 at = s->backend, index = s->set;
	struct ct_backend *b = backend_at(at);
	struct ct_set_traffic *traffic;
	struct ct_set *set;

	if (b && b->flags & CT_BACKEND_VALID && b->generation == s->generation)
		return 0;
	set = bpf_map_lookup_elem(&sets, &index);
	if (!set || !(set->flags & CT_SET_VALID) || (__u16)set->generation != s->handshake)
		return 0;
	traffic = set_traffic_of(index);
	if (traffic)
		CT_ADD(&traffic->ended, 1);
	return 1;
}

/* A datagram left for the backend. */
static __always_inline void said(struct ct_socket *s, __u32 payload)
{
	struct ct_traffic *t;

	s->bytes_out += payload;
	if (s->bytes_out >> CT_GATHER_SHIFT) {
		t = traffic_of(s);
		if (t)
			gather_out(s, t);
	}
	if (s->phase != CT_IDLE)
		return;
	s->started = bpf_ktime_get_ns();
	won(s, CT_IDLE, CT_WAITING);
}

/* A datagram came from it: the first one after a question is its answer. */
static __always_inline void heard(struct ct_socket *s, __u32 payload)
{
	struct ct_traffic *t;

	s->bytes_in += payload;
	if (s->phase != CT_WAITING && !(s->bytes_in >> CT_GATHER_SHIFT))
		return;
	t = traffic_of(s);
	if (!t)
		return;
	if (s->bytes_in >> CT_GATHER_SHIFT)
		gather_datagrams(s, t);
	if (!won(s, CT_WAITING, CT_IDLE))
		return;
	wait_begin(s, t);
	answered(s, t, 0, 0, bpf_ktime_get_ns());
}

#endif
