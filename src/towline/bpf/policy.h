/* SPDX-License-Identifier: GPL-2.0-only */
/* What a policy is: the answer to the question when an acknowledgement is due, and nothing else.
 *
 * A policy is a file: it includes this one, defines `due`, and ends with receiver.h, which does all the rest. It is
 * asked for each DATA packet that belongs to the session, in order, one at a time. It may read all of the session, and
 * write its own words, r->policy. What it need not care for: the sender may ask for an acknowledgement itself, and
 * a quarter of the window may not remain unacknowledged, or the sender stands still. */
#ifndef TOWLINE_POLICY_H
#define TOWLINE_POLICY_H

#include "bpf.h"
#include "state.h"

/* r->pending: packets since the last acknowledgement, this one included; r->ack_every: what the sender wishes;
 * r->rtt_us: see state.h; bpf_ktime_get_ns(): the time, for some 20 ns. */
static __always_inline bool due(struct receiver_state *r);

#endif
