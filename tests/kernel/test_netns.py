# SPDX-License-Identifier: GPL-2.0-only
"""Network namespaces: which can be found, and a thread that goes into one and comes back, whatever happens there."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from pyroute2 import netns as named_ones

from towline.errors import PermissionsError
from towline.kernel import netns

_number = count()


def here() -> int:
    """The namespace of this thread, by its number."""
    return Path("/proc/thread-self/ns/net").stat().st_ino


def descriptors() -> int:
    """How many of them this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def named() -> Iterator[Path]:
    """A namespace with a name, which the test may remove."""
    name = f"tltest{os.getpid()}-n{next(_number)}"
    named_ones.create(name)
    yield netns.NAMED / name
    if (netns.NAMED / name).exists():
        named_ones.remove(name)


@pytest.fixture
def lodger() -> Iterator[subprocess.Popen[str]]:
    """A process in a namespace of its own that has no name."""
    with subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdin is not None
        assert one.stdout is not None
        one.stdin.write("there\n")
        one.stdin.flush()
        assert one.stdout.readline() == "there\n"  # it has become cat, and so is in its namespace
        yield one
        one.kill()


def test_found__those_with_a_name(named: Path) -> None:
    assert netns.found()[named.name] == named


def test_found__our_own_has_the_empty_name(named: Path) -> None:
    assert netns.found()[""].stat().st_ino == here()
    with netns.inside(named):
        found = netns.found()
        assert found[""].stat().st_ino == named.stat().st_ino
        assert named.name not in found  # one name for each: it is ours now


def test_found__one_without_a_name_is_called_after_its_process(lodger: subprocess.Popen[str]) -> None:
    assert netns.found()[f"pid:{lodger.pid}"] == Path(f"/proc/{lodger.pid}/ns/net")
    lodger.kill()
    lodger.wait()
    assert f"pid:{lodger.pid}" not in netns.found()


def test_found__a_process_in_one_with_a_name_adds_none(named: Path) -> None:
    with netns.inside(named):
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    try:
        assert Path(f"/proc/{child.pid}/ns/net").stat().st_ino == named.stat().st_ino
        found = netns.found()
        assert named.name in found
        assert f"pid:{child.pid}" not in found
    finally:
        child.communicate()


def test_found__leaves_out_what_ends_while_we_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What has ended between the listing and the look is a name behind which there is nothing.
    (tmp_path / "ended").symlink_to(tmp_path / "nowhere")
    monkeypatch.setattr(netns, "NAMED", tmp_path)
    found = netns.found()
    assert "ended" not in found
    assert "" in found


def test_found__where_nobody_ever_made_one_with_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "NAMED", tmp_path / "absent")
    assert netns.found()[""].stat().st_ino == here()


def test_inside__goes_there_and_comes_back(named: Path) -> None:
    home = here()
    with netns.inside(named):
        assert here() == named.stat().st_ino != home
    assert here() == home


def test_inside__by_a_name(named: Path) -> None:
    with netns.inside(named.name):
        assert here() == named.stat().st_ino


def test_inside__comes_back_from_an_error(named: Path) -> None:
    home, before = here(), descriptors()
    with pytest.raises(ZeroDivisionError), netns.inside(named):
        raise ZeroDivisionError
    assert (here(), descriptors()) == (home, before)


def test_inside__comes_back_from_one_that_ends_meanwhile(named: Path) -> None:
    home = here()
    with netns.inside(named):
        named_ones.remove(named.name)
        assert here() != home  # whoever is in it keeps it
    assert here() == home


def test_inside__of_inside(named: Path, lodger: subprocess.Popen[str]) -> None:
    home, theirs = here(), Path(f"/proc/{lodger.pid}/ns/net")
    with netns.inside(named):
        with netns.inside(theirs):
            assert here() == theirs.stat().st_ino
        assert here() == named.stat().st_ino
    assert here() == home


def test_inside__moves_no_other_thread(named: Path) -> None:
    home = here()
    entered, seen = threading.Event(), threading.Event()
    theirs: list[int] = []

    def look() -> None:
        entered.wait(10)
        theirs.append(here())
        seen.set()

    thread = threading.Thread(target=look)
    thread.start()
    with netns.inside(named):
        entered.set()
        assert seen.wait(10)
    thread.join()
    assert theirs == [home]


def test_inside__one_that_is_gone(named: Path) -> None:
    home, before = here(), descriptors()
    named_ones.remove(named.name)
    with pytest.raises(FileNotFoundError) as caught, netns.inside(named):
        pass
    assert caught.value.filename == str(named)  # the name is in what the user reads
    assert (here(), descriptors()) == (home, before)


def test_inside__what_is_no_namespace(tmp_path: Path) -> None:
    home, before = here(), descriptors()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="entering a network namespace: Invalid"), netns.inside(tmp_path / "file"):
        pass
    assert (here(), descriptors()) == (home, before)


@pytest.mark.usefixtures("powerless")
def test_inside__without_the_leave_says_what_is_needed() -> None:
    home, before = here(), descriptors()
    own = Path("/proc/thread-self/ns/net")  # others' may not even be opened
    with (
        pytest.raises(PermissionsError, match=r"entering a network namespace needs .* CAP_SYS_ADMIN"),
        netns.inside(own),
    ):
        pass
    assert (here(), descriptors()) == (home, before)


def test_unseen__is_a_new_one_that_nobody_finds() -> None:
    home = here()
    fd = netns.unseen()
    try:
        assert here() == home
        number = os.fstat(fd).st_ino
        assert number not in {path.stat().st_ino for path in netns.found().values() if path.exists()} | {home}
        with netns.inside(Path(f"/proc/self/fd/{fd}")):
            assert here() == number
            assert [name for _, name in socket.if_nameindex()] == ["lo"]
    finally:
        os.close(fd)
    with pytest.raises(FileNotFoundError), netns.inside(Path(f"/proc/self/fd/{fd}")):
        pass


@pytest.mark.usefixtures("powerless")
def test_unseen__without_the_leave_says_what_is_needed() -> None:
    home, before = here(), descriptors()
    with pytest.raises(PermissionsError, match=r"making a network namespace needs .* CAP_SYS_ADMIN"):
        netns.unseen()
    assert (here(), descriptors()) == (home, before)
