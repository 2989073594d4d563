// SPDX-License-Identifier: GPL-2.0-only
/* A source that never pauses: run on live frames, it makes of each the next DATA packet of one session, for as long as
 * it is run. What comes back is dropped. It drains the receiver's slots as well, so that no process has to keep up. */
#include "bpf.h"
#include "wire.h"
#include "state.h"
#include "receivers.h"
#include "check.h"

#define FRAME_BYTES 14 /* level ethernet */

const volatile u8 frame[FRAME_BYTES]; /* in front of the header */
const volatile u64 session;
const volatile u32 payload_bytes;
const volatile u32 ifindex;

/* User space writes `stop`, XDP the others. */
u64 sent;
u32 next;
u32 stop;

/* Which packet leaves now: the next, or, where one has not arrived for half a window, that one and all behind it. */
static __always_inline u32 next_index(struct receiver_state *r)
{
	u32 arrived = READ_ONCE(r->cursor), index = next;

	WRITE_ONCE(r->drained, arrived);
	if (index - arrived >= r->window / 2)
		index = arrived;
	next = index + 1;
	sent++;
	return index;
}

SEC("xdp")
int steady(struct xdp_md *ctx)
{
	u32 *mark = (void *)(long)ctx->data_meta, slot = session & 0xffff;
	struct receiver_state *r = bpf_map_lookup_elem(&receivers, &slot);

	/* Nothing of the wire has metadata: an acknowledgement. */
	if ((void *)(mark + 1) > (void *)(long)ctx->data || !r || READ_ONCE(stop))
		return XDP_DROP;
	/* Off; and with that the kernel reads the frame's bounds again, whose last user may have shortened it. */
	if (bpf_xdp_adjust_meta(ctx, sizeof(*mark)))
		return XDP_DROP;

	u8 *front = (void *)(long)ctx->data;
	struct header *h = (void *)(front + FRAME_BYTES);

	if ((void *)(h + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	/* The page holds what left in it last, perhaps an acknowledgement: all is written but the payload. */
	for (int i = 0; i < FRAME_BYTES; i++)
		front[i] = frame[i];
	h->magic = WIRE_MAGIC;
	h->kind_flags = KIND_DATA << 4;
	h->length = bpf_htons(payload_bytes);
	h->session_high = bpf_htonl(session >> 32);
	h->session_low = bpf_htonl(session);
	h->index = bpf_htonl(next_index(r));
	h->timestamp = 0; /* no sample */
	h->check = bpf_htonl(header_check(h, 0));
	return bpf_redirect(ifindex, 0);
}

char _license[] SEC("license") = "GPL";
