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
CT_ARRAY(set_traffic, struct ct_set_traffic); /* set * shards + shard */
CT_ARRAY(backends, struct ct_place);
CT_ARRAY(learned, struct ct_learned); /* the agent's own; here so that it is made and pinned with the others */

static __always_inline struct ct_set_traffic *set_traffic_of(__u32 set)
{
	__u32 at = set * (shard_mask + 1) + shard();

	return bpf_map_lookup_elem(&set_traffic, &at);
}

static __always_inline struct ct_bank *bank_of(struct ct_set *set, __u32 bank)
{
	return bank < CT_BANKS ? &set->bank[bank] : 0;
}

/* Address and owner of a backend. */
static __always_inline struct ct_backend *backend_at(__u32 id)
{
	struct ct_place *p = bpf_map_lookup_elem(&backends, &id);

	if (!p)
		return 0;
	CT_OPAQUE(p); /* or clang adds before it tests, which the verifier forbids */
	return &p->backend;
}

/* What is known of it. */
static __always_inline struct ct_record *record_at(__u32 id)
{
	struct ct_place *p = bpf_map_lookup_elem(&backends, &id);

	return p ? &p->record : 0;
}

/* The bank under the present word: for what happens after the decision. */
static __always_inline struct ct_bank *present_bank(__u32 set)
{
	struct ct_set *s = bpf_map_lookup_elem(&sets, &set);

	if (!s)
		return 0;
	CT_OPAQUE(s);
	return bank_of(s, *(volatile __u64 *)&s->word & 1);
}

#endif
