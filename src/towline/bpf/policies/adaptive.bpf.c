// SPDX-License-Identifier: GPL-2.0-only
/* How seldom may acknowledgements be without harm? TACK's rule (Li et al., "TACK: Improving Wireless Transport
 * Performance by Taming Acknowledgments", SIGCOMM 2020): their frequency is the lesser of bandwidth / (L * packet
 * size) and beta / RTT_min. A slow path has one for every L packets, a fast one beta in a round trip. */
#include "policy.h"

#define L 2
#define BETA 4

static __always_inline bool due(struct receiver_state *r)
{
	u64 *last = &r->policy[0], now;

	if (r->pending < L)
		return false;
	now = bpf_ktime_get_ns();
	if (now - *last < r->rtt_us * 1000ull / BETA)
		return false;
	*last = now;
	return true;
}

#include "receiver.h"
