# SPDX-License-Identifier: GPL-2.0-only
"""Where XDP or live frames are not to be had, the next best does the work, and the first line says which and why.

namespace ...a                      namespace ...b
towline send, tl0     <---------->  towline receive, tl0
  tlm, macvlan on it                  tlm, macvlan on it
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.hand import hand, receiving
from towline.errors import PeerError, UnsupportedError
from towline.kernel.attach import attach
from towline.kernel.clang import compile_program
from towline.kernel.link import interface
from towline.kernel.netns import inside
from towline.kernel.program import Object
from towline.lab import verify
from towline.lab.environments import veth
from towline.lab.environments.veth import End

MIB = 1 << 20
MACVLAN = "tlm"
# Root's id, because the interpreter may lie where only root may look; without capabilities it is as anybody else's.
POWERLESS = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")


@pytest.fixture
def path(namespaces: None) -> Iterator[veth.Path]:
    """Ends that take frames from XDP whether or not a program stands there."""
    with veth.veth(gro=True) as made:
        yield made


@contextmanager
def hook_held(end: End, folder: Path) -> Iterator[None]:
    """Somebody else's program, which passes everything, sits on the interface."""
    source = folder / "pass.bpf.c"
    source.write_text(
        "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n"
        'SEC("xdp") int tl_pass(struct xdp_md *ctx) { return XDP_PASS; }\n'
        'char _license[] SEC("license") = "GPL";\n'
    )
    with Object(compile_program(source)) as program:
        program.load()
        with inside(end.namespace):
            link = attach(program.program("tl_pass"), interface(end.interface).index)
        with link:
            yield


def add_macvlan(end: End) -> str:
    """A macvlan on the end's interface; returns its MAC."""
    for words in (
        ("link", "add", MACVLAN, "link", end.interface, "type", "macvlan", "mode", "bridge"),
        ("link", "set", MACVLAN, "up"),
    ):
        subprocess.run(["ip", "-n", end.namespace, *words], check=True)
    with inside(end.namespace):
        return interface(MACVLAN).mac.hex(":")


def transfer(
    path: veth.Path,
    folder: Path,
    target: str,
    *,
    receiver: tuple[str, ...] = (),
    sender: tuple[str, ...] = (),
    interface_name: str | None = None,
    receiver_end: End | None = None,
    before: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A mebibyte, compared byte for byte: the events Ready and Started, and both records in one."""
    end = receiver_end or path.receiver
    listen = ("receive", "--interface", interface_name or end.interface, "--output", str(folder))
    with hand(end, *listen, *receiver, before=before[1]) as theirs:
        ready = theirs.until(lambda event: event["event"] == "ready")
        with hand(path.sender, "send", "--size", str(MIB), target, *sender, before=before[0]) as ours:
            record = ours.finished() | theirs.finished()
            started = ours.until(lambda event: event["event"] == "started")
    assert verify.same(verify.source_chunks(MIB, 0), folder / f"random-{MIB}-0")
    return ready, started, record


def test_transfer__capabilities_that_the_readme_names_suffice(path: veth.Path, folder: Path) -> None:
    without = ("setpriv", "--inh-caps=-sys_admin", "--bounding-set=-sys_admin")
    ready, started, record = transfer(path, folder, path.target, before=(without, without))
    assert (ready["mode"], started["mode"], started["transmit"]) == ("native", "native", "live")
    assert (ready["notes"], started["notes"]) == ([], [])
    assert record["datapath_receiver"] == "ebpf"


def test_receive__xdp_that_was_asked_for_and_would_not_be_heard(namespaces: None) -> None:
    with (
        veth.veth() as deaf,  # without GRO
        receiving(deaf.receiver, "--sink", "memory", "--policy", "every") as receiver,
        hand(deaf.sender, "send", "--size", "1M", "--datapath", "socket", deaf.target) as sender,
    ):
        assert sender.wait() == PeerError.exit_code
        assert "GRO on at the sender's end of the veth" in sender.said
        receiver.process.send_signal(signal.SIGINT)
        receiver.wait()


def test_receive__hook_held(path: veth.Path, folder: Path, tmp_path: Path) -> None:
    with hook_held(path.receiver, tmp_path):
        ready, _, record = transfer(path, folder, path.target)
    assert ready["mode"] is None
    (note,) = ready["notes"]
    assert note.startswith("no eBPF: ")
    assert f"process {os.getpid()} " in note
    assert "'tl_pass'" in note
    assert (record["datapath_sender"], record["datapath_receiver"], record["delivery"]) == ("ebpf", "socket", None)


def test_send__hook_held(path: veth.Path, folder: Path, tmp_path: Path) -> None:
    with hook_held(path.sender, tmp_path):
        _, started, record = transfer(path, folder, path.target)
        with (
            receiving(path.receiver, "--output", str(folder)),
            hand(path.sender, "send", "--size", "1M", path.target, "--transmit", "live") as insisting,
        ):
            assert insisting.wait() == UnsupportedError.exit_code
            assert "'tl_pass'" in insisting.said
    assert (started["transmit"], started["mode"]) == ("packet", None)
    (note,) = started["notes"]
    assert note.startswith("no eBPF: ")
    assert "'tl_pass'" in note
    assert (record["datapath_sender"], record["datapath_receiver"]) == ("socket", "ebpf")


def test_screen__the_first_line_says_which_and_why(path: veth.Path, folder: Path, tmp_path: Path) -> None:
    """What a person sees, at both ends."""
    towline = (sys.executable, "-m", "towline")
    listen = path.receiver.command(
        *towline, "receive", "--interface", path.receiver.interface, "--output", str(folder), "--insecure"
    )
    with (
        hook_held(path.sender, tmp_path),
        hook_held(path.receiver, tmp_path),
        subprocess.Popen(listen, stderr=subprocess.PIPE, text=True) as receiver,
    ):
        assert receiver.stderr is not None
        first = receiver.stderr.readline()
        command = path.sender.command(*towline, "send", "--size", "1M", path.target, "--insecure")
        sent = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        receiver.communicate(timeout=30)
    assert first.startswith(f"listening on {path.receiver.interface}, ordinary sockets (no eBPF: ")
    assert "tl_pass" in first
    line = sent.stderr.splitlines()[0]
    assert "sent through a packet socket, acknowledged through a socket (no eBPF: " in line
    assert "tl_pass" in line


def test_receive__hook_held_where_xdp_was_asked_for(path: veth.Path, folder: Path, tmp_path: Path) -> None:
    words = ("receive", "--interface", path.receiver.interface, "--output", str(folder), "--delivery", "direct")
    with hook_held(path.receiver, tmp_path), hand(path.receiver, *words) as receiver:
        assert receiver.wait() == UnsupportedError.exit_code
        assert "'tl_pass'" in receiver.said


def test_send__a_macvlan_has_no_live_frames(path: veth.Path, folder: Path) -> None:
    add_macvlan(path.sender)
    _, started, record = transfer(path, folder, f"{path.receiver.mac}%{MACVLAN}")
    assert (started["transmit"], started["mode"]) == ("packet", "generic")
    assert any(note.startswith(f"no live frames: sending live frames through {MACVLAN}") for note in started["notes"])
    assert any("native XDP" in note for note in started["notes"])
    assert (record["transmit"], record["xdp_mode_sender"]) == ("packet", "generic")


def test_receive__a_macvlan_has_generic_xdp(path: veth.Path, folder: Path) -> None:
    mac = add_macvlan(path.receiver)
    target = f"{mac}%{path.sender.interface}"
    ready, _, record = transfer(path, folder, target, interface_name=MACVLAN)
    assert ready["mode"] == "generic"
    assert f"native XDP on {MACVLAN}" in ready["notes"][0]
    assert (record["datapath_receiver"], record["xdp_mode_receiver"]) == ("ebpf", "generic")


@pytest.mark.parametrize("where", ["address6", "address", "loopback"])
def test_without_privilege__udp(path: veth.Path, folder: Path, where: str) -> None:
    if where == "loopback":
        end, target = path.sender, "::1"
        ready, started, record = transfer(
            path, folder, target, before=(POWERLESS, POWERLESS), receiver_end=end, interface_name="lo"
        )
    else:
        target = str(getattr(path.receiver, where))
        ready, started, record = transfer(path, folder, target, before=(POWERLESS, POWERLESS))
    assert ready["mode"] is None
    assert any(note.startswith("level ethernet is not served: ") for note in ready["notes"])
    assert any(note.startswith("no eBPF: No permission") for note in ready["notes"])
    assert ready["levels"] == ["udp6", "udp4"]
    assert (started["transmit"], started["mode"]) == ("udp", None)
    assert started["notes"][0].startswith("no eBPF: No permission")
    assert (record["datapath_sender"], record["datapath_receiver"]) == ("socket", "socket")


@pytest.mark.parametrize(("target", "level"), [("::1", "udp6"), ("127.0.0.1", "udp4"), ("::1", "ipv6")])
def test_loopback__with_privilege(path: veth.Path, folder: Path, target: str, level: str) -> None:
    ready, started, _ = transfer(
        path, folder, target, sender=("--level", level), receiver_end=path.sender, interface_name="lo"
    )
    assert ready["mode"] in ("generic", None)
    assert started["level"] == level
    assert started["transmit"] != "live"
    assert started["notes"]
    assert ready["notes"]


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("level", ["dst", "ethernet", "udp6"])
def test_receive__acknowledgements_by_xdp_would_not_reach_a_socket(folder: Path, level: str) -> None:
    """A veth without GRO drops what the receiver's XDP turns around, unless a program stands at the sender's end."""
    with veth.veth() as plain:
        target = str(plain.receiver.address6) if level == "udp6" else plain.target
        options = ("--level", level)
        _, _, record = transfer(plain, folder, target, sender=(*options, "--datapath", "socket"), receiver=options)
    assert (record["datapath_sender"], record["datapath_receiver"]) == ("socket", "socket")
    assert record["retransmissions"] < record["packets"] / 10


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize(("level", "transmit"), [("ethernet", "packet"), ("udp6", "udp")])
def test_send__live_frames_that_vanish(folder: Path, level: str, transmit: str) -> None:
    """A kernel that cannot say whether the other end takes them, and an end that does not."""
    unknowing = (
        "import sys, towline.transmit.xdp as xdp; xdp.require_live_frames = lambda interface: None;"
        "from towline.cli.main import main; sys.exit(main())"
    )
    options = ("--level", level, "--datapath", "socket")
    with veth.veth() as plain:
        listen = ("receive", "--interface", plain.receiver.interface, "--output", str(folder))
        target = str(plain.receiver.address6) if level == "udp6" else plain.target
        send = ("send", "--size", str(MIB), target, "--level", level)
        with hand(plain.receiver, *listen, *options) as theirs:
            theirs.until(lambda event: event["event"] == "ready")
            with hand(plain.sender, *send, program=("-c", unknowing)) as ours:
                record = ours.finished()
                theirs.finished()
                assert ours.until(lambda event: event["event"] == "started")["transmit"] == "live"
                note = ours.until(lambda event: event["event"] == "note")
    assert note["text"] == f"live frames were not answered: from here on by {transmit} socket"
    assert record["transmit"] == transmit
    assert record["packets_sent"] == record["packets"] + record["retransmissions"]
    assert verify.same(verify.source_chunks(MIB, 0), folder / f"random-{MIB}-0")
