/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The hooks. Each is one line; what it does stands in the header of its concern. */
#include "connect.h"
#include "flow.h"
#include "guard.h"
#include "packet.h"
#include "peername.h"
#include "result.h"

SEC("cgroup/connect4")
int ct_connect4(struct bpf_sock_addr *ctx)
{
	return connect_v4(ctx);
}

SEC("cgroup/connect6")
int ct_connect6(struct bpf_sock_addr *ctx)
{
	return connect_v6(ctx);
}

SEC("cgroup/sendmsg4")
int ct_sendmsg4(struct bpf_sock_addr *ctx)
{
	return send_v4(ctx);
}

SEC("cgroup/sendmsg6")
int ct_sendmsg6(struct bpf_sock_addr *ctx)
{
	return send_v6(ctx);
}

SEC("cgroup/recvmsg4")
int ct_recvmsg4(struct bpf_sock_addr *ctx)
{
	receive_v4(ctx);
	return 1;
}

SEC("cgroup/recvmsg6")
int ct_recvmsg6(struct bpf_sock_addr *ctx)
{
	receive_v6(ctx);
	return 1;
}

SEC("cgroup/post_bind4")
int ct_post_bind4(struct bpf_sock *ctx)
{
	return bind_v4(ctx);
}

SEC("cgroup/post_bind6")
int ct_post_bind6(struct bpf_sock *ctx)
{
	return bind_v6(ctx);
}

SEC("cgroup/getpeername4")
int ct_getpeername4(struct bpf_sock_addr *ctx)
{
	peername_v4(ctx);
	return 1;
}

SEC("cgroup/getpeername6")
int ct_getpeername6(struct bpf_sock_addr *ctx)
{
	peername_v6(ctx);
	return 1;
}

SEC("sockops")
int ct_sockops(struct bpf_sock_ops *ctx)
{
	on_sockops(ctx);
	return 1;
}

SEC("cgroup/sock_release")
int ct_release(struct bpf_sock *ctx)
{
	on_release(ctx);
	return 1;
}

SEC("cgroup_skb/egress")
int ct_egress(struct __sk_buff *skb)
{
	return on_egress(skb);
}

SEC("cgroup_skb/ingress")
int ct_ingress(struct __sk_buff *skb)
{
	on_ingress(skb);
	return 1;
}

char _license[] SEC("license") = "Apache-2.0";
