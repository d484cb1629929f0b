/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What became of a connection: sockops for its states, sock_release for the side that gave up.
 *
 * Handshake, client role (SYN_SENT to CLOSE): the retransmission timer ran out = timed out; a reset came = refused;
 * the client closed the socket = abandoned (decided in sock_release, before); none of these = unreachable.
 * Request (payload out, none back): the peer closed or reset = reset before data; the client closed = abandoned; the
 * timer ran out = timed out; none = unreachable. On the backend's own node the roles turn round: the local process
 * that closes without an answer resets before data, the peer that leaves gives up.
 *
 * A connection that the peer ends before anybody said a word is a reset before data too: by RST always, by FIN within
 * a second of the handshake (later it is the end of an idle connection).
 *
 * Invariant: attempts = established + refused + timed out + unreachable + abandoned handshakes + those that go on.
 * A half-closed client (shutdown) still waits; only its release gives up.
 */
#ifndef CONTINUITY_RESULT_H
#define CONTINUITY_RESULT_H

#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include "connect.h"
#include "set.h"
#include "socket.h"
#include "traffic.h"

#define CT_AF_INET 2
#define CT_YOUNG 1000000000ull /* ns */

CT_HASH(endpoints, struct ct_key, struct ct_endpoint); /* addresses of local backends */

/* The verifier wants constant offsets into the context; clang would merge the reads of two branches into one. */
#define CT_READ(field)                                                    \
	({                                                                \
		__u32 value_;                                             \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                     \
			     : "=r"(value_)                               \
			     : "r"(ctx), "i"(__builtin_offsetof(struct bpf_sock_ops, field))); \
		value_;                                                   \
	})

static __always_inline void flag(struct ct_socket *s, __u32 bit)
{
	__sync_fetch_and_or(&s->flags, bit);
}

/* Does the handshake go where the connect hook sent it? */
static __always_inline int goes_to(struct bpf_sock_ops *ctx, const struct ct_backend *b)
{
	if ((__u16)(ctx->remote_port >> 16) != b->port)
		return 0;
	if (ctx->family == CT_AF_INET)
		return mapped(b->address) && CT_READ(remote_ip4) == b->address[3];
	return CT_READ(remote_ip6[0]) == b->address[0] && CT_READ(remote_ip6[1]) == b->address[1] &&
	       CT_READ(remote_ip6[2]) == b->address[2] && CT_READ(remote_ip6[3]) == b->address[3];
}

/* The states of a socket are told, and when its retransmission timer runs. */
static __always_inline void follow_states(struct bpf_sock_ops *ctx)
{
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG |
					       BPF_SOCK_OPS_RTO_CB_FLAG);
}

/* A connect that went on to the VIP: only the end of its wait is of interest. */
static __always_inline void follow(struct bpf_sock_ops *ctx, struct ct_socket *s)
{
	flag(s, CT_ACTIVE);
	follow_states(ctx);
}

static __always_inline void handshake_started(struct bpf_sock_ops *ctx, struct ct_socket *s)
{
	__u32 at = s->backend;
	struct ct_backend *b = backend_at(at);
	struct ct_traffic *t;

	if (s->flags & CT_PASSED)
		return follow(ctx, s);
	if (!(s->flags & CT_CHOSEN) || !b || b->generation != s->generation || !goes_to(ctx, b))
		return give_back(s, bpf_get_socket_cookie(ctx));
	s->flags = CT_CHOSEN | CT_ACTIVE | (s->flags & CT_TOKEN);
	follow_states(ctx);
	t = traffic_of(s);
	if (!t)
		return;
	if (!won(s, CT_IDLE, CT_CONNECTING))
		return;
	CT_ADD(&t->attempts, 1);
	wait_begin(s, t);
}

/* Time of the handshake: TCP has measured its round trip, which saves us two clocks; one that was sent again took longer. */
static __always_inline __u32 handshake_micros(struct bpf_sock_ops *ctx, const struct ct_socket *s)
{
	return ctx->srtt_us && !ctx->total_retrans ? ctx->srtt_us >> 3 : micros_since(s->started, about_now());
}

static __always_inline void handshake_done(struct bpf_sock_ops *ctx, struct ct_socket *s)
{
	struct ct_traffic *t = traffic_of(s);

	if (s->flags & CT_PASSED) {
		s->out_end = ctx->snd_nxt;
		s->in_end = ctx->rcv_nxt;
		return flag(s, CT_OPEN);
	}
	if (!t || !won(s, CT_CONNECTING, CT_IDLE))
		return;
	shaken(s, t, handshake_micros(ctx, s));
	s->out_end = ctx->snd_nxt;
	s->in_end = ctx->rcv_nxt;
	flag(s, CT_OPEN);
	CT_ADD(&t->established, 1);
}

/* Payload on the segment that completed the handshake: it passed the listener, so no packet hook has seen it. */
static __always_inline __u32 carried(struct bpf_sock_ops *ctx)
{
	struct tcphdr *tcp = ctx->skb_data;
	__u32 length;

	if ((void *)(tcp + 1) > ctx->skb_data_end)
		return 0;
	length = tcp->doff * 4;
	return ctx->skb_len > length ? ctx->skb_len - length : 0;
}

/* A connection accepted by a local backend. */
static __always_inline void accepted(struct bpf_sock_ops *ctx)
{
	struct ct_endpoint *e;
	struct ct_traffic *t;
	struct ct_socket *s;
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct ct_key key = {};
	__u32 payload;

	if (ctx->family == CT_AF_INET) {
		key.address[2] = CT_MAPPED;
		key.address[3] = CT_READ(local_ip4);
	} else {
		key.address[0] = CT_READ(local_ip6[0]);
		key.address[1] = CT_READ(local_ip6[1]);
		key.address[2] = CT_READ(local_ip6[2]);
		key.address[3] = CT_READ(local_ip6[3]);
	}
	key.port = bpf_htons((__u16)ctx->local_port);
	key.protocol = IPPROTO_TCP;
	touch_home(cookie);
	e = bpf_map_lookup_elem(&endpoints, &key);
	if (!e)
		return;
	CT_TOUCH_TRAFFIC(&server_traffic, e->endpoint);
	s = claim(cookie);
	if (!s) {
		CT_COUNT_NODE(unmeasured_passive);
		return;
	}
	s->backend = e->endpoint;
	s->generation = e->generation;
	payload = carried(ctx);
	s->started = payload ? bpf_ktime_get_ns() : about_now();
	s->phase = payload ? CT_WAITING : CT_IDLE;
	s->out_end = ctx->snd_nxt;
	s->in_end = ctx->rcv_nxt + payload;
	s->bytes_out = 0;
	s->bytes_in = 0;
	*(volatile __u32 *)&s->flags = CT_SERVER | CT_ACTIVE | CT_OPEN | (payload ? CT_SPOKE : 0);
	follow_states(ctx);
	t = traffic_of(s);
	if (!t)
		return;
	CT_ADD(&t->established, 1);
	if (payload)
		wait_begin(s, t);
}

/* The handshake ended without a connection. */
static __always_inline void handshake_failed(struct ct_socket *s, struct ct_traffic *t, __u64 now)
{
	let_down(s, now);
	if (s->flags & CT_EXPIRED)
		CT_ADD(&t->timed_out, 1);
	else if (s->flags & CT_PEER_RST)
		CT_ADD(&t->refused, 1);
	else if (have_release)
		CT_ADD(&t->unreachable, 1);
	else
		return gave_up(s, t);
	failed(s, t, now);
}

/* The connection ended while a request waited, and the local process still holds the socket. */
static __always_inline void request_failed(struct ct_socket *s, struct ct_traffic *t, __u64 now)
{
	let_down(s, now);
	if (s->flags & CT_SERVER)
		return gave_up(s, t);
	if (s->flags & CT_EXPIRED)
		CT_ADD(&t->timed_out, 1);
	else if (s->flags & (CT_PEER_RST | CT_PEER_FIN))
		CT_ADD(&t->reset_before_data, 1);
	else if (have_release)
		CT_ADD(&t->unreachable, 1);
	else
		return gave_up(s, t);
	failed(s, t, now);
}

/* Did a connection end before anybody said a word, too soon for an idle one? */
static __always_inline int mute(const struct ct_socket *s, __u64 now)
{
	if (s->flags & (CT_SPOKE | CT_OVER) || !(s->flags & CT_OPEN))
		return 0;
	return s->flags & CT_PEER_RST || now - s->started < CT_YOUNG;
}

/* The peer ended it: a request would have failed, so one is counted that did. */
static __always_inline void slammed(struct ct_socket *s, struct ct_traffic *t, __u64 now)
{
	struct ct_record *r;

	if (s->flags & (CT_SERVER | CT_LOCAL_END) || !mute(s, now))
		return;
	flag(s, CT_OVER);
	let_down(s, now);
	CT_ADD(&t->reset_before_data, 1);
	r = record_of(s);
	if (!r)
		return;
	ct_on_start(r);
	ct_on_failure(r, ct_now(now));
}

/* Payload received in order: the kernel counts the peer's FIN as a byte. */
static __always_inline __u32 received(struct bpf_sock_ops *ctx, const struct ct_socket *s)
{
	__u32 fin = s->flags & (CT_PEER_FIN | CT_PEER_END) && ctx->rcv_nxt == s->in_end + 1;

	return (__u32)ctx->bytes_received - fin;
}

static __always_inline void ended(struct bpf_sock_ops *ctx, struct ct_socket *s, struct ct_traffic *t)
{
	__u64 now = bpf_ktime_get_ns();

	if (won(s, CT_CONNECTING, CT_IDLE))
		handshake_failed(s, t, now);
	else if (won(s, CT_WAITING, CT_IDLE))
		request_failed(s, t, now);
	else if (s->flags & (CT_PEER_RST | CT_PEER_END))
		slammed(s, t, now);
	if (!(s->flags & CT_OPEN))
		return;
	gather_out(s, t);
	gather_in(s, t, received(ctx, s));
	if (!(s->flags & CT_SERVER) && s->handshake < CT_CONNECT_BUCKETS)
		CT_ADD(&t->connect[s->handshake], 1);
	__sync_fetch_and_and(&s->flags, ~CT_OPEN);
	CT_ADD(&t->closed, 1);
	if (s->flags & CT_PEER_END || (s->flags & CT_PEER_RST && !(s->flags & CT_LOCAL_END)))
		CT_ADD(&t->closed_by_peer, 1);
}

static __always_inline void state_changed(struct bpf_sock_ops *ctx, struct ct_socket *s)
{
	__u32 to = ctx->args[1];
	struct ct_traffic *t;
	__u64 now;

	if (!(s->flags & CT_ACTIVE))
		return to == BPF_TCP_CLOSE ? give_back(s, bpf_get_socket_cookie(ctx)) : (void)0;
	if (ctx->args[0] == BPF_TCP_SYN_SENT && to == BPF_TCP_ESTABLISHED)
		return handshake_done(ctx, s);
	if (to == BPF_TCP_FIN_WAIT1)
		return flag(s, CT_LOCAL_END);
	if (to != BPF_TCP_CLOSE_WAIT && to != BPF_TCP_CLOSE)
		return;
	t = traffic_of(s);
	if (to == BPF_TCP_CLOSE) {
		if (t)
			ended(ctx, s, t);
		return give_back(s, bpf_get_socket_cookie(ctx));
	}
	if (!t)
		return;
	flag(s, CT_PEER_END);
	if (s->flags & CT_SERVER)
		return;
	now = bpf_ktime_get_ns();
	if (won(s, CT_WAITING, CT_IDLE))
		request_failed(s, t, now);
	else
		slammed(s, t, now);
}

/* Most callbacks are not for us; they leave before any look-up. */
static __always_inline int concerns(struct bpf_sock_ops *ctx)
{
	__u32 from, to;

	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
	case BPF_SOCK_OPS_RTO_CB:
		return 1;
	case BPF_SOCK_OPS_STATE_CB:
		from = ctx->args[0];
		to = ctx->args[1];
		return (from == BPF_TCP_SYN_SENT && to == BPF_TCP_ESTABLISHED) || to == BPF_TCP_FIN_WAIT1 ||
		       to == BPF_TCP_CLOSE_WAIT || to == BPF_TCP_CLOSE;
	default:
		return 0;
	}
}

static __always_inline void on_sockops(struct bpf_sock_ops *ctx)
{
	struct ct_socket *s;

	if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		return accepted(ctx);
	if (!concerns(ctx))
		return;
	s = socket_of(bpf_get_socket_cookie(ctx));
	if (!s)
		return;
	if (ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB)
		handshake_started(ctx, s);
	else if (ctx->op == BPF_SOCK_OPS_STATE_CB)
		state_changed(ctx, s);
	else if (ctx->args[2])
		flag(s, CT_EXPIRED);
}

/* The local process closed a backend's socket: without an answer to the request, or before one came. */
static __always_inline void backend_left(struct ct_socket *s, struct ct_traffic *t)
{
	__u64 now = bpf_ktime_get_ns();

	if (s->flags & (CT_PEER_FIN | CT_PEER_RST)) {
		if (won(s, CT_WAITING, CT_IDLE))
			gave_up(s, t);
	} else if (won(s, CT_WAITING, CT_IDLE)) {
		CT_ADD(&t->reset_before_data, 1);
		failed(s, t, now);
	} else if (mute(s, now)) {
		CT_ADD(&t->reset_before_data, 1);
	}
	flag(s, CT_OVER);
}

/* The last descriptor of a socket is closed. */
static __always_inline void on_release(struct bpf_sock *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct ct_socket *s = socket_of(cookie);
	struct ct_traffic *t;

	if (!s)
		return;
	if (s->flags & CT_DATAGRAM) {
		ct_settle(cookie);
		return;
	}
	if (!(s->flags & CT_ACTIVE))
		return give_back(s, cookie);
	if (!(s->flags & CT_PEER_END))
		flag(s, CT_LOCAL_END);
	t = traffic_of(s);
	if (!t)
		return let_go(s);
	if (s->flags & CT_SERVER)
		return backend_left(s, t);
	if (!won(s, CT_CONNECTING, CT_IDLE) && !won(s, CT_WAITING, CT_IDLE))
		return let_go(s);
	gave_up(s, t);
	let_down(s, about_now());
}

#endif
