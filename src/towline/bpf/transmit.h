/* SPDX-License-Identifier: GPL-2.0-only */
/* One live frame: take the next entry of the schedule, fill the frame, send it out. */
#ifndef TOWLINE_TRANSMIT_H
#define TOWLINE_TRANSMIT_H

#include "bpf.h"
#include "check.h"
#include "framing.h"
#include "state.h"

#define STAMP_EVERY 32 /* a clock read per packet would cost 5 % */

struct mark mark_layout;			   /* as with record_layout: for who compares it with a successor's */
const volatile u32 sources_bytes = SLOT_SLACK + 8; /* value size of `sources` */

/* User space sets entries and value size. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__uint(value_size, SLOT_SLACK + 8);
} sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct schedule);
} schedules SEC(".maps");

static __always_inline int store_payload(struct xdp_md *ctx, struct sender_state *s, u32 lane, u32 offset, u32 index,
					 u32 length)
{
	u64 place = (u64)(index & (s->window - 1)) * s->payload_size;
	u8 *memory = bpf_map_lookup_elem(&sources, &lane);

	if (!memory || place > sources_bytes - SLOT_SLACK)
		return -1;
	FORGET(length);
	if (length > PAYLOAD_MOST)
		return -1;
	FORGET(length); /* else clang makes one comparison of two, and the lower bound is lost */
	if (length < 1)
		return -1;
	return bpf_xdp_store_bytes(ctx, offset, memory + place, length);
}

/* FRAME_MOST bytes, whatever the level: what is too much is overwritten with header and payload. A short payload's
 * padding is cleared, for the page still holds what left in it last. */
static __always_inline int write_frame(struct xdp_md *ctx, const struct sender_state *s, u32 offset, u32 length)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const u64 *known = (const void *)s->frame;
	u64 *frame = data, *body = data + offset + sizeof(struct header);

	if (data + FRAME_MOST > end || offset > FRAME_MOST || (void *)body + DATA_LEAST_BYTES > end)
		return -1;
	for (int i = 0; i < FRAME_MOST / sizeof(u64); i++)
		frame[i] = known[i];
	if (length < DATA_LEAST_BYTES)
		for (int i = 0; i < DATA_LEAST_BYTES / sizeof(u64); i++)
			body[i] = 0;
	return 0;
}

/* Every field is written, for the same reason. */
static __always_inline void write_header(struct header *h, const struct sender_state *s, u32 index, u32 length,
					 u32 flags)
{
	h->magic = WIRE_MAGIC;
	h->kind_flags = KIND_DATA << 4 | flags;
	h->length = bpf_htons(length);
	h->session_high = bpf_htonl(s->session >> 32);
	h->session_low = bpf_htonl(s->session);
	h->index = bpf_htonl(index);
	h->timestamp = bpf_htonl(s->stamp);
}

static __always_inline int transmit(struct xdp_md *ctx, struct sender_state *s, u32 lane)
{
	struct schedule *schedule = bpf_map_lookup_elem(&schedules, &lane);
	u32 entry = s->next, level = s->level, offset = frame_bytes(level);

	if (!schedule || entry >= SCHEDULE_MOST)
		return XDP_DROP;

	struct schedule_entry e = schedule->entries[entry];
	u32 body = e.length > DATA_LEAST_BYTES ? e.length : DATA_LEAST_BYTES, flags = e.flags & 0xf;
	int longer = (int)(offset + sizeof(struct header) + body) - (int)(ctx->data_end - ctx->data);

	s->next = entry + 1;
	if (entry % STAMP_EVERY == 0 || flags & FLAG_FLUSH)
		s->stamp = microseconds();
	if (longer && bpf_xdp_adjust_tail(ctx, longer))
		return XDP_DROP;
	if (write_frame(ctx, s, offset, e.length))
		return XDP_DROP;
	if (store_payload(ctx, s, lane, offset + sizeof(struct header), e.index, e.length))
		return XDP_DROP;

	bool checked = flags & FLAG_CHECKSUM;
	u32 sum = checked || sums_body(level) ? payload_sum(ctx, offset + sizeof(struct header), e.length) : 0;
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct header *h = data + offset;

	if (offset > FRAME_MOST || (void *)(h + 1) > end)
		return XDP_DROP;
	write_header(h, s, e.index, e.length, flags);
	h->check = bpf_htonl(header_check(h, checked ? sum : 0));
	if (!seal(data, end, level, sizeof(*h) + body, sum))
		return XDP_DROP;
	s->sent++;
	return bpf_redirect(s->ifindex, 0);
}

#endif
