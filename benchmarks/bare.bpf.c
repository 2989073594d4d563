/* SPDX-License-Identifier: GPL-2.0-only */
/* The bare copy loop: send, place and acknowledge with no check, no window, no loss; the speed to measure ours by. */
#include "../src/towline/bpf/bpf.h"

#define SLOTS 16384 /* packets of a lane, a power of two */
#define LANES 2
#define ACK_EVERY 32
#define RING_BYTES (16 << 20)
#define LEAD 8 /* the template's first bytes: the frame moves over them, so that the kernel re-reads its bounds */
#define ETHERTYPE 0x1501

enum kind { KIND_DATA, KIND_ACK };

struct header {
	u8 destination[6], source[6];
	__be16 ethertype;
	u16 kind;
	u32 index, lane;
}; /* 24 bytes, as ours */

struct ack {
	struct header header;
	u32 indices[ACK_EVERY];
};

struct record {
	u32 index, lane;
	u8 data[];
};

/* One CPU at a time works on a lane: its sender's, which runs the receiver's queue as well. */
struct lane {
	u64 sent, placed, acknowledged, ring_full;
	u32 next, pending;
	u32 indices[ACK_EVERY];
} __attribute__((aligned(128)));

struct lane lanes[LANES];
struct record record_layout; /* an object of it, or clang leaves it out of the BTF that user space reads */

const volatile u32 payload_bytes = 1400;
const volatile u32 ifindex;

/* User space sets the value size of both: payload_bytes. It fills the one and looks at the other. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLOTS *LANES);
	__uint(key_size, sizeof(u32));
	__uint(value_size, 8);
} sources SEC(".maps"), slots SEC(".maps");

/* XDP writes, user space reads. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
} ring SEC(".maps");

static __always_inline u32 slot_of(u32 lane, u32 index)
{
	return lane * SLOTS + (index & (SLOTS - 1));
}

static __always_inline int place_direct(struct xdp_md *ctx, u32 lane, u32 index)
{
	u32 key = slot_of(lane, index);
	void *slot = bpf_map_lookup_elem(&slots, &key);

	return slot ? bpf_xdp_load_bytes(ctx, sizeof(struct header), slot, payload_bytes) : -1;
}

static __always_inline int place_in_ring(struct xdp_md *ctx, u32 lane, u32 index)
{
	struct record *r = bpf_ringbuf_reserve(&ring, sizeof(*r) + payload_bytes, 0);

	if (!r) {
		lanes[lane].ring_full++;
		return -1;
	}
	r->index = index;
	r->lane = lane;
	if (bpf_xdp_load_bytes(ctx, sizeof(struct header), r->data, payload_bytes)) {
		bpf_ringbuf_discard(r, 0);
		return -1;
	}
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	return 0;
}

/* Every ACK_EVERY-th packet becomes the acknowledgement of them all. */
static __always_inline int acknowledge(struct xdp_md *ctx, struct lane *l, u32 index)
{
	u32 n = l->pending;

	if (n < ACK_EVERY)
		l->indices[n] = index;
	if (++n < ACK_EVERY) {
		l->pending = n;
		return XDP_DROP;
	}
	l->pending = 0;

	void *end = (void *)(long)ctx->data_end;
	struct ack *a = (void *)(long)ctx->data;
	u8 turned[6];

	if ((void *)(a + 1) > end)
		return XDP_DROP;
	for (int i = 0; i < ACK_EVERY; i++)
		a->indices[i] = l->indices[i];
	a->header.kind = KIND_ACK;
	a->header.index = ACK_EVERY;
	__builtin_memcpy(turned, a->header.destination, 6);
	__builtin_memcpy(a->header.destination, a->header.source, 6);
	__builtin_memcpy(a->header.source, turned, 6);
	bpf_xdp_adjust_tail(ctx, (int)sizeof(*a) - (int)(end - (void *)a));
	return XDP_TX;
}

static __always_inline int receive(struct xdp_md *ctx, bool through_ring)
{
	struct header *h = (void *)(long)ctx->data;

	if ((void *)(h + 1) > (void *)(long)ctx->data_end || h->ethertype != bpf_htons(ETHERTYPE))
		return XDP_PASS;

	u32 index = h->index, lane = h->lane & (LANES - 1);

	if (through_ring ? place_in_ring(ctx, lane, index) : place_direct(ctx, lane, index))
		return XDP_DROP;
	lanes[lane].placed++;
	return acknowledge(ctx, &lanes[lane], index);
}

SEC("xdp")
int receive_direct(struct xdp_md *ctx)
{
	return receive(ctx, false);
}

SEC("xdp")
int receive_ring(struct xdp_md *ctx)
{
	return receive(ctx, true);
}

SEC("xdp")
int hear(struct xdp_md *ctx)
{
	struct ack *a = (void *)(long)ctx->data;

	if ((void *)(a + 1) > (void *)(long)ctx->data_end || a->header.ethertype != bpf_htons(ETHERTYPE))
		return XDP_PASS;
	lanes[a->header.lane & (LANES - 1)].acknowledged += ACK_EVERY;
	return XDP_DROP;
}

static __always_inline int transmit(struct xdp_md *ctx, u32 lane)
{
	if (bpf_xdp_adjust_head(ctx, LEAD))
		return XDP_DROP;

	struct header *h = (void *)(long)ctx->data;
	struct lane *l = &lanes[lane];
	u32 index = l->next++, key = slot_of(lane, index);
	void *payload = bpf_map_lookup_elem(&sources, &key);

	if ((void *)(h + 1) > (void *)(long)ctx->data_end || !payload)
		return XDP_DROP;
	/* The page still holds the last packet: every field is written. */
	__builtin_memcpy(h, "\x02\0\0\0\0\x0b\x02\0\0\0\0\x0a\x15\x01", 14);
	h->kind = KIND_DATA;
	h->index = index;
	h->lane = lane;
	if (bpf_xdp_store_bytes(ctx, sizeof(*h), payload, payload_bytes))
		return XDP_DROP;
	l->sent++;
	return bpf_redirect(ifindex, 0);
}

SEC("xdp")
int transmit0(struct xdp_md *ctx)
{
	return transmit(ctx, 0);
}

SEC("xdp")
int transmit1(struct xdp_md *ctx)
{
	return transmit(ctx, 1);
}

char _license[] SEC("license") = "GPL";
