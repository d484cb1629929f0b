/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Admission at connect(2): the maps of it, who asks, what is counted, and when a slot is given back.
 *
 * A set whose policy does not ask for admission costs one test of a flag that is at hand. In the others a connect that is
 * admitted holds a token: it goes to the socket's record and is given back at the first byte of the answer, or when the
 * connection ends without one. Later requests of a kept connection hold one while they wait: they cannot be refused, but
 * they count.
 *
 * Invariants: the token is a bit of the record's flags, taken and given back by whoever changes the bit, so that what was
 * added is subtracted once; a connect that finds no room for a record holds none. The agent compares the sum with the
 * records and mends what a crash left.
 * A missing map, a set whose words are not whole: the connect goes on (fail open), counted.
 */
#ifndef CONTINUITY_ADMISSION_H
#define CONTINUITY_ADMISSION_H

#include "admit.h"
#include "map.h"
#include "set.h"
#include "socket.h"

CT_ARRAY(admissions, struct ct_admission); /* set */
CT_ARRAY(limits, struct ct_limits); /* set * 2 + low bit of the epoch */
CT_ARRAY(admission_traffic, struct ct_admission_traffic); /* set * shards + shard */
CT_ARRAY(shares, struct ct_caller); /* slots given out by the agent */
CT_HASH(callers, struct ct_caller_key, struct ct_caller_value);

#define CT_UNGOVERNED 1u /* of ct_admit: goes on without a token */

/* Level of whoever calls, and in the upper half the caller's slot + 1. */
static __always_inline __u32 level_of(__u32 set, __u32 flags, __u64 now)
{
	struct ct_caller_key key = {};
	struct ct_caller_value *found;
	__u32 level = (flags & CT_SET_CLASS) >> CT_SET_CLASS_SHIFT, at;
	struct ct_caller *caller;

	if (flags & CT_SET_CALLERS) {
		key.cgroup = bpf_get_current_cgroup_id();
		key.set = set;
		found = bpf_map_lookup_elem(&callers, &key);
		if (found) {
			at = found->slot;
			level = found->level;
			caller = bpf_map_lookup_elem(&shares, &at);
			if (caller && ct_exceeds(caller, now))
				level = CT_EXCESS;
			if (caller && at < CT_CALLERS_MOST)
				level |= (at + 1) << CT_CALLER_SHIFT;
		}
	}
	return level;
}

__attribute__((noinline)) __u32 ct_caller_failed(__u32 slot, __u64 now)
{
	__u32 at = slot - 1;
	struct ct_caller *caller = slot ? bpf_map_lookup_elem(&shares, &at) : 0;

	if (!caller)
		return 0;
	ct_failed(caller, now);
	return 1;
}

/*
 * Asks for a connect to `set`. Returns 0 if it is refused, else the bits that its record gets. A function of its own is
 * verified once, not once for every path to it.
 */
__attribute__((noinline)) __u32 ct_admit(__u32 set, __u32 flags, __u64 now, __u64 beat)
{
	__u32 who = level_of(set, flags, now), level = who & 0xffff, caller = who >> CT_CALLER_SHIFT, ground, at;
	struct ct_admission *a = bpf_map_lookup_elem(&admissions, &set);
	struct ct_admission_traffic *t;
	struct ct_limits *w;
	__u64 control;

	at = set * (shard_mask + 1) + shard();
	t = bpf_map_lookup_elem(&admission_traffic, &at);
	if (!a || !t)
		return CT_UNGOVERNED;
	if (level > CT_EXCESS)
		level = CT_EXCESS;
	CT_OPAQUE(level);
	if (level > CT_EXCESS)
		return CT_UNGOVERNED;
	control = *(volatile __u64 *)&a->control;
	at = set * 2 + (ct_epoch(control) & 1);
	w = bpf_map_lookup_elem(&limits, &at);
	CT_ADD(&t->offered[level], 1);
	if (!w || w->epoch != ct_epoch(control)) {
		CT_ADD(&t->torn, 1);
		return CT_UNGOVERNED;
	}
	ground = ct_ask(w, a, control, level, ct_silence(control, beat, now), now);
	if (ground < CT_FULL) {
		if (ground == CT_TRICKLE)
			CT_ADD(&t->trickled[level], 1);
		else if (ground == CT_ORPHANED)
			CT_ADD(&t->orphaned, 1);
		return CT_HELD | CT_GOVERNED | caller << CT_CALLER_SHIFT;
	}
	if (ground == CT_THINNED)
		CT_ADD(&t->thinned[level], 1);
	else
		CT_ADD(&t->full[level], 1);
	ct_caller_failed(caller, now);
	return 0;
}

/* Gives a slot of a set back, or takes one for a request that cannot be refused. */
__attribute__((noinline)) __u32 ct_move(__u32 set, __s32 by)
{
	struct ct_admission *a = bpf_map_lookup_elem(&admissions, &set);
	__s32 x;

	if (!a)
		return 0;
	x = __sync_fetch_and_add(&a->in_flight, by);
	if (by > 0 && x >= a->most)
		a->most = x + 1;
	return 1;
}

/* Does the record speak of a set that still has this index? */
static __always_inline int owned(const struct ct_socket *s, __u32 flags)
{
	__u32 at = s->backend;
	struct ct_backend *b;

	if (flags & CT_PASSED)
		return 1;
	b = backend_at(at);
	return b && b->generation == s->generation && b->set == s->set;
}

/* The record's token, if it has one, goes back. */
static __always_inline void let_go(struct ct_socket *s)
{
	__u32 flags;

	if (!(s->flags & CT_HELD))
		return;
	flags = __sync_fetch_and_and(&s->flags, ~CT_HELD);
	if (flags & CT_HELD && owned(s, flags))
		ct_move(s->set, -1);
}

/* The record of a socket that connects again: what an attempt holds that never went out goes back. */
__attribute__((noinline)) __u32 ct_again(__u32 at)
{
	struct ct_socket *s = bpf_map_lookup_elem(&sockets, &at);

	if (s)
		let_go(s);
	return at;
}

/* Gives the record back, and what it holds. */
static __always_inline void give_back(struct ct_socket *s, __u64 cookie)
{
	__u32 flags = __sync_lock_test_and_set(&s->flags, 0u);

	if (flags & CT_HELD && owned(s, flags))
		ct_move(s->set, -1);
	ct_free(cookie);
}

/* A request on a connection that is kept starts to wait. */
static __always_inline void hold(struct ct_socket *s)
{
	__u32 flags = s->flags;

	if (!(flags & CT_GOVERNED) || flags & CT_HELD || !owned(s, flags))
		return;
	if (!(__sync_fetch_and_or(&s->flags, CT_HELD) & CT_HELD))
		ct_move(s->set, 1);
}

/* It ended without an answer. */
static __always_inline void let_down(struct ct_socket *s, __u64 now)
{
	if (s->flags & CT_GOVERNED)
		ct_caller_failed(s->flags >> CT_CALLER_SHIFT, now);
	let_go(s);
}

/* The connect found no room for a record: nobody would give its token back. */
__attribute__((noinline)) __u32 ct_forgo(__u32 set, __u32 held)
{
	__u32 at = set * (shard_mask + 1) + shard();
	struct ct_admission_traffic *t;

	if (!(held & CT_HELD))
		return 0;
	ct_move(set, -1);
	t = bpf_map_lookup_elem(&admission_traffic, &at);
	if (t)
		CT_ADD(&t->unheld, 1);
	return 1;
}

#endif
