/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * How a map is declared, and the constants that the loader fills in.
 *
 * Every array is mmapable, so that the agent reads and writes without a system call. Sizes given here are the least
 * that loads; the loader sets the real ones (capacities of continuity-dataplane) before it creates the maps.
 */
#ifndef CONTINUITY_MAP_H
#define CONTINUITY_MAP_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "wire.h"

/* Shards minus one; a CPU adds to shard cpu & shard_mask. */
const volatile __u32 shard_mask = 0;
/* bpf_set_retval exists (Linux 5.18); without it a refusal reads EPERM. */
const volatile __u32 have_set_retval = 1;
/* cgroup/sock_release is attached (Linux 5.9): tells a client that gave up from a network that failed. */
const volatile __u32 have_release = 1;
/* bpf_ktime_get_coarse_ns exists (Linux 5.11). */
const volatile __u32 have_coarse = 1;
/* Cookie of the node's own network namespace; 0 = unknown. */
const volatile __u64 host_netns = 0;

#define CT_ARRAY(map_name, value_type)               \
	struct {                                     \
		__uint(type, BPF_MAP_TYPE_ARRAY);    \
		__uint(map_flags, BPF_F_MMAPABLE);   \
		__uint(max_entries, 1);              \
		__type(key, __u32);                  \
		__type(value, value_type);           \
	} map_name SEC(".maps")

/* Elements are made one by one: those of a preallocated map lie in small pages, and cost a walk of the page table. */
#define CT_HASH(map_name, key_type, value_type)      \
	struct {                                     \
		__uint(type, BPF_MAP_TYPE_HASH);     \
		__uint(map_flags, BPF_F_NO_PREALLOC);\
		__uint(max_entries, 1);              \
		__type(key, key_type);               \
		__type(value, value_type);           \
	} map_name SEC(".maps")

/* Bounded: an insert takes the place of the entry that was used longest ago. */
#define CT_LRU(map_name, key_type, value_type)       \
	struct {                                     \
		__uint(type, BPF_MAP_TYPE_LRU_HASH); \
		__uint(max_entries, 1);              \
		__type(key, key_type);               \
		__type(value, value_type);           \
	} map_name SEC(".maps")

/* Good to one tick (1 to 10 ms), at half the price: for what is judged in seconds. */
static __always_inline __u64 about_now(void)
{
	return have_coarse ? bpf_ktime_get_coarse_ns() : bpf_ktime_get_ns();
}

/*
 * Asks for a cache line that is needed later. A connect finds most of its lines cold; loads that wait for nothing wait
 * together, an atomic addition waits alone.
 */
#define CT_TOUCH(pointer)                                                                        \
	do {                                                                                     \
		__u64 ignored_;                                                                  \
		asm volatile("%0 = *(u64 *)(%1 + 0)" : "=r"(ignored_) : "r"(pointer) : "memory"); \
	} while (0)

/* Keeps what seldom runs out of the way of what always does. */
#define CT_SELDOM(condition) __builtin_expect(!!(condition), 0)

static __always_inline __u32 shard(void)
{
	return bpf_get_smp_processor_id() & shard_mask;
}

/* What concerns the node and no set. */
CT_ARRAY(node, struct ct_node);

static __always_inline struct ct_node *node_here(void)
{
	__u32 at = shard();

	return bpf_map_lookup_elem(&node, &at);
}

#define CT_COUNT_NODE(field)                      \
	do {                                      \
		struct ct_node *n_ = node_here(); \
		if (n_)                           \
			CT_ADD(&n_->field, 1);    \
	} while (0)

#endif
