// SPDX-License-Identifier: GPL-2.0-only
/* The wire between two hosts: decides what becomes of each frame, keeps it until it is due, and lets it out.
 *
 * One program for each direction, on the interface where its frames come in. A frame from the host is captured; on a
 * live frame (user space says which are due) the program lets the next of the schedule out on the other side. */
#include "../../bpf/bpf.h"

#define FRAME_LEAST 14
#define FRAME_MOST 3408	       /* what a live frame holds */
#define TEMPLATE_BYTES 64      /* a live frame before it gets its length */
#define FRAMES (1 << 17)       /* in flight in one direction, at most */
#define MEMORY_BYTES (1 << 26) /* for their bytes: 1 Gbit/s for half a second */
#define MEMORY_SLACK 4096      /* a frame that begins before the end goes on behind it */
#define ALIGN_BYTES 64
#define SCHEDULE_MOST 256
#define HOLD_MOST 3 /* frames that a reordered one lets pass, at most */
#define DRAWS 16    /* random numbers that one frame may use */

/* What becomes of a direction's frames. User space writes, while `on` is 0; `dark_until` at any time. Shares are
 * thresholds: so many of 2^32. */
struct orders {
	u64 on;			   /* 0: every frame is dropped, and counted as flushed */
	u64 out;		   /* the interface on the other side */
	u64 stored;		   /* 0: nothing here takes time, so frames go straight to the other side */
	u64 delay_ns, jitter_ns;   /* delay +- up to jitter */
	u64 ps_per_byte, queue_ns; /* the rate; how long the queue in front of it may be */
	u64 enter, stay;	   /* loss: the chance after a frame that was not lost, and after one that was */
	u64 corrupt, duplicate, reorder;
	u64 seed;
	u64 dark_until; /* nothing passes before (CLOCK_MONOTONIC) */
};

/* XDP counts. A direction has one queue, so one CPU at a time: no atomics. */
struct counts {
	u64 captured, bytes, flushed, dark, queue_dropped;
	u64 carried, lost, corrupted, duplicated, held; /* carried: what went past the queue; lost ones are among it */
	u64 too_long, no_room, failed;			/* our own failures */
	u64 passed;					/* straight to the other side */
	u64 released;
};

struct direction {
	struct orders orders;
	u64 tail, tail_bytes; /* what user space needs no more; it writes */
	u64 head, head_bytes; /* frames and bytes that were taken; XDP writes */
	u64 free_at, free_ps; /* when the line has sent all that waits for it; XDP writes */
	u64 burst;	      /* whether the last frame was lost; XDP writes */
	u64 next;	      /* of the schedule: user space writes 0, XDP counts */
	struct counts counts;
};

struct direction directions[2]; /* forward, backward */

/* User space sleeps; it wants to be woken for frames that are due before this (0: it is awake). Changed atomically. */
u64 wake_before;
const volatile u64 live_secret = 0;

/* A frame in flight. XDP writes when it captures (and `released`), user space reads. A duplicate has the bytes of its
 * original. */
struct frame {
	u64 arrived, ready, due, released; /* ready: it has left the queue */
	u64 begin;			   /* of its bytes, counted from the first frame's */
	u32 length, hold;		   /* hold: how many frames it lets pass */
};

struct frame a_frame; /* or clang leaves the struct out of the BTF */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * FRAMES);
	__type(key, u32);
	__type(value, struct frame);
} frames SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, MEMORY_BYTES + MEMORY_SLACK);
} memory SEC(".maps");

/* Numbers of the frames to let out, each direction's on its own: user space writes, XDP reads. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * SCHEDULE_MOST);
	__type(key, u32);
	__type(value, u32);
} schedule SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} wakes SEC(".maps");

enum purpose { LOSS, JITTER, CORRUPT, DUPLICATE, REORDER, HOLD, FLIPS, FIRST_FLIP };

/* The output function of splitmix64 (Steele, Lea, Flood 2014) over a counter: each frame has numbers of its own, and
 * one impairment does not shift the others'. */
static __always_inline u64 draw(const struct direction *d, enum purpose purpose)
{
	u64 z = d->orders.seed + (d->counts.carried * DRAWS + purpose) * 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static __always_inline bool chance(const struct direction *d, enum purpose purpose, u64 threshold)
{
	return threshold && draw(d, purpose) >> 32 < threshold;
}

/* Evenly from 0 to limit - 1; limit below 2^32. */
static __always_inline u64 uniform(const struct direction *d, enum purpose purpose, u64 limit)
{
	return ((draw(d, purpose) >> 32) * limit) >> 32;
}

static __always_inline struct frame *frame_at(u32 k, u64 number)
{
	u32 key = k * FRAMES + (number & (FRAMES - 1));

	return bpf_map_lookup_elem(&frames, &key);
}

/* The bits to flip: 1 to 3, two of them never the same. */
struct flips {
	u32 count, bits[3];
};

static __always_inline void choose_flips(const struct direction *d, u64 length, struct flips *f)
{
	u64 bits = length * 8;

	f->count = 1 + uniform(d, FLIPS, 3);
	f->bits[0] = uniform(d, FIRST_FLIP, bits);
	f->bits[1] = (f->bits[0] + 1 + uniform(d, FIRST_FLIP + 1, bits - 1)) % bits;
	f->bits[2] = uniform(d, FIRST_FLIP + 2, bits); /* where it meets another, one is left of the three */
}

static __always_inline void corrupt_stored(const struct direction *d, u8 *bytes, u64 length)
{
	struct flips f;

	choose_flips(d, length, &f);
	for (u32 i = 0; i < 3; i++) {
		u32 at = f.bits[i] >> 3;

		FORGET(at);
		if (i < f.count && at < FRAME_MOST)
			bytes[at] ^= 1 << (f.bits[i] & 7);
	}
}

static __always_inline void corrupt_in_place(struct xdp_md *ctx, const struct direction *d, u64 length)
{
	struct flips f;
	u8 byte;

	choose_flips(d, length, &f);
	for (u32 i = 0; i < 3; i++) {
		if (i >= f.count || bpf_xdp_load_bytes(ctx, f.bits[i] >> 3, &byte, 1))
			continue;
		byte ^= 1 << (f.bits[i] & 7);
		bpf_xdp_store_bytes(ctx, f.bits[i] >> 3, &byte, 1);
	}
}

/* Wait for the line: false where the queue is full. Lost frames have taken their time on the line, too. */
static __always_inline bool enqueue(struct direction *d, u64 now, u64 length)
{
	u64 from = d->free_at > now ? d->free_at : now, ps;

	if (!d->orders.ps_per_byte) {
		d->free_at = now;
		return true;
	}
	ps = length * d->orders.ps_per_byte + (from > now ? d->free_ps : 0);
	if (from - now + ps / 1000 > d->orders.queue_ns)
		return false;
	d->free_at = from + ps / 1000;
	d->free_ps = ps % 1000;
	return true;
}

static __always_inline void wake(u64 due)
{
	u64 *record;

	if (due >= READ_ONCE(wake_before))
		return;
	__sync_lock_test_and_set(&wake_before, 0);
	record = bpf_ringbuf_reserve(&wakes, sizeof(*record), 0);
	if (!record)
		return; /* then there are some, and user space is not asleep */
	*record = due;
	bpf_ringbuf_submit(record, BPF_RB_FORCE_WAKEUP);
}

static __always_inline bool fill(struct direction *d, u32 k, u64 number, struct frame *content)
{
	struct frame *f = frame_at(k, number);

	if (f)
		*f = *content;
	return f;
}

static __always_inline int store(struct xdp_md *ctx, struct direction *d, u32 k, u64 now, u64 length)
{
	u64 step = (length + ALIGN_BYTES - 1) & ~(u64)(ALIGN_BYTES - 1), due = d->free_at + d->orders.delay_ns;
	bool twice = chance(d, DUPLICATE, d->orders.duplicate);
	u32 hold = chance(d, REORDER, d->orders.reorder) ? 1 + uniform(d, HOLD, HOLD_MOST) : 0;
	u8 *bytes = bpf_map_lookup_elem(&memory, &k);

	if (d->head + 2 - READ_ONCE(d->tail) > FRAMES ||
	    d->head_bytes + step - READ_ONCE(d->tail_bytes) > MEMORY_BYTES) {
		d->counts.no_room++;
		return XDP_DROP;
	}
	if (!bytes)
		return XDP_DROP;
	bytes += d->head_bytes & (MEMORY_BYTES - 1);
	FORGET(length);
	if (length < FRAME_LEAST || length > FRAME_MOST || bpf_xdp_load_bytes(ctx, 0, bytes, length)) {
		d->counts.failed++;
		return XDP_DROP;
	}
	if (chance(d, CORRUPT, d->orders.corrupt)) {
		corrupt_stored(d, bytes, length);
		d->counts.corrupted++;
	}
	if (d->orders.jitter_ns)
		due += uniform(d, JITTER, 2 * d->orders.jitter_ns + 1) - d->orders.jitter_ns;

	struct frame f = {
		.arrived = now,
		.ready = d->free_at,
		.due = due,
		.begin = d->head_bytes,
		.length = length,
		.hold = hold + (hold && twice), /* the copy is one of those that follow */
	};

	fill(d, k, d->head, &f);
	if (twice) {
		f.due++;
		f.hold = hold;
		fill(d, k, d->head + 1, &f);
		d->counts.duplicated++;
	}
	d->counts.held += !!hold;
	d->head_bytes += step;
	/* A full barrier: user space says that it sleeps and looks at head; we count head and look whether it sleeps. */
	__sync_fetch_and_add(&d->head, twice ? 2 : 1);
	wake(due);
	return XDP_DROP;
}

static __always_inline int capture(struct xdp_md *ctx, struct direction *d, u32 k)
{
	u64 now = bpf_ktime_get_ns(), length = ctx->data_end - ctx->data;
	int verdict = XDP_DROP;

	if (!d->orders.on) {
		d->counts.flushed++;
		return XDP_DROP;
	}
	d->counts.captured++;
	d->counts.bytes += length;
	if (now < READ_ONCE(d->orders.dark_until)) {
		d->counts.dark++;
		return XDP_DROP;
	}
	if (length < FRAME_LEAST || length > FRAME_MOST) {
		d->counts.too_long++;
		return XDP_DROP;
	}
	if (!enqueue(d, now, length)) {
		d->counts.queue_dropped++;
		return XDP_DROP;
	}
	d->burst = chance(d, LOSS, d->burst ? d->orders.stay : d->orders.enter);
	if (d->burst) {
		d->counts.lost++;
	} else if (d->orders.stored) {
		verdict = store(ctx, d, k, now, length);
	} else {
		if (chance(d, CORRUPT, d->orders.corrupt)) {
			corrupt_in_place(ctx, d, length);
			d->counts.corrupted++;
		}
		d->counts.passed++;
		verdict = bpf_redirect(d->orders.out, 0);
	}
	d->counts.carried++; /* last: the draws count by it */
	return verdict;
}

static __always_inline int release(struct xdp_md *ctx, struct direction *d, u32 k)
{
	u32 key = k * SCHEDULE_MOST + (d->next & (SCHEDULE_MOST - 1)), *number = bpf_map_lookup_elem(&schedule, &key);
	struct frame *f = number ? frame_at(k, *number) : NULL;
	u8 *bytes = bpf_map_lookup_elem(&memory, &k);

	d->next++;
	if (!f || !bytes)
		return XDP_DROP;

	u64 length = f->length;

	bytes += f->begin & (MEMORY_BYTES - 1);
	f->released = bpf_ktime_get_ns();
	if (bpf_xdp_adjust_tail(ctx, (int)length - TEMPLATE_BYTES)) {
		d->counts.failed++;
		return XDP_DROP;
	}
	FORGET(length);
	if (length < FRAME_LEAST || length > FRAME_MOST || bpf_xdp_store_bytes(ctx, 0, bytes, length)) {
		d->counts.failed++;
		return XDP_DROP;
	}
	d->counts.released++;
	return bpf_redirect(d->orders.out, 0);
}

static __always_inline int pass_on(struct xdp_md *ctx, u32 k)
{
	u64 *secret = (void *)(long)ctx->data_meta;

	if ((void *)(secret + 1) <= (void *)(long)ctx->data && *secret == live_secret) {
		/* This also has the kernel read the frame's bounds again, which its last use has moved. */
		if (bpf_xdp_adjust_meta(ctx, sizeof(*secret)))
			return XDP_DROP;
		return release(ctx, &directions[k], k);
	}
	return capture(ctx, &directions[k], k);
}

SEC("xdp")
int forward(struct xdp_md *ctx)
{
	return pass_on(ctx, 0);
}

SEC("xdp")
int backward(struct xdp_md *ctx)
{
	return pass_on(ctx, 1);
}

char _license[] SEC("license") = "GPL";
