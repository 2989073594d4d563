// SPDX-License-Identifier: GPL-2.0-only
/* How seldom may acknowledgements be without harm? TACK's rule (Li et al., "TACK: Improving Wireless Transport
 * Performance by Taming Acknowledgments", SIGCOMM 2020): their frequency is the lesser of bandwidth / (L * packet
 * size) and beta / RTT_min. A slow path has one for every L packets, a fast one beta in a round trip. */
#include "policy.h"

#ifndef PACKETS_PER_ACK
#define PACKETS_PER_ACK 2 /* L */
#endif
#ifndef ACKS_PER_RTT
#define ACKS_PER_RTT 4 /* beta */
#endif

static __always_inline bool due(struct receiver_state *r)
{
	u64 *last = &r->policy[0], now;

	if (r->pending < PACKETS_PER_ACK)
		return false;
	now = bpf_ktime_get_ns();
	if (now - *last < r->rtt_us * 1000ull / ACKS_PER_RTT)
		return false;
	*last = now;
	return true;
}

#include "receiver.h"
