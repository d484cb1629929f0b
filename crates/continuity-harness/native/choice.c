/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The native build of bpf/choice.h: the same inline functions the kernel hooks use, given external names.
 * ctn_pick and ctn_report are the calling sequence that the header's top comment prescribes, and nothing more.
 */
#include <linux/types.h>
#include "choice.h"
#include "report.h"

__s32 ctn_lg(__u32 x) { return ct_lg(x); }
__s32 ctn_dz(__s32 x) { return ct_dz(x); }
__u32 ctn_exp(__u32 i) { return ct_exp(i); }

void ctn_indices(__u32 cursor, __u32 *i, __u32 *j)
{
	struct ct_slots s;
	struct ct_choice c = { .mem = CT_NONE };
	struct ct_pair p;
	__u32 k;

	for (k = 0; k < CT_SLOTS; k++)
		s.id[k] = k;
	p = ct_candidates(&s, &c, cursor);
	*i = p.a;
	*j = p.b;
}

__s32 ctn_score(const struct ct_record *b, const struct ct_choice *c, __u32 now) { return ct_score(b, c, now); }

static const struct ct_record *ctn_at(const struct ct_record *r, __u32 n, __u32 id) { return id < n ? r + id : 0; }

__u32 ctn_pick(const struct ct_slots *s, struct ct_choice *c, const struct ct_record *r, __u32 n, __u32 set,
	       __u32 cursor, __u32 now)
{
	__u32 id = ct_drip(c, now);
	const struct ct_record *a, *b;
	struct ct_pair p;

	if (id < n)
		return id;
	p = ct_candidates(s, c, cursor);
	a = ctn_at(r, n, p.a);
	if (!a)
		return CT_NONE;
	b = ctn_at(r, n, p.b);
	if (p.remembered && (!b || !ct_usable(b, set))) {
		p.b = p.spare;
		b = ctn_at(r, n, p.b);
	}
	return b && ct_better(a, b, c, now) ? p.b : p.a;
}

__s32 ctn_prediction(const struct ct_record *b, const struct ct_choice *c, __u32 now)
{
	return ct_prediction(b, c, now);
}

void ctn_on_start(struct ct_record *b) { ct_on_start(b); }
void ctn_on_abandon(struct ct_record *b) { ct_on_abandon(b); }
void ctn_on_answer(struct ct_record *b, __u32 us, __u32 now) { ct_on_answer(b, us, now); }
void ctn_on_failure(struct ct_record *b, __u32 now) { ct_on_failure(b, now); }
void ctn_on_pair(struct ct_record *b, __u8 said, __u32 us) { ct_on_pair(b, said, us); }

void ctn_learn(struct ct_regression *g, const struct ct_choice *c, __s32 predicted, __u32 us)
{
	ct_learn(g, c, predicted, us);
}

void ctn_report(struct ct_choice *c, struct ct_record *r, __u32 n, __u32 id, const struct ct_report *report, __u32 now)
{
	if (id < n && ct_on_report(r + id, report, now))
		ct_remember(c, id, r + id, ctn_at(r, n, c->mem), now);
}

void ctn_pod_request(struct ct_pod *p, __u32 now) { ct_pod_request(p, now); }
void ctn_pod_gone(struct ct_pod *p, __u32 now) { ct_pod_gone(p, now); }

void ctn_pod_response(struct ct_pod *p, __u32 us, int error, __u32 now)
{
	ct_pod_response(p, us, error, now);
}

int ctn_pod_report(const struct ct_pod *p, struct ct_report *r, __u32 now) { return ct_pod_report(p, r, now); }
