/* SPDX-License-Identifier: GPL-2.0-only */
/* Turn what the receiver says into memory (delivery direct), or into records of a ring buffer (delivery ring). */
#ifndef TOWLINE_ACKNOWLEDGED_H
#define TOWLINE_ACKNOWLEDGED_H

#include "bpf.h"
#include "histogram.h"
#include "state.h"
#include "wire.h"
#include "window.h"

/* Words of the bitmap that one ACK takes base over, on `ring`: as many as one can be due for. */
#define EXPAND_WORDS (WINDOW_MOST / 4 / 64 + 1)
#define RANGES_MOST 128

/* The inner ring buffers are made when a session is: user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, LANES_MOST);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} acknowledgements SEC(".maps");

/* User space sets the number of entries: one per lane. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sender_state);
} senders SEC(".maps");

struct acknowledgement acknowledgement_layout; /* as with record_layout: for user space */

struct cumulative { /* an ACK in host order */
	u32 base, limit, highest, first, useless, words, echo;
};

static __always_inline void sample_rtt(struct sender_state *s, u32 echo)
{
	u32 us = microseconds() - echo;

	s->rtt_us = us;
	s->rtt_samples++;
	s->rtt_histogram[bucket_of(us) % BUCKETS]++;
}

/* ---- delivery direct: shared memory */

static __always_inline void merge_words(struct sender_state *s, const struct cumulative *c, struct ack *a, void *end)
{
	u64 mask = c->first == c->base / 64 ? ~0ull << c->base % 64 : ~0ull; /* below base: another index's place */

	for (u32 i = 0; i < ACK_WORDS_MOST && i < c->words && (void *)&a->bitmap[i + 1] <= end; i++, mask = ~0ull) {
		*bitmap_word(s->acknowledged, c->first + i) |= bpf_be64_to_cpu(a->bitmap[i]) & mask;
		s->shown_us[(c->first + i) % BITMAP_WORDS] = c->echo;
	}
}

static __always_inline void clear_words(struct sender_state *s, u32 from, u32 to)
{
	u32 word = from / 64;

	for (int i = 0; i < BITMAP_WORDS / 2 + 1 && word != to / 64; i++, word = (word + 1) & WORD_NUMBER_MASK) {
		*bitmap_word(s->acknowledged, word) = 0;
		s->shown_us[word % BITMAP_WORDS] = 0; /* an hour later an old stamp would look like a new one */
	}
	*bitmap_word(s->acknowledged, to / 64) &= ~0ull << to % 64;
}

/* ---- delivery ring: one record per packet, at its first acknowledgement */

static __always_inline bool submit_record(void *ring, u32 kind, u32 flags, u32 first, u32 count)
{
	struct acknowledgement record = { .kind = kind, .flags = flags, .first = first, .count = count };

	return !bpf_ringbuf_output(ring, &record, sizeof(record), BPF_RB_NO_WAKEUP);
}

struct emission {
	void *ring;
	u64 fresh; /* of this word, not recorded yet */
	u32 number;
};

static long emit(u32 i, struct emission *e)
{
	u64 bit = e->fresh & -e->fresh;

	if (!bit || !submit_record(e->ring, KIND_ACK, 0, e->number * 64 + population(bit - 1), 1))
		return 1;
	e->fresh &= ~bit;
	return 0;
}

/* Records what of placed has not been; marked only after it was submitted. 0: the ring is full.
 * A global function: the verifier looks into it once, and not for each word of each ACK. */
__noinline int expand_word(u32 lane, u32 number, u64 placed)
{
	struct sender_state *s = bpf_map_lookup_elem(&senders, &lane);
	void *ring = bpf_map_lookup_elem(&acknowledgements, &lane);
	u64 *word;

	if (!s || !ring)
		return 0;
	word = bitmap_word(s->acknowledged, number);

	struct emission e = { .ring = ring, .fresh = placed & ~*word, .number = number };

	if (e.fresh)
		bpf_loop(64, emit, &e, 0);
	*word |= placed & ~e.fresh;
	return !e.fresh;
}

/* Takes s->base as far towards base as the ring has room; words are cleared as it passes. */
static __always_inline bool expand_base(struct sender_state *s, u32 lane, u32 base)
{
	u32 at = s->base;

	for (int i = 0; i < EXPAND_WORDS && before(at, base); i++) {
		bool last = at / 64 == base / 64;
		u64 placed = ~0ull << at % 64 & (last ? ~(~0ull << base % 64) : ~0ull);

		if (!expand_word(lane, at / 64, placed))
			return false;
		*bitmap_word(s->acknowledged, at / 64) &= ~placed;
		if (!last)
			s->shown_us[at / 64 % BITMAP_WORDS] = 0;
		at = last ? base : (at | 63) + 1;
		WRITE_ONCE(s->base, at);
	}
	return at == base;
}

static __always_inline bool expand(struct sender_state *s, u32 lane, const struct cumulative *c, struct ack *a,
				   void *end)
{
	u64 mask = c->first == c->base / 64 ? ~0ull << c->base % 64 : ~0ull;

	if (!expand_base(s, lane, c->base))
		return false;
	for (u32 i = 0; i < ACK_WORDS_MOST && i < c->words && (void *)&a->bitmap[i + 1] <= end; i++, mask = ~0ull) {
		u32 number = c->first + i;

		if (!expand_word(lane, number, bpf_be64_to_cpu(a->bitmap[i]) & mask))
			return false;
		s->shown_us[number % BITMAP_WORDS] = c->echo;
	}
	return true;
}

#endif
