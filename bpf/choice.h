/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The choice of a backend: which of two candidates a new connection goes to.
 *
 * Why it exists: one text of the law for the kernel hooks, the test-run wrapper and the native build that the
 * wind tunnel drives. Static inline functions over plain structs: no BPF helper, no libc, no division, no loop,
 * no floating point. The includer provides __u8 .. __s64 (vmlinux.h or linux/types.h).
 *
 * Invariants: the smaller score wins and a tie goes to the slot's backend; a backend that is off is never the
 * memory's answer; |score| < 2^16; a report older than 34 s, or with trust 0, has no influence; pen <= 2560 and
 * 0 after 11 s without a failure; mem is not read while mem_on is 0.
 *
 * Left out: admission, failsafe, affinity, address rewriting (they stand before or after), and what a report is
 * made of on the backend's node (report.h).
 *
 * CALLING SEQUENCE
 *
 *   connect (cgroup/connect4, connect6), after the failsafe:
 *       now = ct_now(bpf_ktime_get_ns());
 *       id = ct_drip(choice, now);                        // CT_NONE nearly always
 *       if (id == CT_NONE) {
 *               cursor = ++per-CPU cursor of the set;     // start: hash(node) + bit-reversed CPU number << 26
 *               pair = ct_candidates(slots, choice, cursor);
 *               if (pair.a == CT_NONE) -> the set has no backend: refuse
 *               a = lookup(records, pair.a); b = lookup(records, pair.b);
 *               if (pair.remembered && (!b || !ct_usable(b, set)))
 *                       { pair.b = pair.spare; b = lookup(records, pair.b); }
 *               if (!a) -> miss: proceed to the VIP
 *               id = (b && ct_better(a, b, choice, now)) ? pair.b : pair.a;
 *       }
 *       rec = the chosen record; storage.prediction = ct_prediction(rec, choice, now); ct_on_start(rec);
 *       storage: backend id, start time, "outstanding" flag = 1
 *
 *   first payload back (cgroup_skb ingress), once per request while "outstanding":
 *       ct_on_answer(rec, us, now); ct_learn(regression, choice, storage.prediction, us); flag = 0
 *       and only then the report that the segment may carry: own_at must not count the request just answered
 *   next request on a kept-alive connection (payload out while flag is 0): ct_on_start(rec); flag = 1
 *   refused / timed out / reset before data (sockops, close without answer): ct_on_failure(rec, now); flag = 0
 *   the client went away while waiting: ct_on_abandon(rec); flag = 0
 *   a report in a segment from the backend (not wired yet; has stays 0 and the score rests on own evidence):
 *       if (ct_on_report(rec, &report, now)) { m = choice->mem; ct_remember(choice, id, rec, m == CT_NONE ? 0 :
 *       lookup(records, m), now); }
 *
 *   Every flag change must be won by one CPU (compare-exchange on the storage), so that in-flight returns to 0.
 *
 * Written by the agent: the last 8 bytes of a record (one 64-bit store), all of ct_choice but mem and drip's
 * consumption. Agent duties: clear mem (CT_NONE) when its backend is removed; a removed backend's record keeps
 * off = 1 until the id is given away again; start values: records zero, mem CT_NONE.
 */
#ifndef CONTINUITY_CHOICE_H
#define CONTINUITY_CHOICE_H

#include "choice_table.h"

#ifdef __bpf__
#define CT_INLINE static inline __attribute__((always_inline))
/* Keeps the compiler from dropping a mask that the verifier needs to see. */
#define CT_OPAQUE(x) asm volatile("" : "+r"(x))
#define CT_ADD(p, v) ((void)__sync_fetch_and_add((p), (v)))
#else
#define CT_INLINE static inline
#define CT_OPAQUE(x) ((void)(x))
#define CT_ADD(p, v) ((void)(*(p) += (v)))
#endif

#define CT_NONE 0xffffffffu
#define CT_SLOTS 64u /* law-balancing.md 2.7; power of two, fits the 26-bit shift below */

#define CT_DEAD_ZONE 96 /* Q8 octaves: 0.375 */
#define CT_LIKE 32u /* k = 2 requests in Q4 */
#define CT_FLOOR (-384) /* a report is believed at most 1.5 octaves below the median */
#define CT_REPORT_LIFE 32768 /* kms; 34 s */
#define CT_PENALTY 1024 /* one failure: 4 octaves */
#define CT_PENALTY_CAP 2560 /* 10 octaves */
#define CT_PREDICTION_LIFE 4096 /* kms; older news predict nothing */
#define CT_NO_PREDICTION (-32768)
#define CT_STALE_MS 32u /* age byte from which a report is not for the choice */

/*
 * What one node knows about one backend. 64 bytes, one cache line. Time is kms = ktime_ns >> 20 (1.049 ms).
 * Q8 = log2 of microseconds times 256; Q4 = requests times 16.
 */
struct ct_record {
	__u32 ts; /* kms of the newest report that said something new */
	__u16 l; /* reported turnaround, Q8 */
	__u16 rif; /* reported requests in flight, Q4 */
	__u16 q; /* reported recent mean of rif, Q4 */
	__u8 e; /* reported error share, 0..255 */
	__u8 has; /* 1 once a report came */
	__s32 own_at; /* own in-flight when that report came */
	__s32 infl; /* own requests that wait for an answer */
	__u32 pts; /* kms of the last change of pen */
	__u16 pen; /* failure penalty at pts, Q8 */
	__u16 lw; /* own turnaround, log EWMA Q8; 0 = unknown */
	__u32 lts; /* kms of the last answer */
	__u32 rx; /* reports received */
	__u32 rnew; /* of these, different from the one before */
	__u32 good; /* answers */
	__u32 pair_said; /* sum of reported l over answers that carried a report, Q8, wraps */
	__u32 pair_seen; /* sum of own turnaround over the same answers, Q8, wraps */
	__u16 pair_n; /* number of such answers, wraps */
	__u16 set; /* set index + 1 that owns the record; 0 = not checked */
	/* The agent's eight bytes. */
	__s16 shl; /* log2(own slots / fair slots), Q8 */
	__u16 trust; /* weight of reports, 0..256 */
	__u16 fixed; /* price of an isolated but needed backend, Q8; 0 = none */
	__u8 off; /* 1 = isolated or removed: never the memory */
	__u8 pardon; /* part of a failure that says nothing about this backend, in 256ths: the peers fail as well */
};

_Static_assert(sizeof(struct ct_record) == 64, "a record is one cache line");

/* The words of one set. 32 bytes. */
struct ct_choice {
	__s32 wm; /* median of reported turnaround, Q8 */
	__s32 lm; /* median of own turnaround, Q8 */
	__s32 ownm; /* lg(16 * mean own in-flight + 16), Q8 */
	__u32 mem; /* the backend with the freshest good news, or CT_NONE; any CPU writes it */
	__u64 drip; /* (kms from which on << 32) | (backend id + 1); 0 = nothing due */
	__u8 mem_on; /* 1 = enough backends have live, trusted reports */
	__u8 reports; /* 1 = reports are in use in this set (wm means something) */
	__u8 width; /* 1/64 octaves about lm in which own turnaround is noise: own dead zone */
	__u8 reserved[5];
};

_Static_assert(sizeof(struct ct_choice) == 32, "choice words are half a cache line");

/* One bank of a set's table. */
struct ct_slots {
	__u32 id[CT_SLOTS]; /* backend id or CT_NONE */
};

/* A parsed in-band report. */
struct ct_report {
	__u8 l; /* 1/8 octaves of microseconds */
	__u8 e; /* error share, 0..255 */
	__u8 age; /* ms, how old the figures are */
	__u8 reserved;
	__u16 rif; /* Q4 */
	__u16 q; /* Q4 */
};

/* Realised against predicted turnaround, sums since start (the agent takes differences). Units: Q8 octaves. */
struct ct_regression {
	__u64 n;
	__s64 sx, sy, sxx, sxy;
};

struct ct_pair {
	__u32 a; /* the slot's backend */
	__u32 b; /* the challenger */
	__u32 spare; /* second slot: the challenger if the memory turns out to be off */
	__u32 remembered; /* 1 = b is the memory */
};

CT_INLINE __u32 ct_now(__u64 ns)
{
	return (__u32)(ns >> 20);
}

/* Signed age; the clock wraps after 52 days, and never runs backwards for us. */
CT_INLINE __s32 ct_age(__u32 now, __u32 then)
{
	__s32 age = (__s32)(now - then);
	return age > 0 ? age : 0;
}

CT_INLINE __u32 ct_exp(__u32 i)
{
	if (i > 127)
		return 0;
	CT_OPAQUE(i);
	return ct_decay[i & 127];
}

/* `by` if x < limit, else 0, without a branch: the verifier would follow both ways of each. */
CT_INLINE __u32 ct_below(__u32 x, __u32 limit, __u32 by)
{
	__s64 gap = (__s64)x - (__s64)limit;

	CT_OPAQUE(gap);
	return (__u32)(gap >> 63) & by;
}

/* log2(x) in Q8 with a linear mantissa (error <= 0.086 octave); x = 0 counts as 1. */
CT_INLINE __s32 ct_lg(__u32 x)
{
	__u32 e = 31, s;

	x |= (x - 1) >> 31; /* 0 becomes 1; above 2^31 only the lowest bit may change, which is not looked at */
	s = ct_below(x, 1u << 16, 16);
	x <<= s;
	e -= s;
	s = ct_below(x, 1u << 24, 8);
	x <<= s;
	e -= s;
	s = ct_below(x, 1u << 28, 4);
	x <<= s;
	e -= s;
	s = ct_below(x, 1u << 30, 2);
	x <<= s;
	e -= s;
	s = ct_below(x, 1u << 31, 1);
	x <<= s;
	e -= s;
	return (__s32)((e << 8) + ((x >> 23) & 255));
}

/* x where it is above 0, else 0, without a branch: the verifier would follow both ways of each. */
CT_INLINE __s64 ct_above(__s64 x)
{
	__s64 mask = ~(x >> 63);

	CT_OPAQUE(mask);
	return x & mask;
}

/* Dead zone of so many Q8 octaves: peers that are alike are told apart by their queue only. */
CT_INLINE __s32 ct_zone(__s32 x, __s32 width)
{
	__s64 sign = (__s64)x >> 63, m, y;

	CT_OPAQUE(sign);
	m = (x ^ sign) - sign;
	y = 2 * ct_above(m - width);
	y -= ct_above(y - m);
	return (__s32)((y ^ sign) - sign);
}

CT_INLINE __s32 ct_dz(__s32 x)
{
	return ct_zone(x, CT_DEAD_ZONE);
}

/* What failures weigh at this backend. */
CT_INLINE __s32 ct_blame(const struct ct_record *b, __s32 x)
{
	return x - ((x * b->pardon) >> 8);
}

/* What is left of the failure penalty: one octave less each second. */
CT_INLINE __s32 ct_penalty(const struct ct_record *b, __u32 now)
{
	__s32 left = (__s32)b->pen - (ct_age(now, b->pts) >> 2);
	return left > 0 ? left : 0;
}

/* Own requests in flight; two CPUs may disagree for a moment, below zero never counts. */
CT_INLINE __s32 ct_inflight(const struct ct_record *b)
{
	__s32 n = b->infl;

	if (n < 0)
		return 0;
	return n < 65536 ? n : 65536; /* keeps 16 * n + 16 far from overflow */
}

/* The report's own part of the score, before discount: latency against the median, queue against its mean. */
CT_INLINE __s32 ct_reported(const struct ct_record *b, const struct ct_choice *c, __s32 age)
{
	__s32 g1 = (__s32)ct_exp((__u32)age >> 6);
	__s32 infl = ct_inflight(b);
	__s32 q = b->q;
	__s32 r = q + ((((__s32)b->rif - q) * g1) >> 8) + 16 * (infl - b->own_at);
	__s32 l = (__s32)b->l - c->wm;

	if (r < 16 * infl)
		r = 16 * infl;
	if (l < CT_FLOOR)
		l = CT_FLOOR;
	return ct_dz(l) + ct_lg((__u32)r + CT_LIKE) - ct_lg((__u32)q + CT_LIKE);
}

/* Score of a backend, Q8 octaves; smaller is better. */
CT_INLINE __s32 ct_score(const struct ct_record *b, const struct ct_choice *c, __u32 now)
{
	__s32 own, pen, age;

	if (b->fixed)
		return (__s32)b->fixed - (c->reports ? c->wm : c->lm);
	own = ct_lg(16u * (__u32)ct_inflight(b) + 16u) - c->ownm - b->shl;
	pen = ct_blame(b, ct_penalty(b, now));
	age = ct_age(now, b->ts);
	if (b->has && b->trust && age < CT_REPORT_LIFE) {
		__s32 g1 = (__s32)ct_exp((__u32)age >> 6);
		__s32 g2 = (__s32)(ct_exp((__u32)age >> 8) * b->trust >> 8);

		return ((ct_reported(b, c, age) * g2 + own * (256 - g2)) >> 8) + pen +
		       ct_blame(b, ((__s32)b->e * g1) >> 6);
	}
	if (b->lw) {
		__s32 g = (__s32)ct_exp((__u32)ct_age(now, b->lts) >> 9);

		return ((ct_zone((__s32)b->lw - c->lm, 4 * (__s32)c->width) * g) >> 8) + own + pen;
	}
	return own + pen;
}

/* The backend whose drip is due, or CT_NONE. Exactly one caller gets it. */
CT_INLINE __u32 ct_drip(struct ct_choice *c, __u32 now)
{
	__u64 word = *(volatile __u64 *)&c->drip;

	if (!word || (__s32)(now - (__u32)(word >> 32)) < 0)
		return CT_NONE;
#ifdef __bpf__
	if (__sync_val_compare_and_swap(&c->drip, word, 0ull) != word)
		return CT_NONE;
#else
	c->drip = 0;
#endif
	return (__u32)word - 1;
}

/* Two candidates: one slot by the R2 sequence, and the memory, or a second slot. */
CT_INLINE struct ct_pair ct_candidates(const struct ct_slots *s, const struct ct_choice *c, __u32 cursor)
{
	__u32 i = (cursor * 3242174889u) >> 26;
	__u32 j = (cursor * 2447445414u) >> 26;
	struct ct_pair p;
	__u32 m;

	CT_OPAQUE(i);
	CT_OPAQUE(j);
	p.a = s->id[i & (CT_SLOTS - 1)];
	p.spare = s->id[j & (CT_SLOTS - 1)];
	if (p.a == p.spare) {
		j += CT_SLOTS / 2;
		CT_OPAQUE(j);
		p.spare = s->id[j & (CT_SLOTS - 1)];
	}
	p.b = p.spare;
	p.remembered = 0;
	if (c->mem_on) {
		m = *(volatile const __u32 *)&c->mem;
		if (m != CT_NONE && m != p.a) {
			p.b = m;
			p.remembered = 1;
		}
	}
	return p;
}

/* May the memory name this backend in this set? */
CT_INLINE int ct_usable(const struct ct_record *b, __u32 set)
{
	return !b->off && (!b->set || b->set == set + 1);
}

/* 1 if the challenger b beats the slot's backend a. */
CT_INLINE int ct_better(const struct ct_record *a, const struct ct_record *b, const struct ct_choice *c, __u32 now)
{
	return ct_score(b, c, now) < ct_score(a, c, now);
}

/* What the report predicts for the next request, Q8 octaves above the median; CT_NO_PREDICTION without fresh news. */
CT_INLINE __s32 ct_prediction(const struct ct_record *b, const struct ct_choice *c, __u32 now)
{
	__s32 age = ct_age(now, b->ts);

	if (!b->has || age >= CT_PREDICTION_LIFE)
		return CT_NO_PREDICTION;
	return (ct_reported(b, c, age) * (__s32)ct_exp((__u32)age >> 8)) >> 8;
}

CT_INLINE void ct_on_start(struct ct_record *b)
{
	CT_ADD(&b->infl, 1);
}

/* The client went away: neither good nor bad. */
CT_INLINE void ct_on_abandon(struct ct_record *b)
{
	CT_ADD(&b->infl, -1);
}

/* First payload back after us microseconds. */
CT_INLINE void ct_on_answer(struct ct_record *b, __u32 us, __u32 now)
{
	__s32 x = ct_lg(us);
	__s32 lw = b->lw;
	__s32 silence = ct_age(now, b->lts);

	CT_ADD(&b->infl, -1);
	CT_ADD(&b->good, 1);
	b->pen = (__u16)(ct_penalty(b, now) >> 1);
	b->pts = now;
	if (!lw)
		lw = x;
	else if (x > lw)
		lw += (x - lw) >> 1;
	else
		lw -= (lw - x) >> (silence > 4096 ? 1 : silence > 1024 ? 2 : 3);
	b->lw = (__u16)(lw > 0 ? lw : 1); /* 0 means unknown */
	b->lts = now;
}

/* Refused, timed out, reset before data, or what the close pattern says. */
CT_INLINE void ct_on_failure(struct ct_record *b, __u32 now)
{
	__s32 pen;

	CT_ADD(&b->infl, -1);
	pen = ct_penalty(b, now) + CT_PENALTY;
	b->pen = (__u16)(pen < CT_PENALTY_CAP ? pen : CT_PENALTY_CAP);
	b->pts = now;
	if (b->has) {
		b->e = 255;
		b->ts = now;
		b->own_at = b->infl;
	}
}

/* A report from the backend. Returns 1 if it may move the memory. A repeated report does not renew the stamp. */
CT_INLINE int ct_on_report(struct ct_record *b, const struct ct_report *r, __u32 now)
{
	__u16 l = (__u16)(r->l << 5);

	if (r->age >= CT_STALE_MS || (b->has && (__s32)(now - b->ts) < 0))
		return 0;
	CT_ADD(&b->rx, 1);
	if (b->has && l == b->l && r->rif == b->rif && r->q == b->q)
		return 1;
	CT_ADD(&b->rnew, 1);
	b->l = l;
	b->rif = r->rif;
	b->q = r->q;
	b->e = r->e;
	b->own_at = b->infl;
	b->ts = now;
	b->has = 1;
	return 1;
}

/* After ct_on_report: does backend id take over the memory? m = record of choice->mem, or 0. */
CT_INLINE void ct_remember(struct ct_choice *c, __u32 id, const struct ct_record *b, const struct ct_record *m,
			   __u32 now)
{
	if (b->off)
		return;
	if (!m || m == b || m->off || ct_score(b, c, now) <= ct_score(m, c, now))
		*(volatile __u32 *)&c->mem = id;
}

/* What was said against what was seen, over one answer that carried a report: unmasks a liar. */
CT_INLINE void ct_on_pair(struct ct_record *b, __u8 said, __u32 us)
{
	CT_ADD(&b->pair_said, (__u32)said << 5);
	CT_ADD(&b->pair_seen, (__u32)ct_lg(us));
	b->pair_n++;
}

/* Feeds the slope of realised on predicted turnaround; the outcome is clamped to -3 .. 6 octaves. */
CT_INLINE void ct_learn(struct ct_regression *g, const struct ct_choice *c, __s32 predicted, __u32 us)
{
	__s64 x = predicted;
	__s64 y = ct_lg(us) - c->lm;

	if (predicted == CT_NO_PREDICTION)
		return;
	y = y < -768 ? -768 : y > 1536 ? 1536 : y;
	CT_ADD(&g->n, 1);
	CT_ADD(&g->sx, x);
	CT_ADD(&g->sy, y);
	CT_ADD(&g->sxx, x * x);
	CT_ADD(&g->sxy, x * y);
}

#endif
