/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Sets, their banks, and their decisions.
 *
 * Invariant: the word is loaded once per decision; slots and choice words of a decision come from the bank that it
 * names, and that bank carries its epoch. The agent waits a grace period before it rewrites a bank.
 */
#ifndef CONTINUITY_SET_H
#define CONTINUITY_SET_H

#include "map.h"

CT_ARRAY(sets, struct ct_set);
CT_ARRAY(banks, struct ct_bank); /* set * CT_BANKS + bank */
CT_ARRAY(set_traffic, struct ct_set_traffic); /* set * shards + shard */
CT_ARRAY(backends, struct ct_backend);
CT_ARRAY(learned, struct ct_learned); /* the agent's own; here so that it is made and pinned with the others */

static __always_inline struct ct_set_traffic *set_traffic_of(__u32 set)
{
	__u32 at = set * (shard_mask + 1) + shard();

	return bpf_map_lookup_elem(&set_traffic, &at);
}

static __always_inline struct ct_bank *bank_of(__u32 set, __u32 bank)
{
	__u32 at = set * CT_BANKS + bank;

	return bpf_map_lookup_elem(&banks, &at);
}

/* The bank under the present word: for what happens after the decision. */
static __always_inline struct ct_bank *present_bank(__u32 set)
{
	struct ct_set *s = bpf_map_lookup_elem(&sets, &set);

	return s ? bank_of(set, *(volatile __u64 *)&s->word & 1) : 0;
}

#endif
