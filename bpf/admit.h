/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Who may connect when a service is short of capacity: the kernel's half of the law of admission.
 *
 * Why it exists: one text of the rule for the hooks and for a native build that is compared with the law's reference
 * (crates/continuity-field, admission::admit). Static inline functions over plain structs; no helper, no map, no clock.
 *
 * A slot is reserved by fetch-add and given back on refusal, never checked first: with N CPUs asking at once no more are
 * admitted than there are slots; one that asks while another gives back may be refused a slot that just became free.
 *
 * Invariants: silence of the agent only ever raises a limit; from 15 s on nobody is refused below the fuse, from 600 s
 * on nobody; whatever is refused was given back. A decision is a function of words, live words, level and times.
 * Left out: who the caller is, errno, counters, and when a request ends (admission.h).
 *
 * Include after choice.h.
 */
#ifndef CONTINUITY_ADMIT_H
#define CONTINUITY_ADMIT_H

#include "choice.h"

#define CT_LEVELS 6u
#define CT_EXCESS 5u /* what is above a caller's share */
#define CT_ONE 256 /* one request, Q24.8 */
#define CT_GATE_OPEN 0xffffffffu
#define CT_LEASE 3000u /* ms of silence from which limits relax, and in which they double */
#define CT_RELAXED 5u /* doublings after which the fuse is the limit at the latest */
#define CT_ORPHANED_AFTER 600000u /* ms of silence after which nobody owns the limits */
#define CT_BURST 4u /* cells a caller may be ahead of its pace */
#define CT_RETRY_WITHIN 1000000000ull /* ns: a connect this soon after a failure may be its retry */
#define CT_OWED_MOST 1024u

/* What the agent wrote for one epoch: the law's Words (the first word unused), and the epoch behind them. */
struct ct_limits {
	__u64 unused;
	__s32 adjust; /* zombies minus parked, Q24.8 */
	__u32 thresholds[CT_LEVELS]; /* admitted below, Q24.8 */
	__u32 fuse[2]; /* limits of normal: normal and lower, reserved levels */
	__u32 gates[CT_LEVELS]; /* part that may come, Q0.32 */
	__u32 report_fuse; /* for in-band reports; not read yet */
	__u64 fractions[CT_LEVELS]; /* pace of the fractional slot, ns */
	__u64 trickles[CT_LEVELS]; /* pace of the survivors, ns; 0 = none */
	__u64 cut; /* turnaround is cut here by who sums it */
	__u64 epoch; /* 16 bits, as in the control word */
	__u64 reserved;
};

/* Words of a set that change while it decides. */
struct ct_admission {
	__u64 control; /* the agent's: epoch 16, mode 2, top 3, heartbeat 32 (ms) */
	__s32 in_flight; /* admitted and not ended */
	__s32 most; /* largest of it since the agent last looked */
	__u32 thinned[CT_LEVELS]; /* accumulators of the gates */
	__u64 fraction_at[CT_LEVELS]; /* next time of the fractional slot, ns */
	__u64 trickle_at[CT_LEVELS]; /* next time of a survivor, ns */
	__u64 reserved[7];
};

/* One calling pod of one set. The first two words are the agent's. */
struct ct_caller {
	__u64 interval; /* pace of its share, ns; 0 = not limited */
	__u64 retry_interval; /* pace of its retries, ns; 0 = not limited */
	__u64 at;
	__u64 retry_at;
	__u64 failed_at;
	__u64 offered;
	__u64 retries;
	__u32 owed; /* failures that no connect has followed yet */
	__u32 reserved;
};

_Static_assert(sizeof(struct ct_limits) == 192, "three cache lines");
_Static_assert(__builtin_offsetof(struct ct_limits, thresholds) == 12, "the law's words");
_Static_assert(__builtin_offsetof(struct ct_limits, fractions) == 72, "the law's words");
_Static_assert(__builtin_offsetof(struct ct_limits, epoch) == 176, "behind the law's words");
_Static_assert(sizeof(struct ct_admission) == 192, "three cache lines");
_Static_assert(sizeof(struct ct_caller) == 64, "a cache line");

enum ct_ground {
	CT_SLOT = 0,
	CT_FRACTION = 1,
	CT_TRICKLE = 2,
	CT_ORPHANED = 3,
	CT_FULL = 4, /* refused from here on */
	CT_THINNED = 5,
};

CT_INLINE __u32 ct_epoch(__u64 control)
{
	return (__u32)control & 0xffff;
}

/* Silence of the agent in ms: by the set's own words and by its sign of life, whichever is longer. */
CT_INLINE __u64 ct_silence(__u64 control, __u64 beat, __u64 now)
{
	__s32 own = (__s32)((__u32)(now / 1000000) - (__u32)(control >> 21));
	__u64 all = now > beat ? (now - beat) / 1000000 : 0;

	/* A clock that is good to one tick may stand before the agent's. */
	return own > 0 && (__u64)own > all ? (__u64)own : all;
}

/* Generic cell rate algorithm on one word. A CAS lost four times counts as no cell. */
CT_INLINE int ct_conforms(__u64 *word, __u64 interval, __u64 burst, __u64 now)
{
	__u64 back = interval > burst ? interval : burst;
	__u64 floor = now > back ? now - back : 0;
	__u64 seen, begin;
	__u32 i;

#pragma unroll
	for (i = 0; i < 4; i++) {
		seen = *(volatile __u64 *)word;
		begin = seen > floor ? seen : floor;
		if (begin > now)
			return 0;
		if (__sync_val_compare_and_swap(word, seen, begin + interval) == seen)
			return 1;
	}
	return 0;
}

/* The limit now: the level's own, doubled for every 3 s of silence until it meets the fuse. */
CT_INLINE __s64 ct_threshold(const struct ct_limits *w, __u64 control, __u32 level, __u32 doublings)
{
	__u32 index = level, top = (__u32)(control >> 18) & 7;
	__u64 own, most;

	if (doublings && ((control >> 16) & 3) == 2)
		index = top < CT_LEVELS ? top : CT_EXCESS;
	CT_OPAQUE(index);
	own = w->thresholds[index < CT_LEVELS ? index : CT_EXCESS];
	if (!doublings)
		return (__s64)own;
	most = level <= 1 ? w->fuse[1] : w->fuse[0];
	if (own > most)
		most = own;
	if (doublings >= CT_RELAXED)
		return (__s64)most;
	own <<= doublings & 7;
	return (__s64)(own < most ? own : most);
}

/* Low-discrepancy thinning: a connect passes when the accumulator wraps. */
CT_INLINE int ct_gate(const struct ct_limits *w, struct ct_admission *a, __u32 level)
{
	__u32 gate = w->gates[level], before;

	if (gate == CT_GATE_OPEN)
		return 1;
	before = __sync_fetch_and_add(&a->thinned[level], gate);
	return (__u32)(before + gate) < before;
}

/* Below the limit, or on its fractional slot. Holds a slot already; x were in flight before it. */
CT_INLINE __u32 ct_room(const struct ct_limits *w, struct ct_admission *a, __u64 control, __u32 level, __u32 doublings,
			__s32 x, __u64 now)
{
	__s64 threshold = ct_threshold(w, control, level, doublings);
	__s64 whole = threshold & ~(__s64)(CT_ONE - 1);
	__s64 load = (__s64)(x > 0 ? x : 0) * CT_ONE + w->adjust;

	if (load < whole)
		return CT_SLOT;
	if (!doublings && threshold > whole && load < whole + CT_ONE &&
	    ct_conforms(&a->fraction_at[level], w->fractions[level], 0, now))
		return CT_FRACTION;
	return CT_FULL;
}

/* Decides one connect of a level (< CT_LEVELS); an admitted one holds a slot. `silence` in ms, see ct_silence. */
CT_INLINE __u32 ct_ask(const struct ct_limits *w, struct ct_admission *a, __u64 control, __u32 level, __u64 silence,
		       __u64 now)
{
	__u32 doublings = 0, ground = CT_THINNED;
	__s32 x;

	if (silence > CT_ORPHANED_AFTER) {
		__sync_fetch_and_add(&a->in_flight, 1);
		return CT_ORPHANED;
	}
	if (silence > CT_LEASE)
		doublings = ((__u32)silence - CT_LEASE) / CT_LEASE + 1;
	x = __sync_fetch_and_add(&a->in_flight, 1);
	if (doublings || ct_gate(w, a, level))
		ground = ct_room(w, a, control, level, doublings, x, now);
	if (ground >= CT_FULL && w->trickles[level] &&
	    ct_conforms(&a->trickle_at[level], w->trickles[level], 0, now))
		ground = CT_TRICKLE;
	if (ground >= CT_FULL)
		__sync_fetch_and_add(&a->in_flight, -1);
	else if (x >= a->most)
		a->most = x + 1;
	return ground;
}

/* Counts a connect of a caller; whether it is above what the caller may. */
CT_INLINE int ct_exceeds(struct ct_caller *c, __u64 now)
{
	__u64 interval = c->interval, retry_interval = c->retry_interval;
	__u32 owed;

	CT_ADD(&c->offered, 1);
	if (now > c->failed_at && now - c->failed_at > CT_RETRY_WITHIN)
		c->owed = 0;
	owed = *(volatile __u32 *)&c->owed;
	if (owed && __sync_val_compare_and_swap(&c->owed, owed, owed - 1) == owed) {
		CT_ADD(&c->retries, 1);
		if (retry_interval && !ct_conforms(&c->retry_at, retry_interval, retry_interval * CT_BURST, now))
			return 1;
	}
	return interval && !ct_conforms(&c->at, interval, interval * CT_BURST, now);
}

/* An attempt of the caller was refused, or ended without an answer. */
CT_INLINE void ct_failed(struct ct_caller *c, __u64 now)
{
	if (*(volatile __u32 *)&c->owed < CT_OWED_MOST)
		__sync_fetch_and_add(&c->owed, 1);
	c->failed_at = now;
}

#endif
