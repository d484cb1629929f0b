/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Counters of one backend: what this node's clients see of it, and what its own node sees.
 *
 * Every addition is atomic, because a packet's program can interrupt a connect's on the same CPU; sharding keeps
 * CPUs from sharing a line. A gauge may go up on one shard and down on another: only the sum over shards means
 * something. An element whose generation is not the socket's belongs to somebody else by now.
 */
#ifndef CONTINUITY_TRAFFIC_H
#define CONTINUITY_TRAFFIC_H

#include "map.h"
#include "socket.h"

CT_ARRAY(client_traffic, struct ct_traffic); /* backend * shards + shard */
CT_ARRAY(server_traffic, struct ct_traffic); /* endpoint * shards + shard */

static __always_inline struct ct_traffic *traffic_of(const struct ct_socket *s)
{
	__u32 at = s->backend * (shard_mask + 1) + shard();
	struct ct_traffic *t;

	if (s->flags & CT_SERVER)
		t = bpf_map_lookup_elem(&server_traffic, &at);
	else
		t = bpf_map_lookup_elem(&client_traffic, &at);
	if (t && t->generation != s->generation) {
		CT_COUNT_NODE(outlived);
		return 0;
	}
	return t;
}

static __always_inline __u32 age_bucket(__u64 started)
{
	return (__u32)(started >> CT_AGE_SHIFT) & (CT_AGE_BUCKETS - 1);
}

/* What will be added to, on this shard. A macro, because a map cannot be an argument. */
#define CT_TOUCH_TRAFFIC(map, index)                                   \
	do {                                                           \
		__u32 at_ = (index) * (shard_mask + 1) + shard();      \
		struct ct_traffic *t_ = bpf_map_lookup_elem(map, &at_); \
		if (t_)                                                \
			CT_TOUCH(t_);                                  \
	} while (0)

static __always_inline void touch_waiting(__u32 backend, __u64 started)
{
	__u32 at = backend * (shard_mask + 1) + shard();
	struct ct_traffic *t = bpf_map_lookup_elem(&client_traffic, &at);

	if (t)
		CT_TOUCH(&t->waiting[age_bucket(started) & ~1u]);
}

/* The record of the choice; only clients have one. */
static __always_inline struct ct_record *record_of(const struct ct_socket *s)
{
	__u32 at = s->backend;

	return s->flags & CT_SERVER ? 0 : record_at(at);
}

/* A handshake or a request starts to wait. The caller won the phase. */
static __always_inline void wait_begin(struct ct_socket *s, struct ct_traffic *t)
{
	struct ct_record *r = record_of(s);

	CT_ADD(&t->waiting[age_bucket(s->started)], 1);
	if (r)
		ct_on_start(r);
}

static __always_inline void wait_end(struct ct_socket *s, struct ct_traffic *t)
{
	CT_ADD(&t->waiting[age_bucket(s->started)], -1);
}

static __always_inline __u32 micros_since(__u64 started, __u64 now)
{
	__u64 us = now > started ? (now - started) / 1000 : 0;

	return us > 0xffffffffu ? 0xffffffffu : (__u32)us;
}

/* First payload back. */
static __always_inline void answered(struct ct_socket *s, struct ct_traffic *t, struct ct_regression *g,
				     const struct ct_choice *c, __u64 now)
{
	__u32 us = micros_since(s->started, now);
	__u32 bucket = (__u32)ct_lg(us) >> 6;
	struct ct_record *r = record_of(s);

	wait_end(s, t);
	CT_ADD(&t->answered, 1);
	CT_ADD(&t->turnaround_micros, us);
	if (bucket >= CT_TURNAROUND_BUCKETS)
		bucket = CT_TURNAROUND_BUCKETS - 1;
	CT_ADD(&t->turnaround[bucket], 1);
	if (!r)
		return;
	ct_on_answer(r, us, ct_now(now));
	if (g && c)
		ct_learn(g, c, s->prediction, us);
}

/* The handshake is done: neither good nor bad for the choice, an accepted connection says nothing of the answer. */
static __always_inline void shaken(struct ct_socket *s, struct ct_traffic *t, __u32 us)
{
	__u32 bucket = (__u32)ct_lg(us) >> 7;
	struct ct_record *r = record_of(s);

	wait_end(s, t);
	CT_ADD(&t->connect_micros, us);
	s->handshake = bucket < CT_CONNECT_BUCKETS ? (__u16)bucket : CT_CONNECT_BUCKETS - 1;
	if (r)
		ct_on_abandon(r);
}

static __always_inline void failed(struct ct_socket *s, struct ct_traffic *t, __u64 now)
{
	struct ct_record *r = record_of(s);

	wait_end(s, t);
	if (r)
		ct_on_failure(r, ct_now(now));
}

static __always_inline void gave_up(struct ct_socket *s, struct ct_traffic *t)
{
	struct ct_record *r = record_of(s);

	wait_end(s, t);
	CT_ADD(&t->abandoned, 1);
	if (r)
		ct_on_abandon(r);
}

/* Adds what the socket has received in order since the last time; `received` is the kernel's own count. */
static __always_inline void gather_in(struct ct_socket *s, struct ct_traffic *t, __u32 received)
{
	__s32 more = (__s32)(received - __sync_lock_test_and_set(&s->bytes_in, received));

	if (more)
		CT_ADD(&t->bytes_in, (__s64)more);
}

static __always_inline void gather_out(struct ct_socket *s, struct ct_traffic *t)
{
	__u32 out = s->bytes_out;

	s->bytes_out = 0;
	if (out)
		CT_ADD(&t->bytes_out, out);
}

#endif
