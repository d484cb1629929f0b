/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * One random case of the choice, and a digest of everything that came of it.
 *
 * The same text goes through the BPF compiler, verifier and JIT, and through the native compiler; equal digests over
 * many cases say that both builds of choice.h decide alike. A case follows from its number alone.
 */
#ifndef CONTINUITY_TESTS_AGREE_H
#define CONTINUITY_TESTS_AGREE_H

#include "../choice.h"

#define CT_CASE_RECORDS 3u

/* Too large for a BPF stack. */
struct ct_case {
	struct ct_record records[CT_CASE_RECORDS];
	struct ct_slots slots;
	struct ct_choice choice;
	struct ct_regression regression;
	__u64 random;
	__u64 digest;
};

/* splitmix64 */
CT_INLINE __u64 draw(struct ct_case *c)
{
	__u64 z;

	c->random += 0x9e3779b97f4a7c15ull;
	z = c->random;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

CT_INLINE void fold(struct ct_case *c, __u64 value)
{
	c->digest = (c->digest ^ value) * 0x100000001b3ull;
	c->digest ^= c->digest >> 29;
}

/* A record as it can be: ages around the steps of the discounts, counts that can be below zero. */
CT_INLINE void draw_record(struct ct_case *c, struct ct_record *r, __u32 now)
{
	__u64 a = draw(c), b = draw(c), d = draw(c), e = draw(c);

	r->ts = now - (__u32)(a & 0xffff);
	r->l = (__u16)(a >> 16) & 8191;
	r->rif = (__u16)(a >> 32);
	r->q = (__u16)(a >> 48);
	r->e = (__u8)b;
	r->has = (__u8)(b >> 8) & 1;
	r->own_at = (__s32)((b >> 16) & 255) - 16;
	r->infl = (__s32)((b >> 32) & 255) - 16;
	r->pts = now - (__u32)(d & 0x3fff);
	r->pen = (__u16)(((d >> 16) & 4095) % (CT_PENALTY_CAP + 1));
	r->lw = (__u16)(d >> 32) & 8191;
	r->lts = now - (__u32)((d >> 48) & 0xffff);
	r->rx = r->rnew = r->good = r->pair_said = r->pair_seen = 0;
	r->pair_n = 0;
	r->set = (__u16)(e & 3);
	r->shl = (__s16)((e >> 8) & 2047) - 1024;
	r->trust = (__u16)((e >> 24) & 511) % 257;
	r->fixed = (e >> 40) & 15 ? 0 : (__u16)(e >> 44) & 8191;
	r->off = (e >> 60) == 0;
	r->pardon = (__u8)(e >> 52);
}

CT_INLINE void draw_case(struct ct_case *c, __u64 number, __u32 now)
{
	__u64 which = draw(c), none = draw(c) & draw(c) & draw(c), words = draw(c);
	__u32 i;

	(void)number;
	draw_record(c, &c->records[0], now);
	draw_record(c, &c->records[1], now);
	draw_record(c, &c->records[2], now);
	for (i = 0; i < CT_SLOTS; i++)
		c->slots.id[i] = (none >> i) & 1 ? CT_NONE : (__u32)(which >> i) & 1;
	c->choice.wm = (__s32)(words & 8191);
	c->choice.lm = (__s32)((words >> 13) & 8191);
	c->choice.ownm = (__s32)((words >> 26) & 4095);
	c->choice.mem = (words >> 40) & 3;
	if (c->choice.mem == 3)
		c->choice.mem = CT_NONE;
	c->choice.mem_on = (words >> 42) & 1;
	c->choice.reports = (words >> 43) & 1;
	c->choice.width = (__u8)(words >> 44);
	c->choice.drip = 0;
	c->regression.n = 0;
	c->regression.sx = c->regression.sy = c->regression.sxx = c->regression.sxy = 0;
}

CT_INLINE void fold_record(struct ct_case *c, const struct ct_record *r)
{
	fold(c, r->ts | (__u64)r->l << 32 | (__u64)r->rif << 48);
	fold(c, r->q | (__u64)r->e << 16 | (__u64)r->has << 24 | (__u64)(__u32)r->own_at << 32);
	fold(c, (__u32)r->infl | (__u64)r->pts << 32);
	fold(c, r->pen | (__u64)r->lw << 16 | (__u64)r->lts << 32);
	fold(c, r->rx | (__u64)r->rnew << 32);
	fold(c, r->good | (__u64)r->pair_n << 32);
}

/* Decides a case and lets the rest of the record's life happen to its three records. */
CT_INLINE __u64 agree(struct ct_case *c, __u64 number)
{
	struct ct_record *a = &c->records[0], *b = &c->records[1], *m = &c->records[2];
	struct ct_report report;
	struct ct_pair pair;
	__u64 draws;
	__u32 now, us;

	c->random = number;
	c->digest = 0xcbf29ce484222325ull;
	draws = draw(c);
	now = (__u32)draws;
	us = (__u32)(draws >> 40);
	draw_case(c, number, now);
	pair = ct_candidates(&c->slots, &c->choice, (__u32)draw(c));
	fold(c, pair.a | (__u64)pair.b << 32);
	fold(c, pair.spare | (__u64)pair.remembered << 32);
	fold(c, (__u32)ct_score(a, &c->choice, now) | (__u64)(__u32)ct_score(b, &c->choice, now) << 32);
	fold(c, (__u32)ct_score(m, &c->choice, now) | (__u64)(__u32)ct_better(a, b, &c->choice, now) << 32);
	fold(c, (__u32)ct_prediction(a, &c->choice, now) | (__u64)(__u32)ct_usable(m, 1) << 32);
	ct_on_start(a);
	ct_on_answer(a, us, now);
	ct_learn(&c->regression, &c->choice, ct_prediction(a, &c->choice, now), us);
	ct_on_failure(b, now);
	report.l = (__u8)draws;
	report.e = (__u8)(draws >> 8);
	report.age = (__u8)(draws >> 16) & 63;
	report.reserved = 0;
	report.rif = (__u16)(draws >> 24);
	report.q = (__u16)(draws >> 36);
	if (ct_on_report(m, &report, now))
		ct_remember(&c->choice, 2, m, a, now);
	ct_on_pair(m, report.l, us);
	fold_record(c, a);
	fold_record(c, b);
	fold_record(c, m);
	fold(c, c->choice.mem);
	fold(c, (__u64)c->regression.sx);
	fold(c, (__u64)c->regression.sxy);
	return c->digest;
}

#endif
