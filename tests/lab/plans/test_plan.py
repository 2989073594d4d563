# SPDX-License-Identifier: GPL-2.0-only
"""Plans: what they mean, what a quick form leaves, and that what cannot be is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from towline.errors import SettingsError
from towline.lab.plans.plan import Plan, Plot, parse, read

ACK = """# plans/ack.toml: does acknowledging less often help, and until when?
environment = "veth"
duration = "2s"
repetitions = 20
baseline = { ack_every = 1 }
[axes]
ack_every = [1, 2, 4, 8, 16, 32, 64]
loss      = ["0%", "0.1%", "1%", "10%"]
[plot.goodput]
x = "ack_every"
y = "goodput_gbps"
line = "loss"
"""
RATES = """size = "1M"
[[cells]]
rate = "100mbit"
pace = "98mbit"
[[cells]]
pace = "196mbit"
rate = "200mbit"
"""


def small(axes: str = "acc = [1, 2]", *, top: str = "", settings: str = "", more: str = "") -> str:
    """A plan whose `top` begins on line 2, and without more lines its [settings] on 3 and its [axes] on 5."""
    return f'duration = "1s"\n{top}\n[settings]\n{settings}\n[axes]\n{axes}\n{more}\n'


def plan(text: str, **how: bool | int) -> Plan:
    return parse(text, "p.toml", **how)  # type: ignore[arg-type]


def test_parse__the_plan_of_the_manual() -> None:
    found = parse(ACK, "plans/ack.toml")
    assert (found.name, found.question) == ("ack", "does acknowledging less often help, and until when?")
    assert (found.duration_us, found.repetitions, found.seed) == (2_000_000, 20, None)
    assert [cell.number for cell in found.cells] == list(range(28))
    assert found.cells[6].labels == {"ack_every": "2", "loss": "1%"}
    assert found.cells[6].values == {"ack_every": 2, "loss": 0.01}
    assert (found.cells[6].settings.ack_every, found.cells[6].settings.loss) == (2, (0.01, 0.01))
    assert found.plots == (Plot(name="goodput", y="goodput_gbps", x="ack_every", line="loss"),)
    assert found.axes["ack_every"].title == "ack every (packets)"
    assert found.emulated


def test_parse__a_baseline_has_the_cells_other_values() -> None:
    found = plan(ACK)
    baseline = found.baseline_of(found.cells[6])
    assert baseline is not None
    assert baseline.labels == {"ack_every": "1", "loss": "1%"}
    assert found.baseline_of(baseline) is None


def test_parse__without_plots_goodput_over_the_first_axis() -> None:
    assert plan(small()).plots == (Plot(name="goodput", y="goodput_gbps", x="ack_every"),)
    assert plan(small("acc = [1]\nlanes = [1, 2]")).plots[0].line == "lanes"
    assert plan(RATES).plots[0].line is None  # pace goes with rate: it is no line of its own


def test_parse__listed_cells_instead_of_a_product_and_further_to_it() -> None:
    found = plan(RATES)
    assert [cell.labels for cell in found.cells] == [
        {"rate": "100mbit", "pace": "98mbit"},
        {"rate": "200mbit", "pace": "196mbit"},
    ]
    assert [cell.size_bytes for cell in found.cells] == [1 << 20, 1 << 20]
    more = plan(small(more="[[cells]]\nack_every = 64"))
    assert [cell.labels["ack_every"] for cell in more.cells] == ["1", "2", "64"]


def test_parse__sizes_and_arms_change_no_setting() -> None:
    found = plan('[axes]\nsize = ["1K", "1M"]\narm = ["one", "other"]')
    assert [cell.size_bytes for cell in found.cells] == [1024, 1024, 1 << 20, 1 << 20]
    assert len({cell.settings for cell in found.cells}) == 1
    assert found.duration_us is None
    assert not found.emulated


def test_parse__settings_hold_for_all_and_axes_go_on_top() -> None:
    found = plan(small('loss_backward = ["0%", "5%"]', settings='loss = "1%"\nsink = "memory"'))
    assert [cell.settings.loss for cell in found.cells] == [(0.01, 0.0), (0.01, 0.05)]
    assert {cell.settings.sink for cell in found.cells} == {"memory"}


def test_parse__quick_keeps_the_ends_the_middle_and_the_baseline() -> None:
    found = plan(ACK.replace("ack_every = 1 }", "ack_every = 2 }"), quick=True)
    assert list(dict.fromkeys(cell.labels["ack_every"] for cell in found.cells)) == ["1", "2", "8", "64"]
    assert list(dict.fromkeys(cell.labels["loss"] for cell in found.cells)) == ["0%", "1%", "10%"]
    assert (found.duration_us, found.repetitions) == (600_000, 2)
    assert plan(ACK, quick=True, repetitions=5).repetitions == 5
    assert plan(RATES.replace("1M", "64M"), quick=True).cells[0].size_bytes == 16 << 20
    assert plan('[axes]\nsize = ["64M"]', quick=True).cells[0].size_bytes == 64 << 20


# What cannot be: the line that is named, and words of what is said.
REFUSED = {
    "misspelt axis": (small("ack_evry = [1]"), 6, r"did you mean ack_every\?.*window"),
    "misspelt setting": (small(settings='sinks = "memory"'), 4, r"did you mean sink\?"),
    "misspelt name": (small(top="repetition = 3"), 2, r"did you mean repetitions\?.*duration"),
    "setting in the wrong place": (small(top="ack_every = 3"), 2, r"stands under \[settings\]"),
    "misspelt table": (small(more="[plott.a]"), 7, r"did you mean plot\?"),
    "misspelt name of a plot": (small(more='[plot.a]\nz = "loss"'), 8, "kind, x, y, line"),
    "out of range": (small("acc = [1,\n2,\n0]"), 8, "ack_every is 0: it must be from 1 to 16384 packets"),
    "out of range in settings": (small(settings="window = 100"), 4, "a power of two from 64 to 65536"),
    "pace": (small('pace = ["1kbit"]'), 6, "pace is 1000: it must be from 8kbit to 400gbit"),
    "rate": (small('rate = ["1000gbit"]'), 6, "from 8kbit to 100gbit"),
    "no unit": (small("delay = [10]"), 6, "write 10us, 10ms or 10s"),
    "wrong type": (small("loss = [[1]]"), 6, "a value is a number"),
    "environment": (small(top='environment = "moon"'), 2, "it must be veth"),
    "delivery without XDP": (
        small('datapath = ["ebpf",\n"socket"]', settings='delivery = "ring"'),
        7,
        "delivery needs XDP.*in the cell datapath = socket",
    ),
    "jitter above delay": (small('jitter = ["1ms",\n"5ms"]', settings='delay = "2ms"'), 7, "needs a delay of as much"),
    "queue without rate": (small(settings='queue = "1M"'), 4, "a queue needs a rate"),
    "consumer without ring": (small("consumer_delay = [5]"), 6, "consumer_delay_us needs delivery ring"),
    "payload beyond the level": (
        small('level = ["ethernet",\n"udp6"]', settings="pts = 3370"),
        7,
        "at level udp6: payload_size is from 1 to 3322",
    ),
    "block in a small window": (small("window = [64]", settings="pts = 1"), 6, "is too small"),
    "ring without ring": (small('ring_size = ["1M"]'), 6, 'changes nothing.*delivery = "ring"'),
    "bursts without loss": (small("loss_burst = [1, 2]"), 6, "changes nothing.*a loss"),
    "flags without emulator": (small('clang_flags_emulator = ["-O1"]'), 6, "changes nothing.*an impairment"),
    "no TOML": (small("acc = [1, 2"), 7, "this is not TOML"),
    "named twice": (small("acc = [1]\nacc = [2]"), 7, "this is not TOML: Cannot overwrite"),
    "baseline of no value": (small(top="baseline = { acc = 3 }"), 2, "ack_every is never 3.*: 1, 2"),
    "baseline of no axis": (small(top="baseline = { loss = 0 }"), 2, "There are: ack_every"),
    "baseline without partner": (
        'baseline = { rate = "100mbit" }\n' + RATES,
        1,
        "no cell rate = 100mbit, pace = 196mbit to compare with",
    ),
    "plot over no axis": (small(more='[plot.a]\nx = "loss"'), 8, "no 'loss' here.*There are: ack_every"),
    "plot over itself": (small(more='[plot.a]\nx = "acc"\nline = "acc"'), 9, "is x already"),
    "unknown y": (small(more='[plot.a]\ny = "speed"'), 8, "y is 'speed'.*goodput_gbps, seconds"),
    "unknown y over time": (small(more='[plot.a]\nkind = "series"\ny = "seconds"'), 9, "goodput_gbps, rtt_us"),
    "time is x": (small(more='[plot.a]\nkind = "series"\nx = "acc"'), 9, "leave x out"),
    "unknown kind": (small(more='[plot.a]\nkind = "pie"'), 8, "line, distribution, series"),
    "plot that is no name of a file": (small(more='[plot."../a"]'), 7, "names a file"),
    "plot that is no table": ('plot = 3\nduration = "1s"\n[axes]\nacc = [1]', 1, "plot is a table"),
    "duration with sizes": (small('size = ["1K"]'), 1, "the size is an axis"),
    "duration and size": (small(top='size = "1M"'), 2, "either duration"),
    "neither": ("[axes]\nacc = [1]", 1, "either duration"),
    "short duration": (small().replace("1s", "0.4s"), 1, "from 500ms to 3600s.*short_transfers"),
    "duration of another type": (small().replace('"1s"', "true"), 1, "not a text"),
    "no repetitions": (small(top="repetitions = 0"), 2, "a whole number from 1 to 10000"),
    "half a repetition": (small(top="repetitions = 1.5"), 2, "a whole number"),
    "negative seed": (small(top="seed = -1"), 2, "a whole number from 0"),
    "no switch": (small(top="short_transfers = 1"), 2, "true or false"),
    "empty axis": (small("acc = []"), 6, "at least one value"),
    "axis that is no list": (small("acc = 3"), 6, "at least one value"),
    "value twice": (small('pts = [1024,\n"1K"]'), 7, "payload_size has the value 1K twice"),
    "axis twice": (small("acc = [1]\nack_every = [2]"), 7, "another name of ack_every"),
    "axes that overlap": (small('loss = ["1%"]\nloss_forward = ["2%"]'), 7, "says again what loss says"),
    "settings that overlap": (
        small(settings='datapath = "ebpf"\ndatapath_sender = "socket"'),
        5,
        "says again what datapath says",
    ),
    "setting that is varied": (small(settings="ack_every = 4"), 4, "would never hold"),
    "setting that is none": (small(settings='size = "1M"'), 4, "size is no setting"),
    "nothing varied": ('duration = "1s"\n[axes]', 2, "nothing is varied"),
    "cells of different axes": (RATES.replace('pace = "196mbit"\n', ""), 5, "the same axes.*rate, pace"),
    "cell twice": (small(more="[[cells]]\nacc = 2"), 7, "twice: 2"),
    "too many cells": (
        small(f"window = [64, 128]\nport = {list(range(1, 101))}\nethertype = {list(range(1, 101))}"),
        5,
        "more than 10000 cells",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_parse__what_cannot_be_is_refused_with_its_line(case: str) -> None:
    text, line, words = REFUSED[case]
    for quick in (False, True):
        with pytest.raises(SettingsError, match=rf"(?s)^p\.toml:{line}: .*{words}") as caught:
            plan(text, quick=quick)
        assert "--" not in str(caught.value)  # a plan has no options


def test_parse__repetitions_of_the_command_line_have_limits() -> None:
    assert plan(small(), repetitions=3).repetitions == 3
    with pytest.raises(SettingsError, match="--repetitions is 0: it must be from 1"):
        plan(small(), repetitions=0)


def test_read__says_what_there_is_instead(tmp_path: Path) -> None:
    (tmp_path / "there.toml").write_text(small())
    assert read(tmp_path / "there.toml").name == "there"
    with pytest.raises(SettingsError, match=r"no plan to read here \(No such file.*there\.toml"):
        read(tmp_path / "other.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"binary\.toml:1: this is not TOML"):
        read(tmp_path / "binary.toml")
