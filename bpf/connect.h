/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * connect(2) to a service address, TCP and UDP: failsafe, admission, affinity, slot or memory by score, count, rewrite.
 *
 * Invariants: O(1), no loop over backends or services; whatever is missing lets the connect proceed to the VIP (fail
 * open), counted by reason; only what admission does not let in and a set that is known to have no backend are refused
 * (ECONNREFUSED, what kube-proxy's reject gives); traffic never leaves its set.
 *
 * UDP differs in one thing: a socket without a record is not steered, because nobody could end it when its backend goes.
 *
 * Left out: admission of UDP, which has no request that ends; opt-out of cgroups and network namespaces, which will stand
 * before the service look-up.
 */
#ifndef CONTINUITY_CONNECT_H
#define CONTINUITY_CONNECT_H

#include <linux/errno.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include "admission.h"
#include "affinity.h"
#include "datagram.h"
#include "failsafe.h"
#include "set.h"
#include "socket.h"
#include "traffic.h"

#define CT_PASS 1
#define CT_DENY 0

CT_HASH(services, struct ct_key, struct ct_service);

/* A decision: the backend and what it rests on. */
struct decision {
	__u32 backend;
	__s32 prediction;
	__u32 dripped;
};

/* Who is asked for. */
struct target {
	struct ct_set *set;
	struct ct_set_traffic *traffic;
	__u64 now;
	__u64 beat;
	__u32 index; /* of the set */
	__u32 state; /* enum ct_failsafe */
};

static __always_inline int mapped(const __u32 *address)
{
	return !address[0] && !address[1] && address[2] == CT_MAPPED;
}

/* A backend's address, which the decision needs when its record's score is known. */
static __always_inline void touch_backend(__u32 id)
{
	struct ct_backend *b = backend_at(id);

	if (b)
		CT_TOUCH(b);
}

/* Two CPUs of one shard may take the same place, and both then differ from the next; an atomic addition would wait for
 * the line alone. */
static __always_inline __u32 next_cursor(struct ct_set_traffic *traffic)
{
	return ++*(volatile __u32 *)&traffic->cursor;
}

/* What the report of a backend predicts; a function of its own, as there is seldom a report. */
__attribute__((noinline)) __s32 ct_foresee(__u32 set, __u32 backend, __u32 now)
{
	struct ct_bank *bank = present_bank(set);
	struct ct_record *r = record_at(backend);

	return bank && r ? ct_prediction(r, &bank->choice, now) : CT_NO_PREDICTION;
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
	if (CT_SELDOM(d->backend != CT_NONE)) {
		CT_ADD(&traffic->dripped, 1);
		return d->backend;
	}
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
	if (CT_SELDOM(a->has))
		d->prediction = ct_foresee(set, d->backend, now);
	return d->backend;
}

/* The slot alone, no score: over the last known alive, and for datagrams whose answers nobody measures. */
static __always_inline __u32 choose_slot(struct ct_bank *bank, struct ct_set_traffic *traffic, struct decision *d)
{
	__u32 i = (next_cursor(traffic) * 3242174889u) >> 26;

	CT_OPAQUE(i);
	d->prediction = CT_NO_PREDICTION;
	d->dripped = 0;
	d->backend = bank->slots.id[i & (CT_SLOTS - 1)];
	return d->backend;
}

/* Keeps with the socket what it asked for and what it got; the handshake's hook does the counting. 0: no room. */
static __always_inline int remember(struct bpf_sock_addr *ctx, const struct ct_key *key, const struct target *t,
				    const struct ct_backend *backend, const struct decision *d, __u32 held)
{
	struct ct_socket *s = claim(bpf_get_socket_cookie(ctx));

	if (CT_SELDOM(!s)) {
		CT_ADD(&t->traffic->unmeasured, 1);
		ct_forgo(t->index, held);
		return 0;
	}
	s->address[0] = key->address[0];
	s->address[1] = key->address[1];
	s->address[2] = key->address[2];
	s->address[3] = key->address[3];
	s->port = key->port;
	s->started = t->now;
	s->backend = d->backend;
	s->generation = backend->generation;
	s->set = (__u16)t->index;
	s->prediction = (__s16)d->prediction;
	s->phase = CT_IDLE;
	s->bytes_in = 0;
	s->bytes_out = 0;
	s->flags = CT_CHOSEN | (held & CT_TOKEN); /* no packet of this socket before connect(2) goes on */
	return 1;
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
static __always_inline struct ct_bank *deciding_bank(struct ct_set *set, __u32 state, __u64 beat,
						     struct ct_set_traffic *traffic)
{
	__u64 word = *(volatile __u64 *)&set->word;
	__u64 epoch = word >> 1;
	struct ct_bank *bank;

	if (CT_SELDOM(!word)) {
		CT_ADD(&traffic->passed_unpublished, 1);
		return 0;
	}
	bank = bank_of(set, word & 1);
	if (bank && CT_SELDOM(state == CT_HOLD) && came_late(bank, set, beat)) {
		epoch--;
		bank = bank_of(set, (word & 1) ^ 1);
		if (!bank || !epoch || bank->epoch != epoch || came_late(bank, set, beat)) {
			CT_ADD(&traffic->passed_hold, 1);
			return 0;
		}
	}
	if (CT_SELDOM(!bank || bank->epoch != epoch)) {
		CT_ADD(&traffic->passed_torn, 1);
		return 0;
	}
	return bank;
}

/* The backend that a decision names, if it is in this set and of this family. */
static __always_inline struct ct_backend *backend_of(const struct decision *d, __u32 set, const struct ct_key *key)
{
	__u32 at = d->backend;
	struct ct_backend *b = at == CT_NONE ? 0 : backend_at(at);

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

/* The set behind an address, if it decides: 0 passes through. */
static __always_inline int aim(const struct ct_key *key, struct target *t)
{
	struct ct_service *service;

	t->beat = heartbeat();
	service = bpf_map_lookup_elem(&services, key);
	if (!service)
		return 0;
	t->index = service->set;
	t->set = set_of(service);
	t->traffic = set_traffic_of(t->index);
	if (!t->set || !t->traffic)
		return 0;
	if (CT_SELDOM(!(t->set->flags & CT_SET_ENFORCE))) {
		CT_ADD(&t->traffic->passed_observe, 1);
		return 0;
	}
	t->now = about_now();
	t->state = failsafe(t->set, t->traffic, t->beat, t->now);
	return 1;
}

/* The backend that the client had takes the place of the choice. */
static __always_inline void stick(struct bpf_sock_addr *ctx, const struct target *t, struct decision *d)
{
	__u64 kept;

	if (!CT_SELDOM(t->set->flags & CT_SET_AFFINITY))
		return;
	kept = ct_keep(bpf_get_netns_cookie(ctx), t->index, d->backend, t->now, d->dripped);
	if (!(kept & CT_KEPT))
		return;
	d->backend = (__u32)kept;
	d->prediction = CT_NO_PREDICTION;
}

/* Who decides: a published bank, or in FALLBACK the last known alive. 0: nobody; *over says whether that is all. */
static __always_inline struct ct_bank *decider(const struct target *t, int *over, int *verdict)
{
	struct ct_bank *bank;

	*over = 0;
	if (CT_SELDOM(t->state == CT_FALLBACK)) {
		bank = t->set->flags & CT_SET_LAST_KNOWN_ALIVE ? bank_of(t->set, CT_ALIVE_BANK) : 0;
		return bank && bank->backends ? bank : 0;
	}
	bank = deciding_bank(t->set, t->state, t->beat, t->traffic);
	if (bank && bank->backends)
		return bank;
	*over = 1;
	if (!bank)
		return 0;
	CT_ADD(&t->traffic->refused_empty, 1);
	*verdict = refuse();
	return 0;
}

/* Asks for admission where the set wants it: 0 refuses. What the record gets goes to *held. */
static __always_inline int admitted(const struct target *t, __u32 *held)
{
	*held = *(volatile __u32 *)&t->traffic->reserved; /* 0, but not to the verifier: it would follow both values */
	if (CT_SELDOM((t->set->flags & (CT_SET_ADMIT | CT_SET_DATAGRAM)) == CT_SET_ADMIT))
		*held = ct_admit(t->index, t->set->flags, t->now, t->beat);
	else
		return 1;
	return *held != 0;
}

/*
 * The backend to go to; 0 passes through, or refuses where *verdict says so. `held` is 0 for a datagram without a connection:
 * it asks for no admission, and goes by its slot. By score a backend that was slower once would get none of them, because
 * neither their number nor their answers would ever speak for it. It tests nobody either.
 */
static __always_inline struct ct_backend *pick(struct bpf_sock_addr *ctx, const struct ct_key *key,
					       const struct target *t, struct decision *d, __u32 *held, int *verdict)
{
	struct ct_backend *backend = 0;
	struct ct_bank *bank;
	int over;

	bank = decider(t, &over, verdict);
	if (over)
		return 0;
	if (held && !admitted(t, held)) {
		*verdict = refuse();
		return 0;
	}
	if (bank) {
		if (!held || CT_SELDOM(t->state == CT_FALLBACK))
			choose_slot(bank, t->traffic, d);
		else
			choose(bank, t->traffic, t->index, ct_now(t->now), d);
		stick(ctx, t, d);
		backend = backend_of(d, t->index, key);
	}
	if (backend)
		return backend;
	if (bank)
		CT_ADD(&t->traffic->passed_miss, 1);
	else
		CT_ADD(&t->traffic->passed_fallback, 1);
	if (held)
		ct_remember_passed(bpf_get_socket_cookie(ctx), t->index, t->now, *held);
	return 0;
}

/* The state is read again: the verifier would follow each one that it knows through the whole decision. */
static __always_inline void count_steered(const struct target *t)
{
	__u32 state = *(volatile __u64 *)&t->set->failsafe & 3;

	if (CT_SELDOM(state == CT_FALLBACK))
		CT_ADD(&t->traffic->steered_in_fallback, 1);
	else
		CT_ADD(&t->traffic->steered, 1);
	if (CT_SELDOM(state == CT_HOLD))
		CT_ADD(&t->traffic->steered_in_hold, 1);
}

/*
 * Decides where a connect to `key` goes. Returns the backend to rewrite to; 0 passes through, or refuses where
 * *verdict says so.
 */
static __always_inline struct ct_backend *decide(struct bpf_sock_addr *ctx, const struct ct_key *key, int *verdict)
{
	struct ct_backend *backend;
	struct decision d;
	struct target t;
	__u32 held;
	int kept;

	touch_home(bpf_get_socket_cookie(ctx));
	if (!aim(key, &t))
		return 0;
	backend = pick(ctx, key, &t, &d, &held, verdict);
	if (!backend)
		return 0;
	CT_TOUCH_TRAFFIC(&client_traffic, d.backend);
	touch_waiting(d.backend, t.now);
	kept = remember(ctx, key, &t, backend, &d, held);
	if (CT_SELDOM(t.set->flags & CT_SET_DATAGRAM) && !(kept && ct_associate(bpf_get_socket_cookie(ctx), t.set->generation)))
		return 0;
	count_steered(&t);
	return backend;
}

/* The protocol, if the socket is any of our business, else 0; a UDP one that had a backend leaves it here. */
static __always_inline __u8 protocol_of(struct bpf_sock_addr *ctx)
{
	__u32 protocol = ctx->protocol;

	if (!CT_SELDOM(protocol != IPPROTO_TCP))
		return IPPROTO_TCP;
	if (protocol != IPPROTO_UDP)
		return 0;
	ct_settle(bpf_get_socket_cookie(ctx));
	return IPPROTO_UDP;
}

static __always_inline void key_v4(struct bpf_sock_addr *ctx, struct ct_key *key, __u8 protocol)
{
	key->address[2] = CT_MAPPED;
	key->address[3] = ctx->user_ip4;
	key->port = (__u16)ctx->user_port;
	key->protocol = protocol;
}

static __always_inline void key_v6(struct bpf_sock_addr *ctx, struct ct_key *key, __u8 protocol)
{
	key->address[0] = ctx->user_ip6[0];
	key->address[1] = ctx->user_ip6[1];
	key->address[2] = ctx->user_ip6[2];
	key->address[3] = ctx->user_ip6[3];
	key->port = (__u16)ctx->user_port;
	key->protocol = protocol;
}

static __always_inline void rewrite_v4(struct bpf_sock_addr *ctx, const __u32 *address, __u16 port)
{
	ctx->user_ip4 = address[3];
	ctx->user_port = port;
}

static __always_inline void rewrite_v6(struct bpf_sock_addr *ctx, const __u32 *address, __u16 port)
{
	ctx->user_ip6[0] = address[0];
	ctx->user_ip6[1] = address[1];
	ctx->user_ip6[2] = address[2];
	ctx->user_ip6[3] = address[3];
	ctx->user_port = port;
}

static __always_inline int connect_v4(struct bpf_sock_addr *ctx)
{
	struct ct_backend *backend;
	__u8 protocol = protocol_of(ctx);
	struct ct_key key = {};
	int verdict = CT_PASS;

	if (!protocol)
		return CT_PASS;
	key_v4(ctx, &key, protocol);
	backend = decide(ctx, &key, &verdict);
	if (backend)
		rewrite_v4(ctx, backend->address, backend->port);
	return verdict;
}

static __always_inline int connect_v6(struct bpf_sock_addr *ctx)
{
	struct ct_backend *backend;
	__u8 protocol = protocol_of(ctx);
	struct ct_key key = {};
	int verdict = CT_PASS;

	if (!protocol)
		return CT_PASS;
	key_v6(ctx, &key, protocol);
	backend = decide(ctx, &key, &verdict);
	if (backend)
		rewrite_v6(ctx, backend->address, backend->port);
	return verdict;
}

#endif
