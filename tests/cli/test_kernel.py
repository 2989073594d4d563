# SPDX-License-Identifier: GPL-2.0-only
"""`towline kernel`: what it prints, for people and for programs, of a transfer that runs; and what it refuses."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Typed, moves
from tests.long_transfer import LongTransfer
from tests.own_pins import keep, own_folder
from towline.bpf import policy_source
from towline.cli import kernel as kernel_module
from towline.cli.swapping import place_typed
from towline.delivery.pins import Pins
from towline.errors import SettingsError
from towline.kernel.memory import Map
from towline.kernel.objects import open_program
from towline.parameter import ROLES, Role
from towline.running import places as places_module
from towline.running.places import Place

EVERY, TIMED = (str(policy_source(name)) for name in ("every", "timed"))


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others on this machine may have a transfer running."""
    monkeypatch.setattr(places_module, "xdp_links", list)


# ---- list and show


def test_list__both_sides(running: LongTransfer, typed: Typed) -> None:
    found = {one["interface"]: one for one in typed.json("kernel", "list")}
    for role in ROLES:
        one, place = found[running.name(role)], running.place(role)
        assert (one["role"], one["link"], one["program"]) == (role, place.link, place.program)
        assert one["instructions"] > 100
        assert (one["mode"], one["flags"]) == ("native", "")
        assert len(one["sessions"]) == 1
    numbers = {found[running.name(role)]["sessions"][0]["number"] for role in ROLES}
    assert len(numbers) == 1  # a session has one number at both ends


def test_list__is_a_row_for_each_side(running: LongTransfer, typed: Typed) -> None:
    rows = typed("kernel", "list").splitlines()
    for role in ROLES:
        [row] = [row for row in rows if running.name(role) in row]
        cells = [cell.strip() for cell in row.split("│")]
        assert role in cells
        assert any(cell.endswith(f"(program {running.place(role).program})") for cell in cells)
        assert {"receiver": "fixed.bpf.c", "sender": "sender.bpf.c"}[role] in cells


@pytest.mark.usefixtures("nothing_runs")
def test_list__where_nothing_runs(typed: Typed) -> None:
    assert typed.json("kernel", "list") == []
    assert typed("kernel", "list").startswith("no program of towline runs here")


def test_list__leaves_out_what_has_just_ended(
    running: LongTransfer, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = running.place("receiver")
    ended = Place(namespace="", interface="gone0", mode="native", link=4_000_000_001, program=1, role="receiver")
    monkeypatch.setattr(kernel_module, "places", lambda: [ended, there])
    assert [one["interface"] for one in json.loads(typed("kernel", "list", "--json"))] == [there.name]


@pytest.mark.parametrize("role", ROLES)
def test_show__what_is_on_an_interface(running: LongTransfer, typed: Typed, role: Role) -> None:
    shown = typed.json("kernel", "show", running.name(role))
    assert (shown["interface"], shown["role"]) == (running.name(role), role)
    assert shown["constants"]["program_version"] == shown["version"]
    [session] = shown["sessions"]
    assert session["packets"] > 0
    assert session["counters"]["acks"] > 0
    assert (session["rtt_us"] is None) == (role == "receiver")


def test_show__tells_no_secret(running: LongTransfer, typed: Typed) -> None:
    with running.place("sender").attached() as link, link.program() as program:
        secrets = [name for name in program.constants() if "secret" in name]
    assert secrets  # there is something to hide
    shown = typed("kernel", "show", running.name("sender")) + typed("kernel", "show", running.name("sender"), "--json")
    assert "const program_version" in shown
    assert not [name for name in secrets if name in shown]


def test_show__is_readable(running: LongTransfer, typed: Typed) -> None:
    number = typed.json("kernel", "show", running.name("receiver"))["sessions"][0]["number"]
    shown = typed("kernel", "show", running.name("receiver"))
    assert running.name("receiver") in shown
    assert f"session {number:x}" in shown
    for name in ("state_version", "served_by", "duplicates", "full_nacks"):
        assert name in shown


def test_show__by_the_number_of_a_session(running: LongTransfer, typed: Typed) -> None:
    number = typed.json("kernel", "show", running.name("sender"))["sessions"][0]["number"]
    for role in ROLES:
        assert place_typed(f"{number:x}", role).name == running.name(role)
    with pytest.raises(SettingsError, match=f"session {number:x} is seen at") as caught:  # both ends are here
        place_typed(f"{number:x}")
    assert all(f"{running.name(role)} ({role})" in str(caught.value) for role in ROLES)


def test_show__a_table_of_numbers_is_no_number(running: LongTransfer, typed: Typed) -> None:
    constants = typed.json("kernel", "show", running.name("receiver"))["constants"]
    assert "frame_sizes" not in constants
    assert constants["udp_port"] == 15010


# ---- swap and rollback


def test_swap__and_back_in_words(running: LongTransfer, typed: Typed) -> None:
    place = running.name("receiver")
    before = typed.json("kernel", "show", place)
    number = before["sessions"][0]["number"]
    told = typed("kernel", "swap", place, "receiver", EVERY)
    now = typed.json("kernel", "show", place)
    assert now["version"] > before["version"]
    assert now["link"] == before["link"]
    assert f"{place}: version {now['version']} (program {now['program']}) instead of version" in told
    assert f"instead of version {before['version']}, sessions touched: {number:x}\n" in told
    assert "in effect after" in told
    told = typed("kernel", "rollback", place)
    assert f"{place}: version {before['version']} (program {before['program']}) instead of" in told
    again = typed.json("kernel", "show", place)
    assert (again["version"], again["program"]) == (before["version"], before["program"])
    assert moves(typed, place)


def test_swap__by_the_number_of_a_session_and_its_role(running: LongTransfer, typed: Typed) -> None:
    number = typed.json("kernel", "show", running.name("receiver"))["sessions"][0]["number"]
    swapped = typed.json("kernel", "swap", f"{number:x}", "receiver", TIMED)
    assert swapped["place"]["interface"] == running.path.receiver.interface
    assert swapped["place"]["namespace"] == running.path.receiver.namespace
    assert swapped["sessions"] == [number]
    assert running.place("receiver").program == swapped["program"]


def test_rollback__twice_is_where_one_was(running: LongTransfer, typed: Typed) -> None:
    place = running.name("receiver")
    swapped = typed.json("kernel", "swap", place, "receiver", EVERY)
    back = typed.json("kernel", "rollback", place)
    assert (back["before"], back["version"]) == (swapped["version"], swapped["before"])
    forth = typed.json("kernel", "rollback", place)
    assert (forth["version"], forth["program"]) == (swapped["version"], swapped["program"])


def test_rollback__where_nothing_was_replaced(running: LongTransfer, typed: Typed) -> None:
    before = running.place("sender").program  # nobody in this file replaces it
    said = typed.refused("kernel", "rollback", running.name("sender"), code=2)
    assert f"there is no earlier program of {running.name('sender')}" in said
    assert running.place("sender").program == before


# ---- what is refused


@pytest.mark.parametrize(
    "arguments",
    [("show",), ("rollback",), ("swap", "receiver", EVERY), ("watch", "receiver", EVERY)],
    ids=lambda one: one[0],
)
def test_kernel__an_unknown_interface_is_answered_with_those_that_there_are(
    running: LongTransfer, typed: Typed, arguments: tuple[str, ...]
) -> None:
    said = typed.refused("kernel", arguments[0], "nowhere0", *arguments[1:], code=2)
    assert "on 'nowhere0'; there is one on " in said
    assert running.name("receiver") in said


@pytest.mark.usefixtures("nothing_runs")
def test_kernel__an_interface_where_nothing_runs(typed: Typed) -> None:
    assert "nor anywhere else here" in typed.refused("kernel", "show", "eth0", code=2)


@pytest.mark.parametrize("command", ["swap", "watch"])
def test_kernel__the_wrong_role_is_answered_with_the_right_interface(
    running: LongTransfer, typed: Typed, command: str
) -> None:
    before = running.place("receiver").program
    said = typed.refused("kernel", command, running.name("receiver"), "sender", EVERY, code=2)
    assert f"no sender's program on '{running.name('receiver')}'; there is one on " in said
    assert running.name("sender") in said
    assert running.place("receiver").program == before


@pytest.mark.parametrize("command", ["swap", "watch"])
def test_kernel__a_file_that_is_not_there(running: LongTransfer, typed: Typed, tmp_path: Path, command: str) -> None:
    for file in (tmp_path / "absent.bpf.c", tmp_path):
        said = typed.refused("kernel", command, running.name("receiver"), "receiver", str(file), code=10)
        assert f"{file}: there is no such file" in said


@pytest.mark.parametrize("command", ["swap", "watch"])
def test_kernel__flags_that_no_shell_would_take(running: LongTransfer, typed: Typed, command: str) -> None:
    said = typed.refused("kernel", command, running.name("receiver"), "receiver", EVERY, "--clang-flags", '"', code=2)
    assert "No closing quotation" in said


def test_swap__a_role_that_there_is_not(running: LongTransfer, typed: Typed) -> None:
    assert "sideways" in typed.refused("kernel", "swap", running.name("receiver"), "sideways", EVERY, code=2)


def test_swap__a_file_with_the_other_sides_program(running: LongTransfer, typed: Typed) -> None:
    before = running.place("sender").program
    said = typed.refused("kernel", "swap", running.name("sender"), "sender", EVERY, code=3)
    assert "every.bpf.c has no program 'sender', which is to be replaced; it has receiver" in said
    assert running.place("sender").program == before


# ---- clean


def test_clean__removes_what_has_ended_and_nothing_else(
    running: LongTransfer, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, place = 4_000_000_001, running.place("receiver")

    def leave(folder: Path) -> None:
        fd = open_program(place.program)
        for link in (ended, place.link):
            keep(link, fd)
        os.close(fd)
        (folder / "persist" / "1-1").mkdir(parents=True)  # nobody claims it

    # In a folder of the test's own: other transfers on this machine may have been killed on purpose.
    with own_folder(monkeypatch) as folder:
        leave(folder)
        serving = Pins(folder / "persist" / "1-2")
        serving.claim()  # as the process does that serves it
        with Map.create_array("tl_something", 8) as something:
            serving.keep("transfer-1", something)
        assert sorted(typed.json("kernel", "clean")) == [f"links/{ended}", "persist/1-1"]
        kept = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*/*"))
        assert kept == [f"links/{place.link}/previous", "persist/1-2/transfer-1"]
        leave(folder)
        assert sorted(typed("kernel", "clean").splitlines()) == [f"removed links/{ended}", "removed persist/1-1"]
        assert typed("kernel", "clean") == "nothing is left of what has ended\n"
        assert typed.json("kernel", "clean") == []
        serving.release()
        assert typed.json("kernel", "clean") == ["persist/1-2"]  # as if it had been killed


# ---- help


@pytest.mark.parametrize("command", ["list", "show", "swap", "rollback", "watch", "clean"])
def test_kernel__help_needs_nothing(typed: Typed, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    looked: list[object] = []
    looking: Callable[[], object] = lambda: looked.append(1)  # noqa: E731
    monkeypatch.setattr(places_module, "xdp_links", looking)
    assert f"Usage: towline kernel {command}" in typed("kernel", command, "--help")
    assert looked == []
