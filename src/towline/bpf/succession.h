/* SPDX-License-Identifier: GPL-2.0-only */
/* Programs follow each other while packets come: which one serves a session, and how long none did.
 *
 * Whoever swaps programs counts them; the first packet that a new one takes of a session tells that it has taken over.
 * To know for how long a swap left the packets alone every packet's time is needed, so that is done only where it is
 * asked for: a look at the clock costs 5 %. */
#ifndef TOWLINE_SUCCESSION_H
#define TOWLINE_SUCCESSION_H

#include "bpf.h"
#include "histogram.h"
#include "state.h"

const volatile u32 state_version = STATE_VERSION; /* a successor has the same */
const volatile u32 program_version = 1;		  /* and the next one of these */
const volatile char program_source[64];		  /* the file and clang's flags, for who looks at it */
const volatile char program_flags[128];
const volatile u32 watch_gaps; /* 0: the verifier takes it out of the program */

/* By slot, or lane. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RECEIVERS_MOST);
	__type(key, u32);
	__type(value, struct gaps);
} gaps SEC(".maps");

static __always_inline void watch(u32 number, bool is_new)
{
	struct gaps *g = bpf_map_lookup_elem(&gaps, &number);
	u64 now = bpf_ktime_get_ns(), gap;

	if (!g)
		return;
	gap = now - g->seen_ns;
	if (gap >> 32)
		gap = ~0u; /* before the first packet, among others */
	g->seen_ns = now;
	g->histogram[bucket_of(gap) % BUCKETS]++;
	if (is_new)
		WRITE_ONCE(g->around_ns, gap);
}

/* Under the session's lock. Whether this packet is the first that this program takes of the session. */
static __always_inline bool takes_over(u32 *served_by, u32 number)
{
	bool is_new = *served_by != program_version;

	if (watch_gaps)
		watch(number, is_new);
	if (is_new)
		WRITE_ONCE(*served_by, program_version);
	return is_new;
}

#endif
