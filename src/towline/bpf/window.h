/* SPDX-License-Identifier: GPL-2.0-only */
/* Which indices have arrived, and who may claim a slot. Indices compare by serial arithmetic (RFC 1982).
 *
 * While nothing is missing the cursor follows highest and no bit is touched. Otherwise bits stand at and above the
 * cursor, in a ring of twice the largest window, and are cleared as the cursor passes: user space never writes them.
 */
#ifndef TOWLINE_WINDOW_H
#define TOWLINE_WINDOW_H

#include "bpf.h"
#include "state.h"

#define WORD_NUMBER_MASK (0xffffffff / 64) /* numbers of bitmap words wrap where indices do */

static __always_inline bool before(u32 a, u32 b)
{
	return (s32)(a - b) < 0;
}

static __always_inline u64 *bitmap_word(u64 *bitmap, u32 number)
{
	return &bitmap[number % BITMAP_WORDS];
}

/* BPF counts no bits; this has neither branch nor table (Warren, Hacker's Delight, 5-1). */
static __always_inline u32 population(u64 v)
{
	v -= v >> 1 & 0x5555555555555555ull;
	v = (v & 0x3333333333333333ull) + (v >> 2 & 0x3333333333333333ull);
	return ((v + (v >> 4)) & 0x0f0f0f0f0f0f0f0full) * 0x0101010101010101ull >> 56;
}

static __always_inline bool has_arrived(struct receiver_state *r, u32 index)
{
	if (before(index, r->cursor))
		return true;
	return before(index, r->highest) && *bitmap_word(r->arrived, index / 64) >> index % 64 & 1;
}

static __always_inline void mark_arrived(struct receiver_state *r, u32 index)
{
	if (index == r->highest && index == r->cursor) {
		r->highest = r->cursor = index + 1;
		return;
	}
	*bitmap_word(r->arrived, index / 64) |= 1ull << index % 64;
	if (!before(index, r->highest))
		r->highest = index + 1;
}

/* Step the cursor over set bits, a word at a time: bit by bit would exceed the verifier's patience. */
static __always_inline void advance(struct receiver_state *r)
{
	u32 cursor = r->cursor;

	for (int i = 0; i < BITMAP_WORDS / 2 + 1; i++) {
		u64 *word = bitmap_word(r->arrived, cursor / 64), ones = *word >> cursor % 64;

		ones &= ~(ones + 1); /* the trailing ones */
		*word &= ~(ones << cursor % 64);
		cursor += population(ones);
		if (!ones || cursor % 64)
			break;
	}
	r->cursor = cursor;
}

static __always_inline u64 *wanted_word(struct receiver_state *r, u32 index)
{
	return &r->wanted[index % WINDOW_MOST / 64];
}

static __always_inline bool is_wanted(struct receiver_state *r, u32 index)
{
	return READ_ONCE(*wanted_word(r, index)) >> index % 64 & 1;
}

static __always_inline void clear_wanted(struct receiver_state *r, u32 index)
{
	__sync_fetch_and_and(wanted_word(r, index), ~(1ull << index % 64));
}

#endif
