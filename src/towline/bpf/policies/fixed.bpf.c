// SPDX-License-Identifier: GPL-2.0-only
/* Is counting enough? An acknowledgement for every ack_every-th packet: what runs where nobody wants anything else. */
#include "policy.h"

static __always_inline bool due(struct receiver_state *r)
{
	return r->pending >= r->ack_every;
}

#include "receiver.h"
