# SPDX-License-Identifier: GPL-2.0-only
"""What is asked of a path and what it did: what cannot be asked, records, void runs."""

from __future__ import annotations

from typing import Any

import pytest

from towline.errors import SettingsError
from towline.lab import record
from towline.lab.emulator.impairments import (
    Counted,
    Impairment,
    Impairments,
    Report,
    decode,
    encode,
    measured_fields,
    record_fields,
    void_reason,
)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"loss": 1.5}, "loss is a share"),
        ({"reorder": -0.1}, "reorder is a share"),
        ({"jitter_us": 10}, "needs a delay of as much"),
        ({"rate_bps": 10}, "a rate is from"),
        ({"queue_bytes": 1000}, "needs a rate"),
        ({"rate_bps": 1e6, "queue_bytes": 0}, "at least 1 byte"),
        ({"loss": 0.1, "loss_burst": 0.5}, "cannot lose"),
        ({"loss": 0.9, "loss_burst": 2}, "cannot lose"),
    ],
)
def test_impairment__refuses_what_cannot_be(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Impairment(**values)


@pytest.mark.parametrize(("loss", "burst"), [(0.0, 1.0), (0.1, 1.0), (0.1, 8.0), (0.6, 2.0), (1.0, 1.0), (1.0, 8.0)])
def test_loss_chances__in_the_long_run_give_the_share(loss: float, burst: float) -> None:
    enter, stay = Impairment(loss=loss, loss_burst=burst).loss_chances()
    in_the_long_run = enter / (enter + 1 - stay) if enter else 0.0
    assert in_the_long_run == pytest.approx(loss)
    if burst > 1 and 0 < loss < 1:
        assert 1 / (1 - stay) == pytest.approx(burst)


def test_queue_bytes__is_a_round_trip_or_a_hundred_frames_unless_asked() -> None:
    fast = Impairment(rate_bps=1e9, delay_us=25_000)
    both = Impairments(forward=fast, backward=Impairment(delay_us=15_000))
    assert both.queue_bytes("forward") == 5_000_000
    assert both.queue_bytes("backward") is None
    slow = Impairments(forward=Impairment(rate_bps=1e6), backward=Impairment(rate_bps=1e9, queue_bytes=7))
    assert (slow.queue_bytes("forward"), slow.queue_bytes("backward")) == (151_400, 7)


def test_decode__reads_what_encode_wrote_and_checks_it() -> None:
    asked = Impairments(forward=Impairment(delay_us=10, loss=0.5), backward=Impairment(rate_bps=1e6), seed=7)
    assert decode(encode(asked)) == asked
    with pytest.raises(SettingsError, match="loss"):
        decode(encode(asked).replace("0.5", "5"))


def test_void_reason__only_for_the_emulators_own_failures() -> None:
    asked = Impairments(forward=Impairment(delay_us=50_000), backward=Impairment())
    bad_luck = Counted(lost=10**6, queue_dropped=10**6, blackholed=5, lateness_us_p99=1500.0)
    assert void_reason(asked, Report(forward=bad_luck)) is None
    assert void_reason(asked, Report(forward=Counted(lateness_us_p99=1501.0))) == (
        "the emulator released frames 1501 us late at the 99th percentile, more than 1500, forward"
    )
    assert "more than 500, backward" in str(void_reason(asked, Report(backward=Counted(lateness_us_p99=501.0))))
    for cause in ("too_long", "no_room", "interface_dropped", "failed"):
        said = void_reason(asked, Report(backward=Counted(**{cause: 3})))
        assert said == f"the emulator dropped frames on its own, backward: 3 {cause}"


def test_record_fields__have_the_names_of_a_record() -> None:
    asked = Impairments(forward=Impairment(delay_us=10_000, rate_bps=1e8, loss=0.01, loss_burst=8))
    fields = record_fields(asked)
    assert (fields["delay_forward"], fields["loss_forward"], fields["loss_burst_forward"]) == (10_000, 0.01, 8)
    assert (fields["queue_forward"], fields["rate_backward"], fields["loss_burst_backward"]) == (151_400, None, None)
    extra = {f"{name}_{way}" for name in ("queue", "loss_burst") for way in ("forward", "backward")}
    assert fields.keys() - extra <= set(record.FIELDS)


def test_measured_fields__are_shares_of_what_was_carried_and_none_where_nothing_was() -> None:
    counted = Counted(captured=300, carried=200, lost=20, corrupted=10, duplicated=4, reordered=2, delay_us=5.0)
    fields = measured_fields(Report(forward=counted))
    assert fields.keys() <= set(record.FIELDS)
    names = ("loss", "corruption", "duplication", "reordering", "delay")
    assert [fields[f"measured_{name}_forward"] for name in names] == [0.1, 0.05, 0.02, 0.01, 5.0]
    assert [fields[f"measured_{name}_backward"] for name in names] == [None] * 5
