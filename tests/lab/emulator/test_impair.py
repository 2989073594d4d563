# SPDX-License-Identifier: GPL-2.0-only
"""The emulator: the same seed, the same fate; what was asked is what happens; nothing is left behind.

namespace ...a                 namespace ...m                  namespace ...b
tl0, packet socket  <---->  left  the emulator  right  <---->  tl0, packet socket
"""

from __future__ import annotations

import itertools
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyroute2 import netns

from tests.lab.wire import is_ours, number_of, sent_at, settled, wire
from towline.errors import RunError
from towline.lab import leftovers
from towline.lab.emulator.impairments import Impairment, Impairments, void_reason
from towline.lab.environments import veth

pytestmark = pytest.mark.usefixtures("namespaces")

COUNT = 20_000


def within_three_deviations(hits: int, share: float, trials: int) -> bool:
    deviation: float = (share * (1 - share) * trials) ** 0.5
    return abs(hits - share * trials) <= 3 * deviation


@pytest.mark.parametrize("delay_us", [0, 500], ids=["in passing", "stored"])
def test_capture__the_same_seed_and_traffic_meet_the_same_fate(delay_us: int) -> None:
    asked = Impairment(delay_us=delay_us, loss=0.1, corrupt=0.05)
    with wire(Impairments(forward=asked, seed=5)) as one:
        seen = []
        for seed in (5, 5, 6):
            one.emulator.set(Impairments(forward=asked, seed=seed))
            one.send(1000)
            seen.append([frame[:18] + frame[26:] for _, frame in one.receive()])  # the time differs anyway
    assert 800 < len(seen[0]) < 1000
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]


def test_capture__loss_corruption_and_copies_are_as_many_as_asked() -> None:
    asked = Impairment(delay_us=2000, loss=0.05, corrupt=0.02, duplicate=0.03)
    with wire(Impairments(forward=asked, seed=1)) as one:
        one.send(COUNT, size_bytes=80)
        seen = one.receive()
        report = one.emulator.report()
        body = one.frame(0, 80)[26:]
    counted = report.forward
    arrived = COUNT - counted.lost
    assert (counted.captured, counted.carried, len(seen)) == (COUNT, COUNT, arrived + counted.duplicated)
    assert counted.unplanned_dropped == 0
    assert within_three_deviations(counted.lost, 0.05, COUNT)
    assert within_three_deviations(counted.duplicated, 0.03, arrived)
    assert within_three_deviations(counted.corrupted, 0.02, arrived)
    # As the receiver sees it: 54 of 80 bytes can be compared, and a damaged frame has 2 flips on average.
    damaged = [frame for _, frame in seen if frame[26:] != body]
    flips = [int.from_bytes(frame[26:], "big") ^ int.from_bytes(body, "big") for frame in damaged]
    assert {flip.bit_count() for flip in flips} == {1, 2, 3}
    assert 0.6 * counted.corrupted < len(damaged) < 1.2 * counted.corrupted


def test_capture__bursts_are_as_long_as_asked() -> None:
    with wire(Impairments(forward=Impairment(loss=0.05, loss_burst=8), seed=1)) as one:
        one.send(COUNT)
        numbers = [number_of(frame) for _, frame in one.receive()]
    gaps = [later - earlier - 1 for earlier, later in itertools.pairwise(numbers) if later - earlier > 1]
    assert 0.03 < 1 - len(numbers) / COUNT < 0.07  # some 125 bursts: their number varies by a tenth
    assert 6 < statistics.mean(gaps) < 10


@pytest.mark.parametrize("delay_us", [0, 3000])
def test_release__reordered_frames_let_one_to_three_pass(delay_us: int) -> None:
    with wire(Impairments(forward=Impairment(delay_us=delay_us, reorder=0.05), seed=3)) as one:
        one.send(COUNT)
        numbers = [number_of(frame) for _, frame in one.receive()]
        counted = one.emulator.report().forward
    assert sorted(numbers) == list(range(COUNT))
    highest, behind = -1, []
    for number in numbers:
        if number < highest:
            behind.append(highest - number)
        highest = max(highest, number)
    assert counted.reordered <= COUNT * 0.06
    # Two neighbours may be held back together, and keep their order.
    assert 0.85 * counted.reordered < len(behind) <= counted.reordered
    assert within_three_deviations(counted.reordered, 0.05, COUNT)
    assert statistics.median(behind) in (1, 2, 3)


def overslept_us(delay_us: int) -> float:
    """How much later than asked this machine wakes who sleeps: some virtual ones take a fifth of a millisecond, and
    nothing that sleeps can release a frame before.
    """
    found = []
    for _ in range(100):
        began = time.monotonic()
        time.sleep(delay_us / 1e6)
        found.append((time.monotonic() - began) * 1e6 - delay_us)
    return statistics.median(found)


@pytest.mark.parametrize("delay_us", [1000, 10_000])
def test_release__delay_is_as_asked(delay_us: int) -> None:
    most_us = max(0.02 * delay_us, 100) + 2 * overslept_us(delay_us)
    with wire(Impairments(forward=Impairment(delay_us=delay_us))) as one:
        one.send(200, gap_s=0.003)
        delays_us = [(at - sent_at(frame)) * 1e6 for at, frame in one.receive()]
        report = one.emulator.report()
    assert len(delays_us) == 200
    assert statistics.median(delays_us) == pytest.approx(delay_us, abs=most_us)
    assert report.forward.delay_us == pytest.approx(delay_us, abs=most_us)
    assert report.backward.delay_us is None


def test_release__jitter_spreads_evenly() -> None:
    with wire(Impairments(forward=Impairment(delay_us=10_000, jitter_us=5000))) as one:
        one.send(2000, gap_s=0.0002)
        delays_us = [(at - sent_at(frame)) * 1e6 for at, frame in one.receive()]
        counted = one.emulator.report().forward
    tenths = statistics.quantiles(delays_us, n=10)  # a busy machine moves the far ends only
    most_us = 360 + 2 * overslept_us(1000)
    assert tenths == pytest.approx([6000, 7000, 8000, 9000, 10_000, 11_000, 12_000, 13_000, 14_000], abs=most_us)
    assert counted.jitter_us == pytest.approx(5000, rel=0.25)


def test_enqueue__rate_and_queue_are_as_asked() -> None:
    asked = Impairment(rate_bps=100e6, queue_bytes=1000 * 1514)
    with wire(Impairments(forward=asked)) as one:
        one.send(1500, size_bytes=1514)
        times = [at for at, _ in one.receive()]
        counted = one.emulator.report().forward
    assert 1000 <= len(times) < 1500
    assert counted.queue_dropped == 1500 - len(times)
    rate_bps = (len(times) - 1) * 1514 * 8 / (times[-1] - times[0])
    assert rate_bps == pytest.approx(100e6, rel=0.02)
    assert counted.rate_bps == pytest.approx(100e6, rel=0.02)


def test_capture__the_longest_live_frame_passes_and_longer_ones_are_our_failure() -> None:
    asked = Impairments(forward=Impairment(delay_us=1000))
    with wire(asked, mtu=3494) as one:
        whole = one.frame(7, 3408)
        for frame in (whole, one.frame(8, 3409), one.frame(9, 60), whole):
            one.near.send(frame)
        assert [len(frame) for _, frame in one.receive()] == [3408, 60, 3408]
        report = one.emulator.report()
    assert report.forward.too_long == 1
    assert void_reason(asked, report) == "the emulator dropped frames on its own, forward: 1 too_long"


def test_counted__what_the_interfaces_drop_is_our_failure() -> None:
    # A thread of low priority empties the far interface's ring of 256 frames, when it comes to it.
    with wire(Impairments(forward=Impairment(delay_us=300_000))) as one:
        threaded = f"echo 1 > /sys/class/net/{one.path.receiver.interface}/threaded"
        subprocess.run(one.path.receiver.command("sh", "-c", threaded), check=True)
        one.send(COUNT, 80)
        seen = len(one.receive(0.6))
        counted = one.emulator.report().forward
    assert counted.released == COUNT
    assert counted.interface_dropped == COUNT - seen
    assert counted.unplanned_dropped == COUNT - seen


def test_blackhole__only_in_its_direction_and_for_its_time() -> None:
    with wire(Impairments(), backward=True) as one:
        one.emulator.blackhole(0.3, "forward")
        one.send(1)
        assert len(one.receive(0.1)) == 1
        one.emulator.blackhole(0.3)
        one.send(1)
        assert one.receive(0.1) == []
        time.sleep(0.3)
        one.send(1)
        assert len(one.receive(0.1)) == 1
        assert one.emulator.report().backward.blackholed == 1


def test_set__begins_anew() -> None:
    with wire(Impairments(forward=Impairment(delay_us=1_000_000))) as one:
        one.send(10)
        one.emulator.set(Impairments())
        assert one.emulator.report().forward.captured == 0
        assert one.receive(1.2) == []  # what was in flight is gone
        one.send(10)
        assert len(one.receive()) == 10


def test_capture__pcap_has_what_was_let_out(tmp_path: Path) -> None:
    utilities = pytest.importorskip("scapy.utils", reason="needs scapy to read pcap files")
    file = tmp_path / "wire.pcap"
    with wire(Impairments(forward=Impairment(loss=0.3), seed=2), capture=file) as one:
        for number in range(300):
            one.near.send(one.frame(number, 60 + number))
        seen = [frame for _, frame in one.receive()]
        settled(one.emulator)
    with utilities.RawPcapReader(str(file)) as reader:
        assert reader.nano
        read = [(about.sec, frame) for frame, about in reader]
    # A capture begins with the emulator, and so before the hosts are silent: they may have reported a group (MLD).
    assert [frame for _, frame in read if is_ours(frame)] == seen
    assert 150 < len(seen) < 270
    assert all(abs(time.time() - seconds) < 60 for seconds, _ in read)


def test_obey__refuses_what_it_does_not_know() -> None:
    with wire(Impairments()) as one, pytest.raises(RunError, match="sideways"):
        one.emulator.blackhole(1, "sideways")


PARENT = """
import time
from towline.lab.environments.veth import veth
from towline.lab.emulator.impairments import Impairments
with veth(impairments=Impairments()) as path:
    print(path.emulator.pid, path.sender.namespace, flush=True)
    time.sleep(60)
"""


def test_emulator__dies_with_its_parent_and_is_swept() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, namespace = parent.stdout.readline().split()
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()
    leftovers.sweep()  # or somebody else was faster
    assert not [name for name in netns.listnetns() if name.startswith(namespace[:-1])]


def test_emulator__that_cannot_start_says_why() -> None:
    with (
        pytest.raises(RunError, match="The emulator of the run ended: clang refused"),
        veth.veth(impairments=Impairments(), clang_flags=["-Dforward=%"]),
    ):
        pass


def test_emulator__has_real_time_priority() -> None:
    with veth.veth(impairments=Impairments()) as path:
        assert path.emulator is not None
        if path.emulator.priority is None:
            assert os.sched_getscheduler(path.emulator.pid) == os.SCHED_FIFO
        else:
            assert "no real-time priority" in path.emulator.priority
