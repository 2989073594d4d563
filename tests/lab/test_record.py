# SPDX-License-Identifier: GPL-2.0-only
"""The record: its fields, and who is believed where several know one."""

from __future__ import annotations

import pytest

from towline.lab import record
from towline.settings import Settings


def test_fields__are_unique_and_hold_every_setting() -> None:
    assert len(set(record.FIELDS)) == len(record.FIELDS)
    assert set(Settings().record_fields()) <= set(record.FIELDS)


def test_merge__all_fields_in_order_and_none_where_nothing_was_measured() -> None:
    merged = record.merge({}, {}, {}, {})
    assert tuple(merged) == record.FIELDS
    assert set(merged.values()) == {None}


def test_merge__later_wins_and_a_side_may_deny() -> None:
    asked = Settings(ack_every=64, payload_size=None).record_fields()
    merged = record.merge(
        asked,
        {"acks": 5, "ack_every": 16, "payload_size": 1476, "delivery": None, "seconds": None},
        {"acks": 4, "seconds": 2.0},
        {"file_bytes": 1 << 30, "cpu_seconds": 3.0, "mtu": 3000},
    )
    assert (merged["acks"], merged["ack_every"], merged["payload_size"]) == (4, 16, 1476)
    assert (merged["delivery"], merged["seconds"], merged["mtu"]) == (None, 2.0, 3000)
    assert merged["goodput_gbps"] == pytest.approx(4.294967296)
    assert merged["cpu_seconds_per_gib"] == 3.0


def test_merge__sums_need_both_sides() -> None:
    one = record.merge({}, {"peak_rss_mib": 100.0}, {}, {})
    both = record.merge({}, {"peak_rss_mib": 100.0}, {"peak_rss_mib": 50.0}, {})
    assert (one["peak_rss_mib"], both["peak_rss_mib"]) == (None, 150.0)


def test_merge__an_empty_file_has_no_cpu_per_gib() -> None:
    merged = record.merge({}, {}, {"seconds": 0.5}, {"file_bytes": 0, "cpu_seconds": 1.0})
    assert (merged["goodput_gbps"], merged["cpu_seconds_per_gib"]) == (0.0, None)


def test_merge__a_name_that_is_no_field_is_refused() -> None:
    with pytest.raises(ValueError, match="retransmits"):
        record.merge({}, {}, {"retransmits": 1}, {})
