# SPDX-License-Identifier: GPL-2.0-only
"""The laboratory as it is typed: records, exit codes, and nothing left behind however it ends.

namespace ...a                      namespace ...b
towline send, tl0     <---------->  towline receive, tl0
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import netns

from towline.lab import leftovers, record

pytestmark = pytest.mark.usefixtures("namespaces")

TOWLINE = [sys.executable, "-m", "towline"]
LONG = ["lab", "transfer", "--size", "64G", "--sink", "memory"]  # until somebody ends it


def towline(*arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*before, *TOWLINE, *arguments], capture_output=True, text=True, check=False, timeout=120)


def records(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def things_of(pid: int) -> list[str]:
    """Namespaces and temporary folders that carry a process's id."""
    folders = [path.name for folder in _temporary() for path in folder.iterdir()]
    return [n for n in (*netns.listnetns(), *folders) if n.startswith((f"tl{pid}-", f"towline-{pid}-"))]


def processes_with(text: str) -> list[int]:
    """Processes whose command line has `text` in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in words:
            found.append(int(path.parent.name))
    return found


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def running(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A transfer under way that would take long; its seed tells its processes from all others."""
    seed = f"--seed={os.getpid()}"
    with subprocess.Popen([*TOWLINE, *LONG, seed], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as lab:
        try:
            assert eventually(lambda: any(_is_sending(pid) for pid in processes_with(seed)))
            yield lab
        finally:
            lab.kill()
            leftovers.sweep()


def _is_sending(pid: int) -> bool:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if Path(f"/proc/{pid}").exists() else []
    # With a lane's thread beside the main one, bytes flow.
    return b"send" in words and b"netns" not in words and len(list(Path(f"/proc/{pid}/task").iterdir())) > 1


def _temporary() -> set[Path]:
    return {folder for folder in (leftovers.MEMORY_FOLDER, Path(tempfile.gettempdir())) if folder.is_dir()}


@pytest.mark.parametrize("delivery", ["direct", "ring"])
def test_transfer__one_record_a_repetition_and_nothing_else(delivery: str) -> None:
    found = records(towline("lab", "transfer", "--size", "8M", "--delivery", delivery, "--repetitions", "2", "--json"))
    assert [one["repetition"] for one in found] == [0, 1]
    for one in found:
        assert tuple(one) == record.FIELDS
        assert (one["verified"], one["delivery"], one["file_bytes"]) == (True, delivery, 8 << 20)
        assert one["packets_sent"] == one["packets"] + one["retransmissions"]
        assert one["packets"] >= (8 << 20) / one["payload_size"]
        assert 0 < one["acks"] <= one["packets_sent"]
        assert (one["xdp_mode_sender"], one["xdp_mode_receiver"]) == ("native", "native")
        assert one["seconds"] <= one["total_seconds"]


def test_transfer__a_file_into_a_folder(tmp_path: Path) -> None:
    source, output = tmp_path / "a file.bin", tmp_path / "in"
    source.write_bytes(os.urandom(300_001))
    output.mkdir()
    arguments = ("lab", "transfer", "--file", str(source), "--output", str(output), "--json")
    (one,) = records(towline(*arguments))
    assert one["verified"]
    assert one["seed"] == 0
    assert [path.name for path in output.iterdir()] == [source.name]
    assert (output / source.name).read_bytes() == source.read_bytes()
    # It is there now, and nobody said that it may be replaced.
    again = towline(*arguments)
    assert again.returncode == 10
    assert again.stderr.count("\n") == 1
    assert str(output / source.name) in again.stderr


def test_demo__shows_a_table_and_checks(tmp_path: Path) -> None:
    source = tmp_path / "film"
    source.write_bytes(os.urandom(1 << 20))
    done = towline("demo", str(source))
    assert (done.returncode, done.stderr) == (0, "")
    rows = {words[0]: words[1] for words in _rows(done.stdout)}
    assert (rows["verified"], rows["file"]) == ("yes", "1,048,576 bytes")
    assert rows["goodput"].endswith(" Gbit/s")


def _rows(table: str) -> list[list[str]]:
    return [[word.strip() for word in line.strip("│").split("│")] for line in table.splitlines() if "│" in line]


def test_transfer__a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "towline-test", str(disk)], check=True)
    try:
        done = towline("lab", "transfer", "--size", "8M", "--output", str(disk), "--json")
        assert (done.returncode, done.stdout) == (10, "")
        assert done.stderr.count("\n") == 1
        assert str(disk) in done.stderr
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_transfer__without_permission_is_one_line() -> None:
    powerless = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    done = towline("lab", "transfer", "--size", "1M", before=powerless)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("towline: No permission: making network namespaces needs root")
    assert done.stderr.count("\n") == 1


def test_transfer__without_clang_goes_by_sockets_unless_it_was_asked_for(tmp_path: Path) -> None:
    environment = ("env", "TOWLINE_CLANG=no-such-clang", f"XDG_CACHE_HOME={tmp_path}")
    done = towline("lab", "transfer", "--size", "1M", "--json", before=environment)
    assert done.returncode == 0
    one = json.loads(done.stdout)
    assert (one["verified"], one["datapath_sender"], one["datapath_receiver"]) == (True, "socket", "socket")
    assert done.stderr.count("\n") == 1
    assert "no eBPF: " in done.stderr
    assert "no-such-clang" in done.stderr
    done = towline("lab", "transfer", "--size", "1M", "--xdp-mode", "native", before=environment)
    assert (done.returncode, done.stdout) == (3, "")
    assert "clang" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=str)
def test_transfer__a_signal_leaves_nothing(running: subprocess.Popen[str], number: signal.Signals, code: int) -> None:
    seed = f"--seed={os.getpid()}"
    assert things_of(running.pid)
    running.send_signal(number)
    assert running.wait(20) == code
    assert things_of(running.pid) == []
    assert processes_with(seed) == []
    assert running.communicate() == ("", "")


def test_clean__after_kill(running: subprocess.Popen[str]) -> None:
    seed = f"--seed={os.getpid()}"
    running.kill()
    running.wait(20)
    assert len(things_of(running.pid)) == 3  # two namespaces, a folder
    assert eventually(lambda: processes_with(seed) == []), "children outlive their parent"
    done = towline("lab", "clean")
    assert done.returncode == 0
    assert done.stdout.count(f"tl{running.pid}-") == 2
    assert things_of(running.pid) == []
    assert towline("lab", "clean").stdout == "nothing was left behind\n"


def test_transfer__policies_are_swapped_when_they_should_be() -> None:
    swap = "--swap=100ms=every 300ms=timed 100s=adaptive"  # the last one is never made: the transfer is over by then
    done = towline("lab", "transfer", "--size", "32M", "--pace", "400mbit", "--sink", "memory", swap, "--json")
    assert done.returncode == 0, done.stderr
    assert [line.rpartition(", ")[2] for line in done.stderr.splitlines()] == ["every.bpf.c", "timed.bpf.c"]
    found = json.loads(done.stdout)
    assert found["verified"] is True
    assert found["swaps"] == 2
    assert 0 < found["swap_effect_us"] < 1e6
    # For 0.1 s one in 32 packets was acknowledged, for 0.2 s each, and then one in 100 us.
    assert found["packets"] / 32 < found["acks"] < found["packets"]
