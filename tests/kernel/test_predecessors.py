# SPDX-License-Identifier: GPL-2.0-only
"""Programs that were replaced: one for each link, as long as the link lives, and found by its number."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.own_pins import keep, own_folder
from towline.kernel import bpffs, predecessors
from towline.kernel.attach import attach
from towline.kernel.objects import XdpLink, link_info, open_program, program_info
from towline.kernel.program import Object

PROGRAMS = """
SEC("xdp") int tl_pass(struct xdp_md *ctx) { return XDP_PASS; }
SEC("xdp") int tl_drop(struct xdp_md *ctx) { return XDP_DROP; }
"""
FIRST, SECOND, THIRD = 4_000_000_001, 4_000_000_002, 40  # links that there are not; one is how another begins
ENDED_S = 5.0
Alive = Callable[..., None]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where they are kept, below a folder of the test's own."""
    with own_folder(monkeypatch) as path:
        yield path / "links"


@pytest.fixture
def programs(build: Callable[[str], Path]) -> Iterator[Object]:
    with Object(build(PROGRAMS)) as loaded:
        loaded.load()
        yield loaded


def number_of(program_fd: int) -> int:
    return int(program_info(program_fd).id)


def previous(link: int) -> int | None:
    """The number of the program that is kept."""
    fd = predecessors.open_previous(link)
    if fd is None:
        return None
    try:
        return number_of(fd)
    finally:
        os.close(fd)


def is_loaded(number: int) -> bool:
    try:
        os.close(open_program(number))
    except FileNotFoundError:
        return False
    return True


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> Alive:
    """Say which links there are."""

    def those(*numbers: int) -> None:
        links = [XdpLink(number=number, program=1, ifindex=1) for number in numbers]
        monkeypatch.setattr(predecessors, "xdp_links", lambda: links)

    return those


def kept(folder: Path) -> list[str]:
    """All there is, as paths below the folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_keep__is_opened_by_the_number_of_its_link(folder: Path, programs: Object) -> None:
    keep(FIRST, programs.program("tl_pass"))
    keep(SECOND, programs.program("tl_drop"))
    assert previous(FIRST) == number_of(programs.program("tl_pass"))
    assert previous(SECOND) == number_of(programs.program("tl_drop"))
    assert kept(folder) == sorted(f"{n}{end}" for n in (FIRST, SECOND) for end in ("", "/previous"))
    assert stat.S_IMODE((folder / str(FIRST)).stat().st_mode) == 0o700


def test_keep__the_later_one_stands_instead_of_the_earlier(folder: Path, programs: Object) -> None:
    keep(FIRST, programs.program("tl_pass"))
    keep(FIRST, programs.program("tl_drop"))
    assert previous(FIRST) == number_of(programs.program("tl_drop"))
    assert kept(folder) == [str(FIRST), f"{FIRST}/previous"]


def test_keep__the_earlier_one_is_there_until_the_later_one_is(
    folder: Path, programs: Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(fd: int, path: Path) -> None:
        assert previous(FIRST) == number_of(programs.program("tl_pass"))
        raise PermissionError(path)

    keep(FIRST, programs.program("tl_pass"))
    monkeypatch.setattr(bpffs, "pin", refused)
    with pytest.raises(PermissionError):
        keep(FIRST, programs.program("tl_drop"))
    assert previous(FIRST) == number_of(programs.program("tl_pass"))


def test_keeping__keeps_when_it_is_told_and_leaves_nothing_else(folder: Path, programs: Object) -> None:
    keep(FIRST, programs.program("tl_pass"))
    with predecessors.keeping(FIRST, programs.program("tl_drop")) as now:
        assert previous(FIRST) == number_of(programs.program("tl_pass"))
        now()
        assert previous(FIRST) == number_of(programs.program("tl_drop"))
    assert kept(folder) == [str(FIRST), f"{FIRST}/previous"]
    with predecessors.keeping(FIRST, programs.program("tl_pass")):
        pass  # the program was not replaced after all
    assert previous(FIRST) == number_of(programs.program("tl_drop"))
    assert kept(folder) == [str(FIRST), f"{FIRST}/previous"]


def test_keeping__what_was_forgotten_meanwhile_stays_forgotten(folder: Path, programs: Object) -> None:
    with predecessors.keeping(FIRST, programs.program("tl_drop")) as now:
        predecessors.forget(FIRST)  # the link has ended
        now()
    assert not folder.parent.exists()


def test_keep__keeps_a_program_that_nobody_else_holds(folder: Path, build: Callable[[str], Path]) -> None:
    with Object(build(PROGRAMS)) as loaded:
        loaded.load()
        number = number_of(loaded.program("tl_pass"))
        keep(FIRST, loaded.program("tl_pass"))
    assert previous(FIRST) == number
    predecessors.forget(FIRST)
    deadline = time.monotonic() + ENDED_S  # the kernel lets go of a program from a work queue
    while is_loaded(number) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_loaded(number)


def test_open_previous__is_none_where_nothing_was_replaced(folder: Path, programs: Object) -> None:
    assert previous(FIRST) is None
    keep(FIRST, programs.program("tl_pass"))
    assert previous(SECOND) is None


def test_open_previous__makes_nothing(folder: Path) -> None:
    assert previous(FIRST) is None
    assert not folder.parent.exists()


def test_forget__leaves_no_folder_and_the_others(folder: Path, programs: Object) -> None:
    for link in (FIRST, SECOND):
        keep(link, programs.program("tl_pass"))
    predecessors.forget(FIRST)
    assert previous(FIRST) is None
    assert kept(folder) == [str(SECOND), f"{SECOND}/previous"]
    predecessors.forget(SECOND)
    assert not folder.parent.exists()  # the last one takes the folders above with it


def test_forget__nothing_makes_nothing(folder: Path, alive: Alive) -> None:
    alive(FIRST)
    predecessors.forget(FIRST)
    assert predecessors.forget_ended() == []
    assert not folder.parent.exists()


def test_forget_ended__removes_exactly_those_of_links_that_are_no_more(
    folder: Path, programs: Object, alive: Alive
) -> None:
    for link in (FIRST, SECOND, THIRD):
        keep(link, programs.program("tl_pass"))
    alive(SECOND, THIRD * 10)
    gone = predecessors.forget_ended()
    assert sorted(gone) == sorted(folder / str(link) for link in (FIRST, THIRD))
    assert kept(folder) == [str(SECOND), f"{SECOND}/previous"]
    assert previous(SECOND) == number_of(programs.program("tl_pass"))
    assert predecessors.forget_ended() == []


def test_forget_ended__one_that_was_given_up_half_made(folder: Path, programs: Object, alive: Alive) -> None:
    keep(FIRST, programs.program("tl_pass"))
    (folder / str(FIRST) / "previous").rename(folder / str(FIRST) / "previous-1")  # killed between the steps of `keep`
    assert previous(FIRST) is None
    alive()
    assert predecessors.forget_ended() == [folder / str(FIRST)]
    assert not folder.parent.exists()


def test_link__forgets_its_predecessor_when_it_is_closed(folder: Path, programs: Object, pair: tuple[int, int]) -> None:
    with attach(programs.program("tl_pass"), pair[0]) as link:
        number = link_info(link.fd).id
        link.replace(programs.program("tl_drop"))
        keep(number, programs.program("tl_pass"))
        assert previous(number) == number_of(programs.program("tl_pass"))
        assert predecessors.forget_ended() == []  # it lives
    assert previous(number) is None
    assert not folder.parent.exists()


def test_attach__forgets_those_of_links_that_have_ended(folder: Path, programs: Object, pair: tuple[int, int]) -> None:
    with attach(programs.program("tl_pass"), pair[0]) as link:
        number = link_info(link.fd).id
        for one in (number, FIRST):
            keep(one, programs.program("tl_drop"))
        with attach(programs.program("tl_drop"), pair[1]):
            assert kept(folder) == [str(number), f"{number}/previous"]
