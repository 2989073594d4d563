// SPDX-License-Identifier: GPL-2.0-only
/* Does it suffice to acknowledge as time passes, however many packets have come? */
#include "policy.h"

#ifndef INTERVAL_NS
#define INTERVAL_NS 100000
#endif

static __always_inline bool due(struct receiver_state *r)
{
	u64 *last = &r->policy[0], now = bpf_ktime_get_ns();

	if (now - *last < INTERVAL_NS)
		return false;
	*last = now;
	return true;
}

#include "receiver.h"
