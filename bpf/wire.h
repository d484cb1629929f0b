/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Layout of the maps shared with user space; mirror of crates/continuity-wire.
 *
 * Invariants: no padding; every struct a multiple of 8 bytes; addresses in network order, IPv4 as ::ffff:a.b.c.d;
 * ports in network order. Both sides assert sizes and offsets. CT_SCHEMA changes whenever a byte moves.
 */
#ifndef CONTINUITY_WIRE_H
#define CONTINUITY_WIRE_H

#include <linux/types.h>
#include "admit.h"
#include "choice.h"

#define CT_SCHEMA 4
#define CT_BANKS 3u /* two under the word, one equal share of the last known alive */
#define CT_ALIVE_BANK 2u
#define CT_TURNAROUND_BUCKETS 96u /* quarter octaves of us */
#define CT_CONNECT_BUCKETS 62u /* half octaves of us */
#define CT_AGE_BUCKETS 64u
#define CT_AGE_SHIFT 26 /* a bucket of the ring spans 2^26 ns of start times */
#define CT_WAYS 7u /* sockets of a bucket: a cache line with its count */
#define CT_LINES 8u /* cache lines of a bucket: cookies, and a record for each */

struct ct_control {
	__u32 schema;
	__u32 shard_mask;
	__u64 heartbeat; /* CLOCK_MONOTONIC ns */
	__u32 cursor_start;
	__u32 reserved[11];
};

struct ct_key {
	__u32 address[4];
	__u16 port;
	__u8 protocol;
	__u8 guard; /* 1: who binds it in the node's own namespace is refused; 0: who connects to it is steered */
};

struct ct_service {
	__u32 set;
	__u32 generation;
};

struct ct_endpoint {
	__u32 endpoint;
	__u32 generation;
};

#define CT_SET_VALID 1u
#define CT_SET_ENFORCE 2u
#define CT_SET_LAST_KNOWN_ALIVE 4u
#define CT_SET_AFFINITY 8u /* a client keeps its backend for `affinity` ns */
#define CT_SET_ADMIT 16u /* connects ask for admission */
#define CT_SET_CALLERS 32u /* and the calling pod is looked up */
#define CT_SET_CLASS 0x700u /* level of callers that are not found */
#define CT_SET_CLASS_SHIFT 8
#define CT_SET_DATAGRAM 64u /* UDP */

struct ct_bank {
	__u64 epoch;
	__u64 published; /* CLOCK_MONOTONIC ns right before the flip */
	__u32 backends; /* 0: connects are refused */
	__u32 reserved[3];
	struct ct_choice choice;
	struct ct_slots slots;
};

/* A connect finds little of what it needs in the caches, and pays for a page as for a line: what it needs together lies
 * together. */
struct ct_set {
	__u64 word; /* epoch << 1 | bank */
	__u64 hold_after; /* ns */
	__u64 fallback_after; /* ns */
	__u32 flags;
	__u32 generation;
	__u8 id[16];
	__u64 failsafe; /* ns of the last transition, its low 2 bits replaced by enum ct_failsafe */
	__u64 affinity; /* ns since a client's last connect for which it keeps its backend */
	struct ct_bank bank[CT_BANKS];
};

#define CT_BACKEND_VALID 1u
#define CT_BACKEND_LOCAL 2u

struct ct_backend {
	__u32 address[4];
	__u16 port;
	__u16 flags;
	__u32 set;
	__u32 generation;
	__u32 reserved;
};

/* What is known of a backend, and where it is. */
struct ct_place {
	struct ct_record record;
	struct ct_backend backend;
	__u64 reserved[4];
};

/*
 * Of one backend on one shard, in one role. Every field only ever added to. What a connection and a request that go
 * well touch is in the first cache line.
 */
struct ct_traffic {
	__u32 generation; /* of the index's present owner; written by the agent */
	__u32 reserved;
	__u64 attempts;
	__u64 established;
	__u64 connect_micros;
	__u64 answered;
	__u64 turnaround_micros;
	__u64 bytes_out;
	__u64 bytes_in;
	__u64 closed;
	__u64 closed_by_peer;
	__u64 refused;
	__u64 timed_out;
	__u64 unreachable;
	__u64 reset_before_data;
	__u64 abandoned;
	__u64 reserved_word;
	__u32 turnaround[CT_TURNAROUND_BUCKETS];
	__s32 waiting[CT_AGE_BUCKETS]; /* gauge, by start time */
	__u32 connect[CT_CONNECT_BUCKETS]; /* of connections that ended */
	__u32 reserved_tail[2];
};

struct ct_set_traffic {
	__u64 steered;
	__u32 cursor;
	__u32 reserved;
	__u64 steered_in_hold;
	__u64 steered_in_fallback;
	__u64 passed_hold;
	__u64 passed_fallback;
	__u64 passed_miss;
	__u64 passed_observe;
	__u64 passed_unpublished;
	__u64 passed_torn;
	__u64 refused_empty;
	__u64 to_hold;
	__u64 to_fallback;
	__u64 to_normal;
	__u64 dripped;
	__u64 unmeasured;
	struct ct_regression regression;
	__u64 affine; /* of steered: to the backend that the client had */
	__u64 ended; /* sends refused on connected UDP sockets whose backend is gone */
	__u64 reserved_words[9];
};

struct ct_node {
	__u64 stale_service;
	__u64 unmeasured_passive;
	__u64 outlived;
	__u64 guarded; /* binds refused */
	__u64 unkept; /* UDP passed through: its way back found no room */
	__u64 reserved[11];
};

/* One bucket of the socket table. */
struct ct_cookies {
	__u64 way[CT_WAYS]; /* 0 = free */
	__u64 away; /* sockets that belong here but stand in their other bucket */
};

/* One socket's record, see socket.h. A cache line. */
struct ct_socket {
	__u32 address[4]; /* asked for */
	__u64 started; /* ns, of what waits; without one, of the connection. Of a handshake good to one tick */
	__u32 backend; /* index of the backend, or of the endpoint */
	__u32 generation;
	__u32 phase;
	__u32 flags;
	__u32 out_end; /* sequence number behind the newest payload sent; UDP: digest of the backend's address */
	__u32 in_end; /* and received; UDP: the backend's port */
	__u32 bytes_out; /* not yet added to the counters */
	__u32 bytes_in; /* added so far, low bits; UDP: not yet added */
	__u16 port; /* asked for */
	__u16 set;
	__s16 prediction;
	__u16 handshake; /* its bucket of the connect histogram, added when the connection ends; UDP: set's generation */
};

union ct_line {
	struct ct_cookies cookies;
	struct ct_socket socket;
};

/* Of one socket that sends without connect, either where it sends to or who answers. */
struct ct_flow_key {
	__u64 cookie;
	__u32 address[4];
	__u16 port;
	__u16 answers; /* 0: the address asked for; 1: a backend's */
	__u32 reserved;
};

struct ct_flow {
	__u64 last; /* ns of the last datagram sent */
	__u32 address[4]; /* asked for; of an entry that answers */
	__u32 backend;
	__u32 generation; /* of the backend */
	__u16 port; /* asked for; of an entry that answers */
	__u16 reserved[3];
};

/* A client is a network namespace: no source address exists yet when connect(2) runs. */
struct ct_affinity_key {
	__u64 netns;
	__u32 set;
	__u32 generation; /* of the set */
};

struct ct_affinity {
	__u64 backend; /* its generation << 32 | its index */
	__u64 last; /* ns of the client's last connect */
};

struct ct_learned {
	__u8 bytes[4096];
};

#define CT_CALLERS_MOST 4096u /* callers of all sets on a node; 12 of the 16 bits that a record has for them */

/* Of one set on one shard. Every field only ever added to. */
struct ct_admission_traffic {
	__u64 offered[CT_LEVELS];
	__u64 full[CT_LEVELS]; /* refused: no slot */
	__u64 thinned[CT_LEVELS]; /* refused: the part of its class that may come was there */
	__u64 trickled[CT_LEVELS]; /* admitted as a survivor */
	__u64 orphaned; /* admitted because nobody owns the limits any more */
	__u64 unheld; /* admitted, but no room for a record: no slot held */
	__u64 torn; /* words not of one epoch: not asked */
	__u64 reserved[5];
};

struct ct_caller_key {
	__u64 cgroup;
	__u32 set;
	__u32 reserved;
};

struct ct_caller_value {
	__u32 slot;
	__u32 level;
};

#define CT_AT(type, field, at) _Static_assert(__builtin_offsetof(struct type, field) == (at), #type "." #field)
#define CT_SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type)

CT_SIZE(ct_control, 64);
CT_AT(ct_control, heartbeat, 8);
CT_AT(ct_control, cursor_start, 16);
CT_SIZE(ct_key, 20);
CT_AT(ct_key, port, 16);
CT_AT(ct_key, protocol, 18);
CT_AT(ct_key, guard, 19);
CT_SIZE(ct_service, 8);
CT_SIZE(ct_endpoint, 8);
CT_SIZE(ct_set, 1024);
CT_AT(ct_set, bank, 64);
CT_AT(ct_set, flags, 24);
CT_AT(ct_set, id, 32);
CT_AT(ct_set, failsafe, 48);
CT_AT(ct_set, affinity, 56);
CT_SIZE(ct_bank, 320);
CT_AT(ct_bank, choice, 32);
CT_AT(ct_bank, slots, 64);
CT_SIZE(ct_backend, 32);
CT_SIZE(ct_place, 128);
CT_AT(ct_place, backend, 64);
CT_AT(ct_backend, set, 20);
CT_AT(ct_backend, generation, 24);
CT_AT(ct_record, infl, 16);
CT_AT(ct_record, pts, 20);
CT_AT(ct_record, good, 40);
CT_AT(ct_record, set, 54);
CT_AT(ct_record, shl, 56);
CT_AT(ct_choice, mem, 12);
CT_AT(ct_choice, drip, 16);
CT_AT(ct_choice, mem_on, 24);
CT_SIZE(ct_traffic, 1024);
CT_AT(ct_traffic, attempts, 8);
CT_AT(ct_traffic, closed, 64);
CT_AT(ct_traffic, turnaround, 128);
CT_AT(ct_traffic, waiting, 512);
CT_AT(ct_traffic, connect, 768);
CT_SIZE(ct_set_traffic, 256);
CT_AT(ct_set_traffic, cursor, 8);
CT_AT(ct_set_traffic, regression, 128);
CT_AT(ct_set_traffic, affine, 168);
CT_SIZE(ct_node, 128);
CT_SIZE(ct_cookies, 64);
CT_SIZE(ct_socket, 64);
_Static_assert(sizeof(union ct_line) == 64, "union ct_line");
CT_SIZE(ct_flow_key, 32);
CT_SIZE(ct_flow, 40);
CT_SIZE(ct_affinity_key, 16);
CT_SIZE(ct_affinity, 16);
CT_SIZE(ct_learned, 4096);
CT_SIZE(ct_admission_traffic, 256);
CT_AT(ct_admission_traffic, orphaned, 192);
CT_SIZE(ct_caller_key, 16);
CT_SIZE(ct_caller_value, 8);
CT_AT(ct_socket, backend, 24);
CT_AT(ct_socket, flags, 36);
CT_AT(ct_socket, set, 58);

#endif
