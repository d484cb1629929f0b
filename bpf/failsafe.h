/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Is the agent alive? Decided on use, by the kernel's own clock, from the age of the heartbeat.
 *
 * normal    younger than hold_after: the published field counts.
 * hold      the field is frozen: a bank that was published hold_after or more past the heartbeat came too late and
 *           is ignored until the heartbeat is fresh again; the one before it still stands in the other bank.
 * fallback  fallback_after or older: the choice passes through to the VIP, or is shared equally over the last known
 *           alive.
 *
 * Left out: what a refusal becomes when nobody renews it (admit.h).
 */
#ifndef CONTINUITY_FAILSAFE_H
#define CONTINUITY_FAILSAFE_H

#include "map.h"

enum ct_failsafe { CT_NORMAL = 0, CT_HOLD = 1, CT_FALLBACK = 2 };

CT_ARRAY(control, struct ct_control);

static __always_inline __u64 heartbeat(void)
{
	__u32 zero = 0;
	struct ct_control *c = bpf_map_lookup_elem(&control, &zero);

	return c ? *(volatile __u64 *)&c->heartbeat : 0;
}

/* State of the set now; a transition is counted once, by the CPU that wins the exchange. */
static __always_inline __u32 failsafe(struct ct_set *set, struct ct_set_traffic *traffic, __u64 beat, __u64 now)
{
	__u64 age = now > beat ? now - beat : 0;
	__u64 seen = *(volatile __u64 *)&set->failsafe;
	__u32 state = CT_NORMAL;

	if (CT_SELDOM(age >= set->fallback_after))
		state = CT_FALLBACK;
	else if (CT_SELDOM(age >= set->hold_after))
		state = CT_HOLD;
	if (!CT_SELDOM((seen & 3) != state))
		return state;
	if (__sync_val_compare_and_swap(&set->failsafe, seen, (now & ~3ull) | state) != seen)
		return state;
	if (state == CT_FALLBACK)
		CT_ADD(&traffic->to_fallback, 1);
	else if (state == CT_HOLD)
		CT_ADD(&traffic->to_hold, 1);
	else
		CT_ADD(&traffic->to_normal, 1);
	return state;
}

/* Was this bank published after the field should have been frozen? */
static __always_inline int came_late(const struct ct_bank *bank, const struct ct_set *set, __u64 beat)
{
	return bank->published > beat && bank->published - beat >= set->hold_after;
}

#endif
