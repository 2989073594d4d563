# SPDX-License-Identifier: GPL-2.0-only
"""What is pinned: in a folder that is ours alone, found again by its name, whatever stands in the way."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.own_pins import own_folder
from towline.errors import UnsupportedError
from towline.kernel import bpffs
from towline.kernel.memory import Map
from towline.kernel.objects import describe_map

NOBODY = 65534
KEY = bytes(4)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the folder will be; it is not there yet."""
    with own_folder(monkeypatch) as path:
        yield path


@pytest.fixture
def number() -> Iterator[Map]:
    """A map that says 77."""
    with Map.create_array("tl_number", 8) as made:
        made.set(KEY, (77).to_bytes(8, "little"))
        yield made


def value_of(which: Map) -> int:
    return int.from_bytes(which.get(KEY) or b"", "little")


def test_folder__is_made_for_us_alone_on_a_bpffs(place: Path) -> None:
    before = os.umask(0)  # which would let others in
    try:
        assert bpffs.folder() == place
    finally:
        os.umask(before)
    status = place.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o700, os.geteuid())
    mounts = [line.split() for line in Path("/proc/1/mounts").read_text().splitlines()]
    assert place.parent.stat().st_dev in {Path(one[1]).stat().st_dev for one in mounts if one[2] == "bpf"}


def test_folder__that_is_there_is_taken_as_it_is(place: Path, number: Map) -> None:
    bpffs.pin(number.fd, bpffs.folder() / "kept")
    assert [path.name for path in bpffs.folder().iterdir()] == ["kept"]


def test_folder__one_in_it_is_ours_alone_as_well(place: Path) -> None:
    before = os.umask(0)
    try:
        made = bpffs.folder("one", "two")
    finally:
        os.umask(before)
    assert made == place / "one" / "two"
    assert {stat.S_IMODE(path.stat().st_mode) for path in (place, made.parent, made)} == {0o700}
    assert bpffs.folder("one", "two") == made


def test_tidy__removes_what_is_empty_up_to_what_is_not(place: Path, number: Map) -> None:
    bpffs.folder("kept")
    bpffs.tidy(bpffs.folder("one", "two"))
    assert [path.name for path in place.iterdir()] == ["kept"]
    bpffs.pin(number.fd, place / "kept" / "pin")
    bpffs.tidy(place / "kept")
    assert (place / "kept" / "pin").exists()
    (place / "kept" / "pin").unlink()
    bpffs.tidy(place / "kept")
    assert not place.exists()
    assert place.parent.is_dir()
    bpffs.tidy(place)  # what is gone already is no error


def test_existing__makes_nothing(place: Path) -> None:
    assert bpffs.existing() is None
    assert not place.exists()
    bpffs.folder()
    assert bpffs.existing() == place


def test_pin__is_opened_again_after_its_maker_has_gone(place: Path) -> None:
    path = bpffs.folder() / "kept"
    with Map.create_array("tl_number", 8) as made:
        bpffs.pin(made.fd, path)
        made.set(KEY, (78).to_bytes(8, "little"))  # it is the same map, not a copy
    with describe_map(bpffs.open_pinned(path)) as again:
        assert (again.name, again.value_size, value_of(again)) == ("tl_number", 8, 78)


def test_pin__does_not_take_a_name_that_is_taken(place: Path, number: Map) -> None:
    path = bpffs.folder() / "kept"
    bpffs.pin(number.fd, path)
    with Map.create_array("tl_other", 8) as other, pytest.raises(FileExistsError, match=r"pinning .*kept"):
        bpffs.pin(other.fd, path)
    with describe_map(bpffs.open_pinned(path)) as still:
        assert value_of(still) == 77


def test_pin__names_what_could_not_be_pinned_on_another_file_system(place: Path, number: Map, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"pinning .*elsewhere"):
        bpffs.pin(number.fd, tmp_path / "elsewhere")
    assert list(tmp_path.iterdir()) == []


def test_open_pinned__what_is_not_there(place: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"opening .*nothing"):
        bpffs.open_pinned(bpffs.folder() / "nothing")


def test_open_pinned__what_was_unpinned(place: Path, number: Map) -> None:
    path = bpffs.folder() / "kept"
    bpffs.pin(number.fd, path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        bpffs.open_pinned(path)
    assert value_of(number) == 77  # whoever holds it keeps it


def test_open_pinned__a_file_that_is_no_pin(place: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=r"opening .*file"):
        bpffs.open_pinned(tmp_path / "file")


@pytest.mark.parametrize(("owner", "mode"), [(0, 0o755), (0, 0o701), (NOBODY, 0o700)], ids=["755", "701", "nobody's"])
def test_folder__that_others_can_use_is_refused(place: Path, owner: int, mode: int) -> None:
    place.mkdir(mode=0o700)
    place.chmod(mode)
    os.chown(place, owner, -1)
    with pytest.raises(UnsupportedError, match=f"{place.name} .*mode 0700: remove what stands there"):
        bpffs.folder()
    assert stat.S_IMODE(place.stat().st_mode) == mode  # it is not ours to be made better


def test_folder__a_file_in_its_place_is_refused_and_stays(place: Path, number: Map) -> None:
    bpffs.pin(number.fd, place)  # the only kind of file that a bpffs has
    with pytest.raises((UnsupportedError, FileExistsError), match=place.name):
        bpffs.folder()
    assert bpffs.existing() is None
    with describe_map(bpffs.open_pinned(place)) as still:
        assert value_of(still) == 77


def test_folder__a_link_to_what_others_can_use_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "trap").mkdir()
    (tmp_path / "trap").chmod(0o777)
    place.symlink_to(tmp_path / "trap")
    with pytest.raises(UnsupportedError, match="mode 0700"):
        bpffs.folder()


def test_folder__a_link_to_nothing_is_refused_and_not_followed(place: Path, tmp_path: Path) -> None:
    place.symlink_to(tmp_path / "absent")
    with pytest.raises((UnsupportedError, FileExistsError), match=place.name):
        bpffs.folder()
    assert bpffs.existing() is None
    assert not (tmp_path / "absent").exists()


def test_existing__another_users_folder_is_a_trap(place: Path, tmp_path: Path) -> None:
    place.mkdir(mode=0o700)
    os.chown(place, 65534, 65534)
    assert bpffs.existing() is None
    with pytest.raises(UnsupportedError, match="a folder that is ours"):
        bpffs.folder()
    place.rmdir()
    (tmp_path / "victim").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "victim")
    assert bpffs.existing() is None
    with pytest.raises(UnsupportedError, match="a folder that is ours"):
        bpffs.folder()
