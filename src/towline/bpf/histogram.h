/* SPDX-License-Identifier: GPL-2.0-only */
/* Histograms of times: octaves of eight steps each, as HdrHistogram has them. */
#ifndef TOWLINE_HISTOGRAM_H
#define TOWLINE_HISTOGRAM_H

#include "bpf.h"

/* Of any 32-bit number: less than 240. */
static __always_inline u32 bucket_of(u32 number)
{
	u32 octave = 0, v = number;

	for (u32 shift = 16; shift; shift /= 2)
		if (v >> shift) {
			v >>= shift;
			octave += shift;
		}
	return octave < 3 ? number : 8 * (octave - 2) + (number >> (octave - 3) & 7);
}

#endif
