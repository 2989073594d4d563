# SPDX-License-Identifier: GPL-2.0-only
"""What Python repeats of state.h, framing.h and the programs: the headers are the law."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import pytest

from tests import twins
from towline import framing, settings, slots, wire
from towline.bpf import INCLUDE
from towline.delivery import shared, xdp
from towline.kernel.clang import compile_program
from towline.kernel.live import run_syscall
from towline.kernel.memory import Map
from towline.kernel.program import Object
from towline.protocol import window
from towline.transfer import incoming
from towline.transmit import lane
from towline.transmit import xdp as sending

pytestmark = pytest.mark.usefixtures("namespace")  # loading needs root


def _c_name(level: framing.Level) -> str:
    return level.name.upper().replace("-", "_")


# Each constant of C, and everybody in Python who says the same.
SAID = {
    "SLOT_SLACK": (slots.SLACK_BYTES,),
    "WINDOW_MOST": (settings.WINDOW_MOST, twins.WINDOW_MOST),
    "BITMAP_WORDS": (window.BITMAP_WORDS, twins.BITMAP_WORDS),
    "PAYLOAD_MOST": (
        settings.LARGEST_PAYLOAD_BYTES,
        framing.RAW.largest_payload_bytes(9000),
    ),
    "LANES_MOST": (settings.LANES_MOST,),
    "ACK_WORDS": (twins.ACK_WORDS,),
    "ACK_WORDS_MOST": (twins.ACK_WORDS_MOST,),
    "EXPAND_WORDS": (twins.EXPAND_WORDS,),
    "RANGES_MOST": (twins.RANGES_MOST,),
    **{f"LEVEL_{_c_name(level)}": (level.number,) for level in framing.LEVELS.values()},
    **{f"{_c_name(level)}_BYTES": (level.frame_bytes,) for level in framing.LEVELS.values() if level.frame_bytes},
    "WIRE_MAGIC": (wire.MAGIC,),
    "DATA_LEAST_BYTES": (wire.DATA_LEAST_BYTES,),
    "REASON_MOST_BYTES": (wire.REASON_MOST_BYTES,),
    "DELIVERY_DIRECT": (wire.DELIVERIES.index("direct"),),
    "DELIVERY_RING": (wire.DELIVERIES.index("ring"),),
    "sizeof(struct header)": (wire.HEADER_BYTES, wire.HEADER.itemsize),
    "sizeof(struct trailer)": (wire.TRAILER_BYTES, settings.BLOCK_TRAILER_BYTES),
    "sizeof(struct record)": (xdp._RECORD_HEADER_BYTES,),
    "sizeof(struct want)": (shared._WANT.size,),
    "sizeof(struct mark)": (sending._MARK.size,),
    "offsetof(struct want, word)": (struct.calcsize("=I"),),
    "offsetof(struct want, bits)": (struct.calcsize("=II"),),
    "offsetof(struct mark, lane)": (struct.calcsize("=Q"),),
    **{f"KIND_{kind.name}": (kind.value,) for kind in wire.Kind},
    **{f"FLAG_{flag.name}": (flag.value,) for flag in wire.Flag if flag},
}
# And what must not exceed another's capacity.
AT_MOST = {
    "SCHEDULE_MOST": lane.BURST_MOST,
    "RANGES_MOST": incoming.NACK_RANGES_MOST,
    "FRAME_MOST": max(level.frame_bytes for level in framing.LEVELS.values()),
    "RECEIVERS_MOST": settings.LANES_MOST,
}
SOURCE = """
#include <stddef.h>
#include "sender.bpf.c"
#include "acknowledge.h"
static __always_inline bool due(struct receiver_state *r) { return false; }
u32 bucket = 0;
SEC("syscall") int bucket_find(u32 *us) { bucket = bucket_of(*us); return 0; }
"""


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Object]:
    """A program that knows every constant, and which bucket a round trip belongs in."""
    lines = [f"u64 constant{n} = {name};" for n, name in enumerate([*SAID, *AT_MOST])]
    source = tmp_path_factory.mktemp("state") / "state.bpf.c"
    source.write_text(SOURCE + "\n".join(lines) + "\n")
    with (
        Object(compile_program(source, flags=(INCLUDE,))) as found,
        Map.create_array("towline_slots", 8) as slots,
        Map.create_ring("towline_ring", 4096) as ring,
    ):
        found.keep("bucket_find")
        for name, template in (("slots", slots), ("records", ring), ("acknowledgements", ring)):
            found.inner(name, template.fd)
        found.load()
        yield found


@pytest.mark.parametrize("name", SAID)
def test_constants__are_the_headers(headers: Object, name: str) -> None:
    value = int(headers.globals(f"constant{list(SAID).index(name)}"))
    assert set(SAID[name]) == {value}


@pytest.mark.parametrize("name", AT_MOST)
def test_constants__fit(headers: Object, name: str) -> None:
    assert AT_MOST[name] <= int(headers.globals(f"constant{len(SAID) + list(AT_MOST).index(name)}"))


def test_rtt_percentile_us__undoes_the_buckets(headers: Object) -> None:
    octaves = [1 << n for n in range(3, 32)]
    edges = {n + d for n in octaves for d in (-1, 0, 1, n // 2, n // 8)} | set(range(40)) | {(1 << 32) - 1}
    for us in sorted(edges):
        run_syscall(headers.program("bucket_find"), us.to_bytes(4, "little"))
        histogram = np.zeros(headers.dtype("sender_state")["rtt_histogram"].shape, np.uint32)
        histogram[int(headers.globals("bucket"))] = 1
        found = lane.rtt_percentile_us(histogram, 50)
        assert found is not None
        assert abs(found - us) <= us / 16, us
