# SPDX-License-Identifier: GPL-2.0-only
"""Programs take each other's place on one interface: which runs, which is kept, and what the memory says."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.bpf.conftest import new_pair
from tests.levels import SENDER_TO_RECEIVER, framed
from tests.own_pins import own_folder
from tests.running.conftest import Both, both_programs
from tests.twins import data_packet
from towline.bpf import FOLDER, policy_source
from towline.delivery.pins import Pins
from towline.delivery.xdp import XdpReceiver
from towline.errors import (
    CompileError,
    EndedError,
    LayoutError,
    LoadError,
    PermissionsError,
    SettingsError,
    TowlineError,
    UnsupportedError,
)
from towline.framing import ETHERNET, Numbers
from towline.kernel import bpffs, predecessors
from towline.kernel.attached import Attached, Program
from towline.kernel.identity import Identity
from towline.kernel.live import run_packet
from towline.kernel.loaded import loaded_programs
from towline.kernel.netns import inside
from towline.kernel.objects import xdp_links
from towline.kernel.parking import FIRST_INDEX
from towline.running.places import Place, places
from towline.running.swap import Swapper
from towline.settings import Settings

FIXED, EVERY, TIMED = map(policy_source, ("fixed", "every", "timed"))
ENDED_S = 5.0
SAVES = 8
FITTING = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char _license[] SEC("license") = "GPL";
SEC("xdp") int receiver(struct xdp_md *ctx) { return XDP_PASS; }
"""


@pytest.fixture
def fresh(namespaces: None) -> Iterator[Both]:
    """Programs of this test's own: what runs in their place is whatever it leaves."""
    with both_programs() as made:
        yield made


@pytest.fixture
def place(fresh: Both) -> Place:
    """The receiver's."""
    [found] = [one for one in places() if (one.namespace, one.role) == (fresh.namespace, "receiver")]
    return found


def running(place: Place) -> Program:
    """What is in place."""
    with place.attached() as link:
        return link.program()


def verdict(place: Place, both: Both, session: int, index: int, payload: bytes) -> bytes:
    """A packet of data through the program that is in place: what came out."""
    packet = framed(both.receiver.level, SENDER_TO_RECEIVER, data_packet(session, index, payload))
    with running(place) as program:
        return bytes(run_packet(program.fd, packet).packet)


def test_swap__says_what_it_is(place: Place, fresh: Both) -> None:
    with Swapper(place) as swapper, running(place) as before:
        assert Identity.of(before) == Identity(version=1, source="fixed.bpf.c", flags="")
        swapped = swapper.swap(EVERY, flags=("-O1",))
    assert (swapped.version, swapped.before, swapped.sessions, swapped.effect_s) == (2, 1, (), None)
    with running(place) as after:
        assert Identity.of(after) == Identity(version=2, source="every.bpf.c", flags="-O1")
        assert after.number == swapped.program


def test_swap__memory_lives_on_and_no_packet_is_placed_twice(place: Place, fresh: Both) -> None:
    opened = fresh.receiver.open(window=64, payload_size=100, ack_every=2)
    slots = opened.delivery.slots.rows()
    first, forged = bytes(range(100)), bytes(100)
    with Swapper(place) as swapper:
        for index in range(4):
            verdict(place, fresh, opened.number, index, first)
        for policy in (EVERY, TIMED, FIXED):
            swapper.swap(policy)
            for index in range(4):  # acknowledged by an earlier program; now with other bytes
                verdict(place, fresh, opened.number, index, forged)
        verdict(place, fresh, opened.number, 4, first)
        assert [one.packets for one in swapper.sessions()] == [5]
    assert slots[:5].tobytes() == 5 * first
    assert (int(opened.state["placed"]), int(opened.state["duplicates"])) == (5, 12)
    assert int(opened.state["served_by"]) == 4


def test_swap__no_version_that_a_session_remembers_is_given_again(place: Place, fresh: Both) -> None:
    opened = fresh.receiver.open(window=64, payload_size=100)
    opened.state["served_by"] = 9  # by a program that was taken back
    opened.state["policy"][:] = 77
    with Swapper(place) as swapper:
        assert swapper.swap(EVERY).version == 10
        verdict(place, fresh, opened.number, 0, bytes(100))
    assert 77 not in opened.state["policy"]  # what that one's policy remembered means nothing to this one's


def test_swap__a_successor_takes_no_version_that_one_can_go_back_to(
    namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_folder(monkeypatch) as folder:
        pins = Pins(folder / "persist" / "1-1")
        pins.claim()

        def serving() -> XdpReceiver:
            return XdpReceiver(link, (ETHERNET,), Numbers(), 0, Settings(window=64), pins)

        with inside(namespace):
            link = new_pair(0)[0]
            first = serving()
        [place] = [one for one in places() if one.namespace == namespace]
        with Swapper(place) as swapper:
            assert swapper.swap(EVERY).version == 2
            assert swapper.rollback().version == 1
        first.leave()
        with inside(namespace):
            second = serving()
        assert second.notes == ()  # the same runs as before
        with Swapper(place) as swapper:
            assert swapper.running_version == 3
            assert swapper.rollback().version == 2
        second.leave()
        with inside(namespace):
            third = serving()
        assert third.notes[0].startswith("fixed.bpf.c runs instead of every.bpf.c, which was left here")
        with Swapper(place) as swapper:
            assert swapper.running_version == 4
            assert swapper.rollback().version == 2
        third.leave()
        with inside(namespace), pytest.raises(UnsupportedError, match="--xdp-mode was native and is generic"):
            XdpReceiver(link, (ETHERNET,), Numbers(), 0, Settings(window=64, xdp_mode="generic"), pins)
        with inside(namespace):
            serving().close()
        pins.release()


def test_rollback__goes_back_and_forth_between_two(place: Place) -> None:
    with Swapper(place) as swapper:
        first = swapper.swap(EVERY)
        assert swapper.rollback().version == first.before
    with Swapper(place) as another:  # what can be gone back to outlives who swapped
        assert another.rollback().version == first.version


def test_rollback__to_what_runs_already_is_refused(place: Place, fresh: Both) -> None:
    with Swapper(place) as swapper:
        swapper.swap(EVERY)
        with place.attached() as link:
            link.replace(fresh.receiver.fd)  # as a process does that takes a program back
        with pytest.raises(SettingsError, match="runs already"):
            swapper.rollback()
        assert swapper.running_version == 1
        assert swapper.swap(TIMED).version == 3  # no version is given twice


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("this is not C", CompileError, "error:"),
        (FITTING.replace("int receiver", "int sender"), LoadError, "has no program 'receiver'"),
        (FITTING, LayoutError, "state_version"),
    ],
    ids=["syntax", "name", "layout"],
)
def test_load__what_does_not_fit_changes_nothing(
    place: Place, tmp_path: Path, text: str, error: type[TowlineError], said: str
) -> None:
    source = tmp_path / "mine.bpf.c"
    source.write_text(text)
    with Swapper(place) as swapper:
        before = swapper.running_version
        with pytest.raises(error, match=re.escape(said)):
            swapper.swap(source)
        assert swapper.running_version == before
    assert predecessors.open_previous(place.link) is None


def test_swap__only_in_the_place_of_the_program_that_it_was_made_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Swapper(place) as swapper, Swapper(place) as other:
        load = swapper.load

        def slowly(source: Path, *, flags: Sequence[str] = ()) -> Program:
            new = load(source, flags=flags)
            other.swap(TIMED)
            return new

        monkeypatch.setattr(swapper, "load", slowly)
        with pytest.raises(SettingsError, match=r"somebody else .* nothing was changed: give the command again"):
            swapper.swap(EVERY)
        with running(place) as program:
            assert Identity.of(program) == Identity(version=2, source="timed.bpf.c", flags="")
        assert other.rollback().version == 1  # what the other one has kept is there
        monkeypatch.undo()
        assert swapper.swap(EVERY).version == 3  # the command given again


def test_swap__changes_nothing_where_its_predecessor_cannot_be_kept(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*below: str) -> Path:
        raise PermissionsError("mounting a bpffs", "CAP_SYS_ADMIN")

    monkeypatch.setattr(bpffs, "folder", refused)
    with Swapper(place) as swapper:
        with pytest.raises(PermissionsError, match="mounting a bpffs"):
            swapper.swap(EVERY)
        assert swapper.running_version == 1


def test_swap__can_be_taken_back_after_ctrl_c_while_it_waits_for_the_effect(
    place: Place, fresh: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    fresh.receiver.open()  # or there is no effect to wait for
    with Swapper(place) as swapper:
        monkeypatch.setattr(swapper, "_effect", interrupted)
        with pytest.raises(KeyboardInterrupt):
            swapper.swap(EVERY)
    with Swapper(place) as another:
        assert (another.running_version, another.rollback().version) == (2, 1)


def test_swap__can_be_taken_back_after_ctrl_c_while_the_kernel_is_at_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Attached.replace

    def interrupted(link: Attached, *programs: int) -> bool:
        replace(link, *programs)
        raise KeyboardInterrupt

    with Swapper(place) as swapper, monkeypatch.context() as patch:
        patch.setattr(Attached, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            swapper.swap(EVERY)
    with Swapper(place) as another:
        assert (another.running_version, another.rollback().version) == (2, 1)


def test_put__keeps_nothing_of_a_link_that_has_ended_meanwhile(
    place: Place, fresh: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Attached.replace

    def and_ends(link: Attached, *programs: int) -> bool:
        done = replace(link, *programs)
        with monkeypatch.context() as patch:  # forgets before we have kept, which it cannot know
            patch.setattr(predecessors, "forget", lambda link: None)
            fresh.receiver.close()
        return done

    monkeypatch.setattr(Attached, "replace", and_ends)
    with Swapper(place) as swapper:
        swapper.put(swapper.load(EVERY))
    assert predecessors.open_previous(place.link) is None
    assert not list(bpffs.folder("links").glob(str(place.link)))


def test_put__keeps_nothing_of_a_link_that_had_ended_before(place: Place, fresh: Both) -> None:
    with Swapper(place) as swapper:
        new = swapper.load(EVERY)
        number = swapper._running()
        fresh.receiver.close()
        with pytest.raises(EndedError):
            swapper.put(new, instead_of=number)
    assert not list(bpffs.folder("links").glob(str(place.link)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "	__u32 index;\n	__u16 length; /* what the header said */\n",
            "	__u16 length;\n	__u32 index;\n",
            "record.index stands at byte 0",
        ),
        ("	__u32 slot;\n	__u32 word; ", "	__u32 word;\n	__u32 slot; ", "want.slot stands at byte 0"),
    ],
    ids=["record", "want"],
)
def test_load__structs_that_are_no_maps_values_are_compared(
    place: Place, tmp_path: Path, old: str, new: str, said: str
) -> None:
    for path in (*FOLDER.glob("*.h"), EVERY):
        (tmp_path / path.name).write_text(path.read_text())
    state = (FOLDER / "state.h").read_text()
    assert state.count(old) == 1, "state.h has changed: say anew what to alter"
    (tmp_path / "state.h").write_text(state.replace(old, new))
    with Swapper(place) as swapper, pytest.raises(LayoutError, match=said):
        swapper.load(tmp_path / EVERY.name)


def test_swap__lets_go_of_what_nobody_can_go_back_to(place: Place, tmp_path: Path) -> None:
    def parked() -> int:
        return len({link.number for link in xdp_links() if link.ifindex >= FIRST_INDEX})

    source, others = tmp_path / "mine.bpf.c", parked()
    with Swapper(place) as swapper:
        gone = []
        for turn in range(SAVES):
            source.write_text(f"{EVERY.read_text()}\n/* {turn} */\n" if turn < 3 else EVERY.read_text())
            gone.append(swapper.swap(source).program)
            assert parked() - others <= 3
        assert swapper.rollback().version == SAVES  # the last but one: the first was there before
    deadline = time.monotonic() + ENDED_S  # the kernel lets go of a program from a work queue
    while (left := set(gone[:-2]) & set(loaded_programs())) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left == set()


def test_swap__the_headers_beside_a_policy_are_its_own(place: Place, tmp_path: Path) -> None:
    for path in (*FOLDER.glob("*.h"), EVERY):
        (tmp_path / path.name).write_text(path.read_text())
    before = (FOLDER / "state.h").read_text()
    (tmp_path / "state.h").write_text(before.replace("#define STATE_VERSION ", "#define STATE_VERSION 100 + "))
    with (
        Swapper(place) as swapper,
        pytest.raises(LayoutError, match=r"state_version is \d in the running program and 10\d"),
    ):
        swapper.load(tmp_path / EVERY.name)
