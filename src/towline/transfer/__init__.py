# SPDX-License-Identifier: GPL-2.0-only
"""Files in and out: `send` and `receive` wire the rules, the programs and the sockets together."""

from towline.transfer.receive import receive
from towline.transfer.send import send

__all__ = ["receive", "send"]
