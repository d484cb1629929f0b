/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What is kept with a socket: the address it asked for, the backend it got, and the request that waits.
 *
 * One storage for every purpose (reverse translation, results, turnaround); it is freed with the socket, so it can
 * neither leak nor be evicted. A socket that gets none is steered all the same, but not measured.
 *
 * Invariant: every change of phase is won by compare-exchange, so what was counted up is counted down once.
 */
#ifndef CONTINUITY_SOCKET_H
#define CONTINUITY_SOCKET_H

#include "map.h"

enum ct_phase { CT_IDLE = 0, CT_CONNECTING = 1, CT_WAITING = 2 };

#define CT_SERVER 1u /* accepted by a local backend; else a steered client */
#define CT_CHOSEN 2u /* the connect hook rewrote the address */
#define CT_ACTIVE 4u /* the handshake goes to the chosen backend: translate and count */
#define CT_OPEN 8u /* counted as established */
#define CT_PEER_RST 16u
#define CT_PEER_FIN 32u
#define CT_EXPIRED 64u /* the last retransmission timer ran out */
#define CT_LOCAL_END 128u /* the local side ended first */
#define CT_PEER_END 256u /* the peer ended first */
#define CT_SPOKE 512u /* payload has passed, either way */
#define CT_OVER 1024u /* judged: no request starts any more */

struct ct_socket {
	__u32 address[4]; /* asked for */
	__u64 started; /* ns, of what waits */
	__u32 backend; /* index of the backend, or of the endpoint */
	__u32 generation;
	__u32 set;
	__s32 prediction;
	__u32 phase;
	__u32 flags;
	__u32 out_end; /* sequence number behind the newest payload sent */
	__u32 in_end; /* and received */
	__u32 bytes_out; /* not yet added to the counters */
	__u32 bytes_in;
	__u16 port; /* asked for */
	__u16 reserved[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ct_socket);
} sockets SEC(".maps");

static __always_inline int won(struct ct_socket *s, __u32 from, __u32 to)
{
	return __sync_val_compare_and_swap(&s->phase, from, to) == from;
}

#endif
