/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * connect(2) to a service address: failsafe, admission, slot or memory by score, count, rewrite.
 *
 * Invariants: O(1), no loop over backends or services; whatever is missing lets the connect proceed to the VIP (fail
 * open), counted by reason; only what admission does not let in and a set that is known to have no backend are refused
 * (ECONNREFUSED, what kube-proxy's reject gives); traffic never leaves its set.
 *
 * Left out: affinity, which will stand between admission and slot; UDP; opt-out of cgroups and network namespaces, which
 * will stand before the service look-up.
 */
#ifndef CONTINUITY_CONNECT_H
#define CONTINUITY_CONNECT_H

#include <linux/errno.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include "admission.h"
#include "failsafe.h"
#include "set.h"
#include "socket.h"
#include "traffic.h"

#define CT_PASS 1
#define CT_DENY 0
#define CT_MAPPED bpf_htonl(0x0000ffff) /* third word of ::ffff:a.b.c.d */

CT_HASH(services, struct ct_key, struct ct_service);

/* A decision: the backend and what it rests on. */
struct decision {
	__u32 backend;
	__s32 prediction;
	__u32 dripped;
};

static __always_inline int mapped(const __u32 *address)
{
	return !address[0] && !address[1] && address[2] == CT_MAPPED;
}

/* The backend's record if it may be chosen for this set. */
static __always_inline struct ct_record *record_at(__u32 id)
{
	return id == CT_NONE ? 0 : bpf_map_lookup_elem(&records, &id);
}

/* Its address, which the decision needs when the record's score is known. */
static __always_inline void touch_backend(__u32 id)
{
	struct ct_backend *b = bpf_map_lookup_elem(&backends, &id);

	if (b)
		CT_TOUCH(b);
}

/* Two CPUs of one shard may take the same place, and both then differ from the next; an atomic addition would wait for
 * the line alone. */
static __always_inline __u32 next_cursor(struct ct_set_traffic *traffic)
{
	return ++*(volatile __u32 *)&traffic->cursor;
}

/* Slot against memory (or a second slot), by score. CT_NONE: no answer. */
static __always_inline __u32 choose(struct ct_bank *bank, struct ct_set_traffic *traffic, __u32 set, __u32 now,
				    struct decision *d)
{
	struct ct_record *a, *b;
	struct ct_pair pair;

	d->prediction = CT_NO_PREDICTION;
	d->dripped = 1;
	d->backend = ct_drip(&bank->choice, now);
	if (d->backend != CT_NONE)
		return d->backend;
	d->dripped = 0;
	pair = ct_candidates(&bank->slots, &bank->choice, next_cursor(traffic));
	a = record_at(pair.a);
	b = record_at(pair.b);
	touch_backend(pair.a);
	touch_backend(pair.b);
	if (pair.remembered && (!b || !ct_usable(b, set))) {
		pair.b = pair.spare;
		b = record_at(pair.b);
	}
	d->backend = pair.a;
	if (!a) {
		d->backend = pair.b;
		a = b;
	} else if (b && pair.a != pair.b && ct_better(a, b, &bank->choice, now)) {
		d->backend = pair.b;
		a = b;
	}
	if (!a)
		return CT_NONE;
	d->prediction = ct_prediction(a, &bank->choice, now);
	return d->backend;
}

/* Equal share over the last known alive: the slot alone, no score. */
static __always_inline __u32 choose_alive(struct ct_bank *bank, struct ct_set_traffic *traffic, struct decision *d)
{
	__u32 i = (next_cursor(traffic) * 3242174889u) >> 26;

	CT_OPAQUE(i);
	d->prediction = CT_NO_PREDICTION;
	d->dripped = 0;
	d->backend = bank->slots.id[i & (CT_SLOTS - 1)];
	return d->backend;
}

/* Keeps with the socket what it asked for and what it got; the handshake's hook does the counting. */
static __always_inline void remember(struct bpf_sock_addr *ctx, const struct ct_key *key, __u32 set,
				     const struct ct_backend *backend, const struct decision *d,
				     struct ct_set_traffic *traffic, __u64 now, __u32 held)
{
	struct ct_socket *s = claim(bpf_get_socket_cookie(ctx));

	if (!s) {
		CT_ADD(&traffic->unmeasured, 1);
		ct_forgo(set, held);
		return;
	}
	s->address[0] = key->address[0];
	s->address[1] = key->address[1];
	s->address[2] = key->address[2];
	s->address[3] = key->address[3];
	s->port = key->port;
	s->started = now;
	s->backend = d->backend;
	s->generation = backend->generation;
	s->set = (__u16)set;
	s->prediction = (__s16)d->prediction;
	s->phase = CT_IDLE;
	s->bytes_in = 0;
	s->bytes_out = 0;
	s->flags = CT_CHOSEN | (held & CT_TOKEN); /* no packet of this socket before connect(2) goes on */
}

/* A connect that goes on to the VIP keeps what it holds, and nothing else is measured of it. */
__attribute__((noinline)) __u32 ct_remember_passed(__u64 cookie, __u32 set, __u64 now, __u32 held)
{
	struct ct_socket *s;

	if (!(held & CT_HELD))
		return 0;
	s = claim(cookie);
	if (!s)
		return ct_forgo(set, held);
	s->started = now;
	s->backend = CT_NONE;
	s->set = (__u16)set;
	s->phase = CT_IDLE;
	s->flags = CT_CHOSEN | CT_PASSED | (held & CT_TOKEN);
	return 1;
}

static __always_inline int refuse(void)
{
	if (have_set_retval)
		bpf_set_retval(-ECONNREFUSED);
	return CT_DENY;
}

/* The bank that decides, or 0 with the reason counted. Loads the word once. */
static __always_inline struct ct_bank *deciding_bank(struct ct_set *set, __u32 index, __u32 state, __u64 beat,
						     struct ct_set_traffic *traffic)
{
	__u64 word = *(volatile __u64 *)&set->word;
	__u64 epoch = word >> 1;
	struct ct_bank *bank;

	if (!word) {
		CT_ADD(&traffic->passed_unpublished, 1);
		return 0;
	}
	bank = bank_of(index, word & 1);
	if (bank && state == CT_HOLD && came_late(bank, set, beat)) {
		epoch--;
		bank = bank_of(index, (word & 1) ^ 1);
		if (!bank || !epoch || bank->epoch != epoch || came_late(bank, set, beat)) {
			CT_ADD(&traffic->passed_hold, 1);
			return 0;
		}
	}
	if (!bank || bank->epoch != epoch) {
		CT_ADD(&traffic->passed_torn, 1);
		return 0;
	}
	return bank;
}

/* The backend that a decision names, if it is in this set and of this family. */
static __always_inline struct ct_backend *backend_of(const struct decision *d, __u32 set, const struct ct_key *key)
{
	__u32 at = d->backend;
	struct ct_backend *b = at == CT_NONE ? 0 : bpf_map_lookup_elem(&backends, &at);

	if (!b || !(b->flags & CT_BACKEND_VALID) || b->set != set)
		return 0;
	return mapped(b->address) == mapped(key->address) ? b : 0;
}

/* The set that an address leads to, if the entry is current. */
static __always_inline struct ct_set *set_of(const struct ct_service *service)
{
	__u32 index = service->set;
	struct ct_set *set = bpf_map_lookup_elem(&sets, &index);

	if (set && set->flags & CT_SET_VALID && set->generation == service->generation)
		return set;
	CT_COUNT_NODE(stale_service);
	return 0;
}

static __always_inline void count_steered(struct ct_set_traffic *traffic, __u32 state, const struct decision *d)
{
	if (state == CT_FALLBACK)
		CT_ADD(&traffic->steered_in_fallback, 1);
	else
		CT_ADD(&traffic->steered, 1);
	if (state == CT_HOLD)
		CT_ADD(&traffic->steered_in_hold, 1);
	if (d->dripped)
		CT_ADD(&traffic->dripped, 1);
}

/*
 * Decides where a connect to `key` goes. Returns the backend to rewrite to; 0 passes through, or refuses where
 * *verdict says so.
 */
static __always_inline struct ct_backend *decide(struct bpf_sock_addr *ctx, const struct ct_key *key, int *verdict)
{
	struct ct_service *service;
	struct ct_set_traffic *traffic;
	struct ct_backend *backend;
	struct ct_bank *bank;
	struct ct_set *set;
	struct decision d;
	__u64 now, beat;
	__u32 index, state, held;

	beat = heartbeat();
	touch_home(bpf_get_socket_cookie(ctx));
	service = bpf_map_lookup_elem(&services, key);
	if (!service)
		return 0;
	index = service->set;
	set = set_of(service);
	traffic = set_traffic_of(index);
	if (!set || !traffic)
		return 0;
	if (!(set->flags & CT_SET_ENFORCE)) {
		CT_ADD(&traffic->passed_observe, 1);
		return 0;
	}
	now = about_now();
	state = failsafe(set, traffic, beat, now);
	if (state == CT_FALLBACK) {
		bank = set->flags & CT_SET_LAST_KNOWN_ALIVE ? bank_of(index, CT_ALIVE_BANK) : 0;
	} else {
		bank = deciding_bank(set, index, state, beat, traffic);
		if (!bank)
			return 0;
		if (!bank->backends) {
			CT_ADD(&traffic->refused_empty, 1);
			*verdict = refuse();
			return 0;
		}
	}
	held = *(volatile __u32 *)&traffic->reserved; /* 0, but not to the verifier: it would follow both values to the end */
	if (set->flags & CT_SET_ADMIT && !(held = ct_admit(index, set->flags, now, beat))) {
		*verdict = refuse();
		return 0;
	}
	if (!bank || !bank->backends) {
		CT_ADD(&traffic->passed_fallback, 1);
		ct_remember_passed(bpf_get_socket_cookie(ctx), index, now, held);
		return 0;
	}
	if (state == CT_FALLBACK)
		choose_alive(bank, traffic, &d);
	else
		choose(bank, traffic, index, ct_now(now), &d);
	backend = backend_of(&d, index, key);
	if (!backend) {
		CT_ADD(&traffic->passed_miss, 1);
		ct_remember_passed(bpf_get_socket_cookie(ctx), index, now, held);
		return 0;
	}
	CT_TOUCH_TRAFFIC(&client_traffic, d.backend);
	touch_waiting(d.backend, now);
	count_steered(traffic, state, &d);
	remember(ctx, key, index, backend, &d, traffic, now, held);
	return backend;
}

static __always_inline int connect_v4(struct bpf_sock_addr *ctx)
{
	struct ct_backend *backend;
	struct ct_key key = {};
	int verdict = CT_PASS;

	if (ctx->protocol != IPPROTO_TCP)
		return CT_PASS;
	key.address[2] = CT_MAPPED;
	key.address[3] = ctx->user_ip4;
	key.port = (__u16)ctx->user_port;
	key.protocol = IPPROTO_TCP;
	backend = decide(ctx, &key, &verdict);
	if (backend) {
		ctx->user_ip4 = backend->address[3];
		ctx->user_port = backend->port;
	}
	return verdict;
}

static __always_inline int connect_v6(struct bpf_sock_addr *ctx)
{
	struct ct_backend *backend;
	struct ct_key key = {};
	int verdict = CT_PASS;

	if (ctx->protocol != IPPROTO_TCP)
		return CT_PASS;
	key.address[0] = ctx->user_ip6[0];
	key.address[1] = ctx->user_ip6[1];
	key.address[2] = ctx->user_ip6[2];
	key.address[3] = ctx->user_ip6[3];
	key.port = (__u16)ctx->user_port;
	key.protocol = IPPROTO_TCP;
	backend = decide(ctx, &key, &verdict);
	if (backend) {
		ctx->user_ip6[0] = backend->address[0];
		ctx->user_ip6[1] = backend->address[1];
		ctx->user_ip6[2] = backend->address[2];
		ctx->user_ip6[3] = backend->address[3];
		ctx->user_port = backend->port;
	}
	return verdict;
}

#endif
