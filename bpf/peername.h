/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * getpeername(2) shows the address that the client asked for, not the backend's.
 *
 * Only on a socket whose handshake went to the chosen backend: one that was connected elsewhere afterwards keeps its
 * own peer. SO_ORIGINAL_DST is not answered: it reads conntrack, which never saw the VIP.
 */
#ifndef CONTINUITY_PEERNAME_H
#define CONTINUITY_PEERNAME_H

#include "socket.h"

static __always_inline struct ct_socket *translated(struct bpf_sock_addr *ctx)
{
	struct ct_socket *s = socket_of(bpf_get_socket_cookie(ctx));

	return s && (s->flags & (CT_ACTIVE | CT_SERVER)) == CT_ACTIVE ? s : 0;
}

static __always_inline void peername_v4(struct bpf_sock_addr *ctx)
{
	struct ct_socket *s = translated(ctx);

	if (!s)
		return;
	ctx->user_ip4 = s->address[3];
	ctx->user_port = s->port;
}

static __always_inline void peername_v6(struct bpf_sock_addr *ctx)
{
	struct ct_socket *s = translated(ctx);

	if (!s)
		return;
	ctx->user_ip6[0] = s->address[0];
	ctx->user_ip6[1] = s->address[1];
	ctx->user_ip6[2] = s->address[2];
	ctx->user_ip6[3] = s->address[3];
	ctx->user_port = s->port;
}

#endif
