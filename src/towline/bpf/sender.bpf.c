// SPDX-License-Identifier: GPL-2.0-only
/* The sender's XDP program: locate, check, mark acknowledged; and, on a live frame: take the next from the schedule,
 * fill, out. One program for both, since an XDP program that is attached nowhere costs an RCU wait per call. */
#include "bpf.h"
#include "wire.h"
#include "state.h"
#include "framing.h"
#include "check.h"
#include "acknowledged.h"
#include "transmit.h"
#include "succession.h"

const volatile u64 live_secret = 0;

struct interface_counters interface_counters SHARED; /* XDP writes, user space reads */

/* The receiver chooses session numbers: user space writes, once per session. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LANES_MOST);
	__type(key, u64);
	__type(value, u32);
} lane_of_session SEC(".maps");

static __always_inline void acknowledged(struct sender_state *s, u32 lane, const struct cumulative *c, struct ack *a,
					 void *end)
{
	u32 old = s->base, base = c->base;

	if (before(s->sent_end, c->highest) || before(s->sent_end, base) || before(c->highest, base)) {
		s->impossible++;
		return;
	}
	s->acks++;
	if (c->echo && (before(s->base, base) || before(s->highest, c->highest)))
		sample_rtt(s, c->echo);
	if (before(s->limit, c->limit))
		WRITE_ONCE(s->limit, c->limit);
	if (before(s->useless, c->useless))
		WRITE_ONCE(s->useless, c->useless);
	if (before(base, old) || ((c->first - base / 64) & WORD_NUMBER_MASK) >= BITMAP_WORDS / 2)
		return; /* an old ACK: a later one says more */
	if (s->delivery == DELIVERY_RING) {
		if (!expand(s, lane, c, a, end)) {
			s->ring_full++;
			return;
		}
	} else {
		merge_words(s, c, a, end);
		/* Base before clearing: who reads bits and then base again is never told that an acknowledged packet
		 * is missing. (This loop after the other, or the verifier multiplies what it knows of the two.) */
		__sync_lock_test_and_set(&s->base, base);
		if (before(old, s->highest))
			clear_words(s, old, base);
	}
	if (before(s->highest, c->highest))
		WRITE_ONCE(s->highest, c->highest);
}

static __always_inline void negative(struct sender_state *s, u32 lane, struct range *ranges, u32 n, u32 flags,
				     void *end)
{
	void *ring = bpf_map_lookup_elem(&acknowledgements, &lane);

	if (flags & FLAG_FULL)
		s->full_nacks++;
	else
		s->nacks++;
	for (u32 i = 0; ring && i < RANGES_MOST && i < n && (void *)&ranges[i + 1] <= end; i++)
		if (!submit_record(ring, KIND_NACK, flags, bpf_ntohl(ranges[i].first), bpf_ntohl(ranges[i].count)))
			return; /* the receiver says it again */
}

/* An ACK or, on `ring`, a NACK of a session of ours. */
static __always_inline void heard(struct xdp_md *ctx, struct sender_state *s, u32 lane, u32 offset, u32 length)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct header *h = data + offset;
	struct ack *a = (void *)(h + 1);

	if (offset > FRAME_MOST || (void *)(h + 1) > end)
		return;
	if (kind_of(h) == KIND_NACK) {
		negative(s, lane, (void *)(h + 1), length / sizeof(struct range), h->kind_flags & 0xf, end);
		return;
	}
	if ((void *)(a + 1) > end || length < sizeof(*a))
		return;

	struct cumulative c = {
		.base = bpf_ntohl(h->index),
		.limit = bpf_ntohl(a->limit),
		.highest = bpf_ntohl(a->highest),
		.first = bpf_ntohl(a->first),
		.useless = bpf_ntohl(a->useless),
		.words = (length - (u32)sizeof(*a)) / sizeof(u64),
		.echo = bpf_ntohl(h->timestamp),
	};

	acknowledged(s, lane, &c, a, end);
}

static __always_inline int from_wire(struct xdp_md *ctx)
{
	struct packet p = {};
	u32 *found, lane, offset, length, kind;
	struct sender_state *s;
	u64 session;

	if (!locate(ctx, &p)) {
		count(&interface_counters.not_ours);
		return XDP_PASS;
	}
	session = session_of(p.header);
	kind = kind_of(p.header);
	found = bpf_map_lookup_elem(&lane_of_session, &session);
	lane = found ? *found : LANES_MOST;
	s = bpf_map_lookup_elem(&senders, &lane);
	if (!s || s->session != session || !same_frame(&p, s->level, s->reply) ||
	    !(kind == KIND_ACK || (kind == KIND_NACK && s->delivery == DELIVERY_RING))) {
		count(&interface_counters.strangers);
		return XDP_PASS;
	}

	struct header h = *p.header;

	offset = frame_bytes(READ_ONCE(s->level));
	length = bpf_ntohs(h.length);
	if (length > PAYLOAD_MOST || p.bytes < offset + sizeof(h) + length) {
		count(&s->malformed);
		return XDP_DROP;
	}
	if (header_check(&h, body_mix(ctx, offset + sizeof(h), length)) != bpf_ntohl(h.check)) {
		count(&s->corrupt);
		return XDP_DROP;
	}
	/* The queue is chosen by the sending CPU: what the receiving process sends itself can come here on another one
	 * than a bounced ACK. Whatever is turned away, a later ACK says more. */
	if (!try_lock(&s->lock)) {
		count(&s->contended);
		return XDP_DROP;
	}
	takes_over(&s->served_by, lane);
	heard(ctx, s, lane, offset, length);
	unlock(&s->lock);
	return XDP_DROP;
}

SEC("xdp")
int sender(struct xdp_md *ctx)
{
	struct mark *mark = (void *)(long)ctx->data_meta;

	if ((void *)(mark + 1) <= (void *)(long)ctx->data && mark->secret == live_secret) {
		u32 lane = mark->lane;
		struct sender_state *s = bpf_map_lookup_elem(&senders, &lane);

		/* Off, or it comes back with a bounced ACK; this also has the kernel read the frame's bounds again,
		 * whose last user may have shortened it. */
		if (!s || bpf_xdp_adjust_meta(ctx, sizeof(*mark)))
			return XDP_DROP;
		return transmit(ctx, s, lane);
	}
	return from_wire(ctx);
}

char _license[] SEC("license") = "GPL";
