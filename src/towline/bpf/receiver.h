/* SPDX-License-Identifier: GPL-2.0-only */
/* The receiver's XDP program: locate, check, place, mark, acknowledge. A promise can be read off it: an
 * acknowledgement means placed, since `place` stands before `acknowledge`.
 *
 * Not a program by itself: a policy defines `due` first, see policy.h. */
#ifndef TOWLINE_RECEIVER_H
#define TOWLINE_RECEIVER_H

#include "bpf.h"
#include "wire.h"
#include "state.h"
#include "receivers.h"
#include "framing.h"
#include "check.h"
#include "window.h"
#include "delivery.h"
#include "acknowledge.h"
#include "spin.h"
#include "succession.h"

struct interface_counters interface_counters SHARED; /* XDP writes, user space reads */

static __always_inline enum outcome place(struct xdp_md *ctx, struct receiver_state *r, const struct data *d)
{
	u32 drained = READ_ONCE(r->drained);
	enum outcome outcome;
	bool arrived;

	if (before(d->index, drained))
		return DUPLICATE; /* whatever is wanted now stands one window higher */
	if (d->index - drained >= r->window)
		return OUT_OF_WINDOW;
	arrived = has_arrived(r, d->index);
	/* Taken back by the process: only a payload that is covered by its check may fill the slot again. */
	if (arrived && !(d->flags & FLAG_CHECKSUM && is_wanted(r, d->index)))
		return DUPLICATE;
	outcome = deliver(ctx, r, d);
	if (outcome != PLACED)
		return outcome;
	if (arrived)
		clear_wanted(r, d->index);
	else
		mark_arrived(r, d->index);
	return PLACED;
}

static __always_inline void count_outcome(struct receiver_state *r, enum outcome outcome, u32 flags)
{
	switch (outcome) {
	case PLACED:
		r->placed++;
		break;
	case DUPLICATE:
		r->duplicates++;
		if (flags & FLAG_AGAIN)
			r->useless++;
		break;
	case OUT_OF_WINDOW:
		r->out_of_window++;
		break;
	case RING_FULL:
		r->ring_full++;
		break;
	case FAILED:
		count(&r->malformed);
		break;
	}
}

/* What another program's policy remembered means nothing to this one's. */
static __always_inline void succeed(struct receiver_state *r, const struct data *d)
{
	if (takes_over(&r->served_by, d->slot))
		for (int i = 0; i < POLICY_WORDS; i++)
			r->policy[i] = 0;
}

/* Everything that wants the session for itself; whether there is a reply. */
static __always_inline bool receive(struct xdp_md *ctx, struct receiver_state *r, const struct data *d,
				    u32 packet_bytes, struct reply *reply)
{
	enum outcome outcome = place(ctx, r, d);

	count_outcome(r, outcome, d->flags);
	if (acknowledgement_due(r, d->flags)) {
		compose_acknowledgement(r, d, packet_bytes, reply);
		return true;
	}
	if (outcome == RING_FULL && !r->told_full) {
		compose_full(r, d, reply);
		return true;
	}
	return false;
}

SEC("xdp")
int receiver(struct xdp_md *ctx)
{
	struct receiver_state *r;
	struct reply reply = {};
	struct packet p = {};
	struct data d = {};
	u64 session;

	if (!locate(ctx, &p)) {
		count(&interface_counters.not_ours);
		return XDP_PASS;
	}
	session = session_of(p.header);
	d.slot = session & 0xffff;
	r = bpf_map_lookup_elem(&receivers, &d.slot);
	if (!r || !session || READ_ONCE(r->session) != session || kind_of(p.header) != KIND_DATA ||
	    !same_frame(&p, r->level, r->frame)) {
		count(&interface_counters.strangers);
		return XDP_PASS;
	}

	spin();

	struct header h = *p.header;

	d.flags = h.kind_flags & 0xf;
	d.index = bpf_ntohl(h.index);
	d.length = bpf_ntohs(h.length);
	d.offset = frame_bytes(READ_ONCE(r->level));
	if (d.length < 1 || d.length > r->payload_size || p.bytes < d.offset + sizeof(struct header) + d.length ||
	    p.bytes < d.offset + sizeof(struct header) + DATA_LEAST_BYTES) {
		count(&r->malformed);
		return XDP_DROP;
	}

	u32 sum = d.flags & FLAG_CHECKSUM ? payload_sum(ctx, d.offset + sizeof(h), d.length) : 0;

	if (header_check(&h, sum) != bpf_ntohl(h.check)) {
		count(&r->corrupt);
		return XDP_DROP;
	}
	if (!try_lock(&r->lock)) {
		count(&r->contended);
		return XDP_DROP;
	}

	succeed(r, &d);

	bool is_answered = receive(ctx, r, &d, p.bytes, &reply);
	int verdict = is_answered ? bounce(ctx, r, &d, &reply) : XDP_DROP;

	unlock(&r->lock);
	return verdict;
}

/* Packets that the process takes back: a slot of theirs is read again only when its bit is clear. Run by the process,
 * which cannot do an atomic read-modify-write on memory that it shares with XDP. */
SEC("syscall")
int want(struct want *w)
{
	u32 slot = w->slot, number = w->word;
	struct receiver_state *r = bpf_map_lookup_elem(&receivers, &slot);

	if (!r)
		return -1;
	__sync_fetch_and_or(&r->wanted[number % WANTED_WORDS], w->bits);
	return 0;
}

char _license[] SEC("license") = "GPL";

#endif
