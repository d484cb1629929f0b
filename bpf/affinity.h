/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Session affinity: a client keeps the backend of its last connect, for the time that the Service says.
 *
 * A client is a network namespace, since no source address exists yet when connect(2) runs: a pod is one, and all of
 * a node's own processes are one, as they share an address under kube-proxy too. The time starts again at each connect.
 *
 * Invariants: bounded (the client that was here longest ago is forgotten); an entry whose backend left the set, changed
 * hands or is isolated is not followed; of two CPUs that serve a new client at once, both follow the first entry.
 * Left out: affinity shared between nodes. Each node remembers its own clients, as kube-proxy does.
 */
#ifndef CONTINUITY_AFFINITY_H
#define CONTINUITY_AFFINITY_H

#include "set.h"
#include "traffic.h"

CT_LRU(affinity, struct ct_affinity_key, struct ct_affinity);

#define CT_KEPT (1ull << 32) /* the client had it before */

/* A client that stays where it is leaves a test that was due to the next one. */
static __always_inline void stayed(__u32 set, __u32 chosen, __u64 now, __u32 dripped)
{
	struct ct_set_traffic *t = set_traffic_of(set);
	struct ct_bank *bank;

	if (t)
		CT_ADD(&t->affine, 1);
	if (!dripped)
		return;
	bank = present_bank(set);
	if (bank)
		__sync_val_compare_and_swap(&bank->choice.drip, 0ull, now >> 20 << 32 | (chosen + 1ull));
	if (t)
		CT_ADD(&t->dripped, -1);
}

/* The backend that a client goes on with, or CT_NONE. */
static __always_inline __u32 affine(const struct ct_set *s, struct ct_affinity *a, __u64 pair, __u32 set, __u64 now)
{
	__u32 at = (__u32)pair;
	struct ct_backend *b;
	struct ct_record *r;

	if (now > a->last && now - a->last >= s->affinity)
		return CT_NONE;
	b = backend_at(at);
	if (!b || !(b->flags & CT_BACKEND_VALID) || b->set != set || b->generation != (__u32)(pair >> 32))
		return CT_NONE;
	r = record_at(at);
	if (r && r->off)
		return CT_NONE;
	a->last = now;
	return at;
}

/*
 * The backend of a client: the one that it has, with CT_KEPT, or else the proposed one, which is its own from now on.
 */
__attribute__((noinline)) __u64 ct_keep(__u64 netns, __u32 set, __u32 backend, __u64 now, __u32 dripped)
{
	struct ct_set *s = bpf_map_lookup_elem(&sets, &set);
	struct ct_backend *b = backend_at(backend);
	struct ct_affinity_key key = {};
	struct ct_affinity fresh = {};
	struct ct_affinity *a;
	__u64 seen;
	__u32 first;

	if (!s)
		return backend;
	key.netns = netns;
	key.set = set;
	key.generation = s->generation;
	a = bpf_map_lookup_elem(&affinity, &key);
	if (!a) {
		if (!b || !(b->flags & CT_BACKEND_VALID))
			return backend;
		fresh.backend = (__u64)b->generation << 32 | backend;
		fresh.last = now;
		if (!bpf_map_update_elem(&affinity, &key, &fresh, BPF_NOEXIST))
			return backend;
		a = bpf_map_lookup_elem(&affinity, &key);
		if (!a)
			return backend;
	}
	seen = *(volatile __u64 *)&a->backend;
	first = affine(s, a, seen, set, now);
	if (first != CT_NONE) {
		stayed(set, backend, now, dripped);
		return CT_KEPT | first;
	}
	if (!b || !(b->flags & CT_BACKEND_VALID))
		return backend;
	fresh.backend = (__u64)b->generation << 32 | backend;
	if (__sync_val_compare_and_swap(&a->backend, seen, fresh.backend) != seen)
		return CT_KEPT | (__u32)*(volatile __u64 *)&a->backend;
	a->last = now;
	return backend;
}

#endif
