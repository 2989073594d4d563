# SPDX-License-Identifier: GPL-2.0-only
"""The command line: exit codes, one line for each error, help, signals; with transfers that only pretend."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from towline import transfer
from towline.cli import main as program
from towline.errors import CompileError, FileError, NoReceiverError
from towline.settings import Settings
from towline.transfer import events

TARGET = "02:00:00:00:00:0b%eth0"
COMMANDS = (["send"], ["receive"], ["demo"], ["lab"], ["lab", "transfer"], ["lab", "clean"])


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The program takes signals over; the test runner wants them back."""
    before = {number: signal.getsignal(number) for number in program.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


Calls = list[tuple[tuple[Any, ...], dict[str, Any]]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What was asked of the transfer, which does nothing."""
    found: Calls = []
    for name in ("send", "receive"):
        monkeypatch.setattr(transfer, name, lambda *args, **more: found.append((args, more)), raising=False)
    return found


def failing(error: BaseException) -> Callable[..., None]:
    def fail(*_args: object, **_more: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("command", [[], *COMMANDS], ids=" ".join)
def test_help__is_there_for_every_command(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main([*command, "--help"]) == 0
    assert "Usage: towline" in capsys.readouterr().out


def test_main__version(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--version"]) == 0
    assert capsys.readouterr().out == "0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["send", "f", TARGET], "say --insecure"),
        (["receive", "--interface", "eth0"], "say --insecure"),
        (["send", "--insecure"], "either a FILE or --size"),
        (["send", "f", "--insecure"], "MAC%IF"),
        (["send", "f", TARGET, "--size", "1M", "--insecure"], "either a FILE or --size"),
        (["send", "f", TARGET, "--insecure", "--window", "63"], "a power of two from 64 to 65536"),
        (["send", "f", TARGET, "--insecure", "--clang-flags", "-O3"], "PROGRAM=FLAGS"),
        (["send", "f", TARGET, "--insecure", "--colour"], "--colour"),
        (["receive", "--insecure"], "--interface"),
        (["lab", "transfer"], "either --file PATH or --size SIZE"),
        (["lab", "transfer", "--size", "1", "--repetitions", "0"], "1 or more"),
        (["lab", "transfer", "--size", "1Q"], "not a size"),
        (["lab", "transfer", "--size", "1", "--window", "64", "--pts", "1"], "too small"),
        (["reeceive"], "reeceive"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_main__a_wrong_command_line_is_one_line_and_2(
    arguments: list[str], says: str, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("towline: ")
    assert captured.err.count("\n") == 1
    assert says in captured.err
    assert calls == []


def test_send__file(calls: Calls) -> None:
    assert program.main(["send", "f", TARGET, "--insecure", "--acc", "8", "--pts", "1400"]) == 0
    (source, target, settings), more = calls[0]
    assert (source, target) == (Path("f"), TARGET)
    assert settings == Settings(ack_every=8, payload_size=1400)
    assert more["seed"] == 0


def test_send__size(calls: Calls) -> None:
    assert program.main(["send", "--size", "256M", TARGET, "--insecure", "--seed", "7", "--json"]) == 0
    (source, target, _), more = calls[0]
    assert (source, target, more["seed"]) == (256 << 20, TARGET, 7)


def test_send__json_is_all_there_is_on_stdout(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    def pretend(*_args: object, on_event: events.OnEvent, **_more: object) -> None:
        on_event(events.Progress(done_bytes=1, total_bytes=2, seconds=0.5))
        on_event(events.Finished(name="f", path=None, record={"packets": 1}))

    monkeypatch.setattr(transfer, "send", pretend, raising=False)
    assert program.main(["send", "f", TARGET, "--insecure", "--json"]) == 0
    lines = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["progress", "finished"]


def test_receive__options(calls: Calls, tmp_path: Path) -> None:
    arguments = [
        "receive",
        "--interface",
        "eth0",
        "--output",
        str(tmp_path),
        "--insecure",
        "--keep",
        "--overwrite",
    ]
    assert program.main([*arguments, "--sink", "memory"]) == 0
    (interface, output, settings), more = calls[0]
    assert (interface, output, settings) == ("eth0", tmp_path, Settings(sink="memory"))
    assert (more["keep"], more["overwrite"]) == (True, True)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (NoReceiverError(TARGET, 10), 5, "within 10 s"),
        (FileError("/x", "the disk is full"), 10, "/x: the disk is full"),
        (CompileError("x.c:1: error", "a\nb"), 3, "x.c:1: error"),
        (FileNotFoundError(2, "No such file or directory", "/y"), 1, "/y: No such file or directory"),
        (KeyboardInterrupt(), 130, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_main__an_error_is_one_line_and_its_exit_code(
    error: BaseException,
    code: int,
    says: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("TOWLINE_DEBUG", raising=False)
    monkeypatch.setattr(transfer, "send", failing(error), raising=False)
    assert program.main(["send", "f", TARGET, "--insecure"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    if says is None:
        assert captured.err == ""
    else:
        assert captured.err.startswith("towline: ")
        assert says in captured.err
        assert captured.err.count("\n") == 1


def test_main__debug_shows_traceback_and_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOWLINE_DEBUG", "1")
    monkeypatch.setattr(transfer, "send", failing(CompileError("short", "the whole log")), raising=False)
    assert program.main(["send", "f", TARGET, "--insecure"]) == 3
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "the whole log" in said


WAITING = """
import sys, time
from towline import transfer
from towline.cli.main import main
def wait(*_args, **_more):
    try:
        print("waiting", flush=True)
        time.sleep(60)
    finally:
        time.sleep(0.2)
        print("cleaned up", flush=True)
transfer.send = wait
sys.exit(main(["send", "f", "a%b", "--insecure"]))
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_main__a_signal_cleans_up_and_tells_its_number(number: signal.Signals, code: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "waiting\n"
        child.send_signal(number)
        child.send_signal(number)  # somebody is impatient: the cleaning up goes on
        assert child.stdout.readline() == "cleaned up\n"
        assert child.wait(10) == code
        assert child.stderr.read() == ""


FORKING = """
import os, signal, sys, time
from towline import transfer
from towline.cli.main import main
def fork(*_args, **_more):
    try:
        child = os.fork()
        if not child:
            time.sleep(60)
        time.sleep(0.2)
        os.kill(child, signal.SIGTERM)
        print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    finally:
        print("cleaned up", flush=True)
transfer.send = fork
sys.exit(main(["send", "f", "a%b", "--insecure"]))
"""


def test_main__a_forked_child_that_is_ended_does_not_clean_up_for_us() -> None:
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "child 143\ncleaned up\n", "")


def test_main__a_reader_that_has_gone_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        command = [sys.executable, "-m", "towline", "lab", "clean"]
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
