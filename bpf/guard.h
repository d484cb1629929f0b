/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The bind guard: no process in the node's own network namespace listens on a node port that is steered.
 *
 * Its clients inside the cluster would be steered past it, and those outside be sent past it by kube-proxy: a listener
 * that starts and is never reached. bind(2) says EADDRINUSE instead.
 *
 * Left out: sockets bound before, other namespaces (a pod's port is its own), and ports that the kernel picks while a
 * socket connects.
 */
#ifndef CONTINUITY_GUARD_H
#define CONTINUITY_GUARD_H

#include <linux/errno.h>
#include <linux/in.h>
#include "connect.h"

static __always_inline int guarded(const struct ct_key *key)
{
	struct ct_service *service = bpf_map_lookup_elem(&services, key);
	struct ct_set *set;

	if (!service)
		return 0;
	set = set_of(service);
	return set && set->flags & CT_SET_ENFORCE;
}

static __always_inline int refuse_bind(void)
{
	CT_COUNT_NODE(guarded);
	if (have_set_retval)
		bpf_set_retval(-EADDRINUSE);
	return CT_DENY;
}

/* Of a bind in the node's namespace: its port and protocol in the key. */
static __always_inline int in_reach(struct bpf_sock *ctx, struct ct_key *key)
{
	if (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_UDP)
		return 0;
	if (!host_netns || bpf_get_netns_cookie(ctx) != host_netns)
		return 0;
	key->port = bpf_htons((__u16)ctx->src_port);
	key->protocol = (__u8)ctx->protocol;
	key->guard = 1;
	return 1;
}

static __always_inline int bind_v4(struct bpf_sock *ctx)
{
	struct ct_key key = {};

	if (!in_reach(ctx, &key))
		return CT_PASS;
	key.address[2] = CT_MAPPED;
	key.address[3] = ctx->src_ip4;
	return guarded(&key) ? refuse_bind() : CT_PASS;
}

static __always_inline int bind_v6(struct bpf_sock *ctx)
{
	struct ct_key key = {};

	if (!in_reach(ctx, &key))
		return CT_PASS;
	key.address[0] = ctx->src_ip6[0];
	key.address[1] = ctx->src_ip6[1];
	key.address[2] = ctx->src_ip6[2];
	key.address[3] = ctx->src_ip6[3];
	if (guarded(&key))
		return refuse_bind();
	if (key.address[0] | key.address[1] | key.address[2] | key.address[3])
		return CT_PASS;
	/* A wildcard takes the port of IPv4 too. */
	key.address[2] = CT_MAPPED;
	return guarded(&key) ? refuse_bind() : CT_PASS;
}

#endif
