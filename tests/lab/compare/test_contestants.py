# SPDX-License-Identifier: GPL-2.0-only
"""Who takes part, and towline's own bouts without a kernel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from towline.errors import PermissionsError, RunError
from towline.lab import record
from towline.lab.compare import contestants
from towline.lab.compare.contestants import PACE_SHARE, Bout, carry_out
from towline.lab.environments import veth
from towline.lab.run import Run
from towline.lab.sweep.bench import WRONG_BYTES
from towline.settings import Settings
from towline.transfer.events import OnEvent, Progress

RATE_BPS = 200_000_000


def bout(folder: Path, name: str = "towline", **fields: Any) -> Bout:
    source = folder / "file"
    source.write_bytes(bytes(1000))
    known: dict[str, Any] = {
        "contestant": contestants.contestants(emulated=True, told=True)[name],
        "source": source,
        "settings": Settings(rate=(RATE_BPS, RATE_BPS), loss=(0.01, 0.01)),
        "emulated": True,
        "cap_s": 20.0,
        "seed": 5,
    }
    return Bout(**(known | fields))


def good(run: Run, **fields: Any) -> dict[str, Any]:
    known = {"file_bytes": 1000, "seconds": 1.0, "verified": True, "void": False}
    return record.merge(run.settings.record_fields(), {}, {}, known | fields)


def test_contestants__without_offloads_on_a_clean_pair_alone() -> None:
    clean, emulated = (contestants.contestants(emulated=one, told=False) for one in (False, True))
    assert set(clean) - set(emulated) == {
        f"{name}-no-offloads" for name in ("tcp-cubic", "tcp-bbr", "rsync", "scp", "iperf3")
    }
    assert all(one.offloads for one in emulated.values())
    assert not clean["scp-no-offloads"].offloads


def test_contestants__labels_tell_them_apart_and_who_is_told() -> None:
    for told in (False, True):
        found = contestants.contestants(emulated=False, told=told)
        assert len({one.label for one in found.values()}) == len(found)
        assert [name for name, one in found.items() if one.label.endswith(contestants.TOLD)] == (
            ["towline", "towline-socket", "udp"] if told else []
        )


def test_missing__of_what_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    everybody = contestants.contestants(emulated=True, told=True)
    assert contestants.missing(everybody["towline"]) is None
    from towline.lab import yardsticks  # noqa: PLC0415

    monkeypatch.setattr(yardsticks, "YARDSTICKS", {})
    assert contestants.missing(everybody["scp"]) == "there is no such yardstick yet"


def test_carry_out__towline_is_told_the_rate_and_nothing_else(tmp_path: Path) -> None:
    seen: list[tuple[Run, veth.Path | None]] = []

    def transfer(run: Run, on_event: OnEvent, path: veth.Path | None = None) -> dict[str, Any]:
        seen.append((run, path))
        return good(run)

    asked = bout(tmp_path, "towline-socket")
    found = carry_out(asked, None, transfer)
    run, path = seen[0]
    assert path is None
    assert run.settings == asked.settings.replace(
        pace=int(PACE_SHARE * RATE_BPS), datapath_sender="socket", datapath_receiver="socket"
    )
    assert (run.source, run.seed, run.emulated) == (asked.source, 5, True)
    assert (found["failed"], found["capped"], found["lost"]) == (None, False, None)
    assert found["tool"].startswith("towline ")


def test_carry_out__without_a_rate_there_is_no_pace(tmp_path: Path) -> None:
    assert contestants.towline_settings(bout(tmp_path, settings=Settings())).pace is None


def test_carry_out__stops_towline_at_the_cap(tmp_path: Path) -> None:
    def transfer(run: Run, on_event: OnEvent, path: veth.Path | None = None) -> dict[str, Any]:
        for seconds in (0.5, 1.5, 2.0, 2.5):
            on_event(Progress(done_bytes=int(1e6 * seconds), total_bytes=10_000_000, seconds=seconds))
        raise AssertionError("it went on")

    found = carry_out(bout(tmp_path, cap_s=2.0), None, transfer)
    assert (found["capped"], found["file_bytes"], found["verified"], found["failed"]) == (True, 2_000_000, None, None)
    assert found["goodput_gbps"] == pytest.approx(0.008)


@pytest.mark.parametrize(
    ("outcome", "failed"),
    [(RunError("sender", "gone"), "The sender of the run ended: gone"), ({"verified": False}, WRONG_BYTES)],
)
def test_carry_out__a_failure_is_a_result(tmp_path: Path, outcome: Any, failed: str) -> None:
    def transfer(run: Run, on_event: OnEvent, path: veth.Path | None = None) -> dict[str, Any]:
        if isinstance(outcome, Mapping):
            return good(run, **outcome)
        raise outcome

    assert carry_out(bout(tmp_path), None, transfer)["failed"] == failed


def test_carry_out__without_permission_there_is_no_point(tmp_path: Path) -> None:
    def transfer(run: Run, on_event: OnEvent, path: veth.Path | None = None) -> dict[str, Any]:
        raise RunError("sender", "no permission", exit_code=PermissionsError.exit_code)

    with pytest.raises(RunError):
        carry_out(bout(tmp_path), None, transfer)


def test_bout__crosses_the_emulator_where_others_do(tmp_path: Path) -> None:
    assert bout(tmp_path, settings=Settings(), emulated=False).impairments() is None
    nothing = bout(tmp_path, settings=Settings(), emulated=True).impairments()
    assert nothing is not None
    assert (nothing.seed, nothing.forward.takes_time(), nothing.forward.loss) == (5, False, 0.0)
    asked = bout(tmp_path).impairments()
    assert asked is not None
    assert (asked.seed, asked.backward.loss) == (5, 0.01)
