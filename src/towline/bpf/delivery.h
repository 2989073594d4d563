/* SPDX-License-Identifier: GPL-2.0-only */
/* Put a packet's payload where the receiving process reads it. */
#ifndef TOWLINE_DELIVERY_H
#define TOWLINE_DELIVERY_H

#include "bpf.h"
#include "framing.h"
#include "state.h"

/* An interface's capacity. */
const volatile u32 slots_bytes = SLOT_SLACK + 8; /* value size of the inner arrays of `slots` */
const volatile u32 record_bytes = 16;		 /* a ring record: struct record and the largest payload */

/* The inner maps are made when a session is: user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, RECEIVERS_MOST);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} slots SEC(".maps"), records SEC(".maps");

struct record record_layout; /* an object of it, or clang leaves it out of the BTF that user space reads */

enum outcome { PLACED, DUPLICATE, OUT_OF_WINDOW, RING_FULL, FAILED };

struct data { /* one DATA packet's header, in host order */
	u32 slot, index, length, flags, offset;
};

static __always_inline enum outcome deliver_direct(struct xdp_md *ctx, struct receiver_state *r, const struct data *d)
{
	u32 key = d->slot, zero = 0, length = d->length;
	u64 place = (u64)(d->index & (r->window - 1)) * r->payload_size;
	void *inner = bpf_map_lookup_elem(&slots, &key);
	u8 *memory = inner ? bpf_map_lookup_elem(inner, &zero) : NULL;

	if (!memory || place > slots_bytes - SLOT_SLACK)
		return FAILED;
	FORGET(length);
	if (length > PAYLOAD_MOST)
		return FAILED;
	FORGET(length); /* else clang makes one comparison of two, and the lower bound is lost */
	if (length < 1 || bpf_xdp_load_bytes(ctx, d->offset + sizeof(struct header), memory + place, length))
		return FAILED;
	return PLACED;
}

static __always_inline enum outcome deliver_ring(struct xdp_md *ctx, struct receiver_state *r, const struct data *d)
{
	/* All in 32 bits: what the verifier learns of a widened copy, it does not know of length. */
	u32 key = d->slot, length = d->length, most = record_bytes - (u32)sizeof(struct record);
	void *ring = bpf_map_lookup_elem(&records, &key);
	struct record *record = ring ? bpf_ringbuf_reserve(ring, record_bytes, 0) : NULL;

	if (!record)
		return RING_FULL;
	record->index = d->index;
	record->length = length;
	if (r->short_every && ++r->records % r->short_every == 0)
		length /= 2;
	record->placed = length;
	FORGET(length);
	if (length > most)
		goto fail;
	FORGET(length);
	if (length > 0 && bpf_xdp_load_bytes(ctx, d->offset + sizeof(struct header), record->data, length))
		goto fail;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return PLACED;
fail:
	bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
	return FAILED;
}

static __always_inline enum outcome deliver(struct xdp_md *ctx, struct receiver_state *r, const struct data *d)
{
	return r->delivery == DELIVERY_RING ? deliver_ring(ctx, r, d) : deliver_direct(ctx, r, d);
}

#endif
