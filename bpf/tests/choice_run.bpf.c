/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The decision through the real verifier and JIT, as a cgroup_skb program that BPF_PROG_TEST_RUN can drive: connect
 * hooks themselves cannot be test-run. A separate object; it shares the pinned maps of the hooks.
 *
 * ct_decide: one decision of set 0 of the maps, without a socket. Returns the backend's index + 1, 0 if none; a bank
 * that does not carry one epoch throughout is counted in `torn`.
 * ct_agree: decides the next random case of agree.h and writes its digest, for comparison with the native build.
 */
#include "../failsafe.h"
#include "../connect.h"
#include "agree.h"

struct ct_torn {
	__u64 decisions;
	__u64 torn;
};

CT_ARRAY(run, struct ct_torn);

/* In the test every slot and choice word of a bank is derived from its epoch. */
static __always_inline int whole(const struct ct_bank *bank, __u64 epoch, __u32 chosen)
{
	return bank->epoch == epoch && (__u64)bank->choice.wm == epoch && (__u64)bank->choice.lm == epoch &&
	       (__u64)bank->choice.ownm == epoch && (chosen & 1) == (epoch & 1);
}

SEC("cgroup_skb/egress")
int ct_decide(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct ct_set *set = bpf_map_lookup_elem(&sets, &zero);
	struct ct_set_traffic *traffic = set_traffic_of(0);
	struct ct_torn *r = bpf_map_lookup_elem(&run, &zero);
	__u64 beat = heartbeat(), now = bpf_ktime_get_ns();
	struct ct_bank *bank;
	struct decision d;
	__u64 epoch;

	(void)skb;
	if (!set || !traffic || !r)
		return 0;
	bank = deciding_bank(set, failsafe(set, traffic, beat, now), beat, traffic);
	if (!bank)
		return 0;
	epoch = bank->epoch;
	choose(bank, traffic, 0, ct_now(now), &d);
	CT_ADD(&r->decisions, 1);
	if (d.backend == CT_NONE || !whole(bank, epoch, d.backend))
		CT_ADD(&r->torn, 1);
	return 1;
}

struct ct_cases {
	__u64 next; /* number of the next case */
	__u64 first; /* number of the case whose digest is at index 0 */
};

CT_ARRAY(cases, struct ct_cases);
CT_ARRAY(scratch, struct ct_case);
CT_ARRAY(digests, __u64);

SEC("cgroup_skb/egress")
int ct_agree(struct __sk_buff *skb)
{
	__u32 zero = 0, at;
	struct ct_cases *c = bpf_map_lookup_elem(&cases, &zero);
	struct ct_case *space = bpf_map_lookup_elem(&scratch, &zero);
	__u64 *digest, number;

	(void)skb;
	if (!c || !space)
		return 0;
	number = c->next++;
	at = (__u32)(number - c->first);
	digest = bpf_map_lookup_elem(&digests, &at);
	if (!digest)
		return 0;
	*digest = agree(space, number);
	return 1;
}

char _license[] SEC("license") = "Apache-2.0";
