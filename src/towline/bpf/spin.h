/* SPDX-License-Identifier: GPL-2.0-only */
/* A known slowness, for the laboratory to find: every packet takes so many nanoseconds longer.
 *
 * Looking at the clock takes time, too, and the wait ends with the first look after its end: half a look before the
 * clock is read, half a look and the way there too late, half a look back. That is measured, and waited less. Below
 * some 100 ns nothing is left to wait for, and the looks alone take longer. */
#ifndef TOWLINE_SPIN_H
#define TOWLINE_SPIN_H

#include "bpf.h"

#define LOOKS_MOST (1 << 17)

const volatile u32 spin_ns; /* 0: the verifier takes the wait out of the program */

static long not_yet(u32 number, u64 *until)
{
	return bpf_ktime_get_ns() >= *until;
}

static __always_inline void spin(void)
{
	u64 begun, look, until;

	if (!spin_ns)
		return;
	begun = bpf_ktime_get_ns();
	look = bpf_ktime_get_ns() - begun;
	until = begun + spin_ns - 2 * look;
	bpf_loop(LOOKS_MOST, not_yet, &until, 0);
}

#endif
