# SPDX-License-Identifier: GPL-2.0-only
"""What the receiver's program does to DATA, one packet at a time, beside its twin."""

from __future__ import annotations

from random import Random

import pytest

from tests.bpf.programs import DROP, PAYLOAD_MOST, ReceiverProgram
from tests.bpf.receiver_pair import ReceiverPair
from towline.wire import Flag

BOTH = pytest.mark.parametrize("delivery", ["direct", "ring"])
SIZES = (1, 2, 3, 79, 80, 81, 255, 256, 257, 511, 512, 513, 768, 1024, 1400, 3369, 3370)


@BOTH
@pytest.mark.parametrize("flags", [Flag.NONE, Flag.CHECKSUM], ids=["", "checksum"])
@pytest.mark.parametrize("size", SIZES)
def test_data__every_byte_is_placed(receiver: ReceiverProgram, delivery: str, size: int, flags: Flag) -> None:
    pair = ReceiverPair(receiver, delivery=delivery, payload_size=PAYLOAD_MOST)
    payload = Random(size).randbytes(size)
    assert pair.data(0, payload, flags) == (DROP, None)
    if delivery == "ring":
        assert pair.take() == [(0, size, payload)]
    else:
        assert pair.session.rows()[0, :size].tobytes() == payload
        assert not pair.session.rows()[0, size:].any()
        assert not pair.session.rows()[1:].any()
