# SPDX-License-Identifier: GPL-2.0-only
"""The emulator against the clock and against chance, as receivers see it that know nothing of it.

namespace ...a                 namespace ...m                  namespace ...b
tl0  <--------------------->  left  the emulator  right  <-------------->  tl0
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import time
from collections import Counter

import pytest

from tests.lab.wire import number_of, sent_at, wire
from towline.lab.emulator.impairments import Impairment, Impairments, void_reason
from towline.lab.environments import veth

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("namespaces")]

FRAME_BYTES = 1514
MEGABIT = 1_000_000


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("delay_us", [100, 1000, 10_000, 50_000, 200_000])
def test_delay__within_two_per_cent_or_a_tenth_of_a_millisecond(delay_us: int, backward: bool) -> None:
    both = Impairment(delay_us=delay_us)
    asked = Impairments(forward=both, backward=both)
    with wire(asked, backward=backward) as one:
        one.send(500, gap_s=0.003)
        delays_us = [(at - sent_at(frame)) * 1e6 for at, frame in one.receive()]
        report = one.emulator.report()
    assert len(delays_us) == 500
    # The mean, but for the worst hundredth: the clock of a busy machine's receiver is not the emulator.
    measured_us = statistics.mean(sorted(delays_us)[:495])
    print(f"asked {delay_us} us, measured {measured_us:.1f} us")
    assert measured_us == pytest.approx(delay_us, rel=0.02, abs=100)
    assert void_reason(asked, report) is None


@pytest.mark.parametrize("megabits", [10, 100, 1000])
def test_rate__of_datagrams_is_within_two_per_cent(megabits: int) -> None:
    count = megabits * MEGABIT * 3 // 10 // (FRAME_BYTES * 8)  # 0.3 s
    asked = Impairment(rate_bps=megabits * MEGABIT, queue_bytes=(count + 1) * FRAME_BYTES)
    with wire(Impairments(forward=asked)) as one:
        one.send(count, FRAME_BYTES)
        times = [at for at, _ in one.receive()]
    assert len(times) == count
    measured_bps = (count - 1) * FRAME_BYTES * 8 / (times[-1] - times[0])
    print(f"asked {megabits} Mbit/s, measured {measured_bps / MEGABIT:.2f}")
    assert measured_bps == pytest.approx(megabits * MEGABIT, rel=0.02)


@pytest.mark.parametrize("megabits", [10, 100, 1000])
def test_rate__of_tcp_is_within_two_per_cent(megabits: int) -> None:
    both = Impairment(rate_bps=megabits * MEGABIT, delay_us=5000, queue_bytes=max(megabits * 2500, 150_000))
    with veth.veth(impairments=Impairments(forward=both, backward=both)) as path:
        address = str(path.receiver.address)
        with subprocess.Popen(path.receiver.command("iperf3", "-s", "-1"), stdout=subprocess.DEVNULL) as server:
            time.sleep(0.5)
            client = path.sender.command("iperf3", "-c", address, "-t", "5", "-O", "2", "-J")
            said = json.loads(subprocess.run(client, capture_output=True, check=True).stdout)
            server.wait(10)
    # what TCP's segments of 1448 bytes take of the line
    measured = said["end"]["sum_received"]["bits_per_second"] * FRAME_BYTES / 1448 / MEGABIT
    print(f"asked {megabits} Mbit/s, measured {measured:.2f}")
    assert measured == pytest.approx(megabits, rel=0.02)


def test_chance__within_three_standard_deviations_of_what_was_asked() -> None:
    loss, corrupt, duplicate, count = 0.05, 0.02, 0.03, 20_000
    lost = corrupted = copies = trials = 0
    asked = Impairment(delay_us=1000, loss=loss, corrupt=corrupt, duplicate=duplicate)
    with wire(Impairments(forward=asked)) as one:
        for seed in range(6):
            impairments = Impairments(forward=asked, seed=seed)
            one.emulator.set(impairments)
            sent = set(one.send(count, 80))
            seen = Counter(frame for _, frame in one.receive())
            assert one.emulator.report().forward.unplanned_dropped == 0
            trials += len(sent)
            lost += len(sent) - len(seen)
            copies += seen.total() - len(seen)
            corrupted += len(seen.keys() - sent)
    arrived = trials - lost
    assert trials >= 100_000
    print(f"lost {lost / trials:.4%}, corrupted {corrupted / arrived:.4%}, copies {copies / arrived:.4%}")
    for hits, share, of in ((lost, loss, trials), (corrupted, corrupt, arrived), (copies, duplicate, arrived)):
        assert abs(hits - share * of) <= 3 * (share * (1 - share) * of) ** 0.5


@pytest.mark.parametrize("delay_us", [0, 10_000])
def test_reorder__is_seen_by_the_receiver(delay_us: int) -> None:
    with wire(Impairments(forward=Impairment(delay_us=delay_us, reorder=0.05), seed=1)) as one:
        one.send(20_000)
        numbers = [number_of(frame) for _, frame in one.receive()]
    assert sorted(numbers) == list(range(20_000))
    behind = sum(later < earlier for earlier, later in itertools.pairwise(numbers))
    print(f"{behind / len(numbers):.2%} came behind a later one")
    assert 0.04 < behind / len(numbers) < 0.055
