/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What a backend's node measures about a pod and says in a report: turnaround, requests in flight, their recent
 * mean, error share (law-balancing.md 2.2).
 *
 * Why it exists: the writer of a report must be the same text in the kernel hooks and in the wind tunnel.
 * Invariant: no report before the first good answer; figures are those of the moment of writing (age byte 0).
 * Left out: the TCP option's bytes, and when a segment has room for it.
 *
 * Include after choice.h. One CPU at a time updates a pod (the caller holds its lock), readers may race.
 */
#ifndef CONTINUITY_REPORT_H
#define CONTINUITY_REPORT_H

#include "choice.h"

/* One pod and port. Zero is "nothing seen". */
struct ct_pod {
	__u32 rif; /* requests in, responses not yet out */
	__u32 el; /* turnaround, us, EWMA */
	__u32 q; /* mean of rif, Q12, EWMA */
	__u32 ee; /* error share, Q16 of which the top 8 bits are sent, EWMA */
	__u32 tq; /* kms of the last change of q */
	__u32 ta; /* kms of the last answer */
	__u32 lastc; /* kms of the last answer, or of the request that ended an idle time */
	__u32 good; /* 1 once a good answer went out */
};

_Static_assert(sizeof(struct ct_pod) == 32, "a pod is half a cache line");

/* Gain 2^-shift for a gap: a time constant of about 128 ms; after 1 s of silence the new sample replaces the old. */
CT_INLINE __u32 ct_shift(__s32 dt)
{
	__s32 s;

	if (dt >= 1024)
		return 0;
	s = 7 - (ct_lg((__u32)dt) >> 8);
	return s < 1 ? 1 : (__u32)s;
}

CT_INLINE void ct_pod_queue(struct ct_pod *p, __u32 now)
{
	__s32 dt = ct_age(now, p->tq);

	if (!dt)
		return;
	p->q = (__u32)((__s32)p->q + ((__s32)((p->rif << 12) - p->q) >> ct_shift(dt)));
	p->tq = now;
}

CT_INLINE void ct_pod_request(struct ct_pod *p, __u32 now)
{
	ct_pod_queue(p, now);
	if (!p->rif)
		p->lastc = now;
	p->rif++;
}

CT_INLINE void ct_pod_response(struct ct_pod *p, __u32 us, int error, __u32 now)
{
	__u32 shift = ct_shift(ct_age(now, p->ta));

	ct_pod_queue(p, now);
	if (p->rif)
		p->rif--;
	if (p->good || !error)
		p->el = p->good ? (__u32)((__s32)p->el + ((__s32)(us - p->el) >> (shift < 5 ? shift : 5))) : us;
	p->ee = (__u32)((__s32)p->ee + (((error ? 255 << 8 : 0) - (__s32)p->ee) >> (shift < 3 ? shift : 3)));
	if (!error)
		p->good = 1;
	p->ta = now;
	p->lastc = now;
}

/* The client went away, or the pod never answered. */
CT_INLINE void ct_pod_gone(struct ct_pod *p, __u32 now)
{
	ct_pod_queue(p, now);
	if (p->rif)
		p->rif--;
}

/* Fills a report; 0 if there is nothing to say yet. */
CT_INLINE int ct_pod_report(const struct ct_pod *p, struct ct_report *r, __u32 now)
{
	__u32 us = p->el, stall, rif, q;

	if (!p->good)
		return 0;
	if (p->rif) {
		stall = (__u32)ct_age(now, p->lastc);
		stall = stall < 1u << 20 ? stall << 10 : 1u << 30;
		if (stall > 2 * us)
			us = stall;
	}
	rif = p->rif < 4095 ? p->rif << 4 : 65535;
	q = p->q >> 8;
	r->l = (__u8)((ct_lg(us) + 16) >> 5);
	r->e = (__u8)(p->ee >> 8);
	r->age = 0;
	r->reserved = 0;
	r->rif = (__u16)rif;
	r->q = (__u16)(q < 65535 ? q : 65535);
	return 1;
}

#endif
