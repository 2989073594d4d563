# SPDX-License-Identifier: GPL-2.0-only
"""Programs that are parked: attached where nobody sees them, so that to put one in place takes no wait for RCU."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from towline.errors import LoadError
from towline.kernel import netns
from towline.kernel.attach import attach
from towline.kernel.link import xdp_holder
from towline.kernel.objects import open_program, program_info, xdp_links
from towline.kernel.parking import Parking
from towline.kernel.program import Object

PROGRAMS = """
SEC("xdp") int tl_pass(struct xdp_md *ctx) { return XDP_PASS; }
SEC("xdp") int tl_drop(struct xdp_md *ctx) { return XDP_DROP; }
SEC("xdp") int tl_tx(struct xdp_md *ctx) { return XDP_TX; }
"""
NAMES = ("tl_pass", "tl_drop", "tl_tx")
ENDED_S = 5.0


@pytest.fixture
def programs(build: Callable[[str], Path]) -> Iterator[Object]:
    with Object(build(PROGRAMS)) as loaded:
        loaded.load()
        yield loaded


def number_of(program_fd: int) -> int:
    return int(program_info(program_fd).id)


def links_of(*numbers: int) -> list[int]:
    """The programs of these that are attached somewhere: once for each link."""
    return sorted(link.program for link in xdp_links() if link.program in numbers)


def descriptors() -> int:
    """How many of them this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def is_loaded(number: int) -> bool:
    try:
        os.close(open_program(number))
    except FileNotFoundError:
        return False
    return True


def test_park__attaches_each_until_close(programs: Object) -> None:
    fds = [programs.program(name) for name in NAMES]
    numbers = sorted(map(number_of, fds))
    with Parking() as parking:
        assert links_of(*numbers) == []
        for fd in fds:  # an odd number of them: more than a pair has ends
            parking.park(fd)
        assert links_of(*numbers) == numbers
    assert links_of(*numbers) == []


def test_park__one_leaves_and_the_others_stay(programs: Object) -> None:
    fds = [programs.program(name) for name in NAMES]
    numbers = list(map(number_of, fds))
    with Parking() as parking:
        leave = [parking.park(fd) for fd in fds]
        leave[1]()
        assert links_of(*numbers) == sorted({numbers[0], numbers[2]})
        with netns.inside(parking._namespace), IPRoute() as route:
            assert len(route.get_links(kind="veth")) == 4  # its place has gone as well
        leave[1]()  # once more does no harm
        assert links_of(*numbers) == sorted({numbers[0], numbers[2]})


def test_park__keeps_a_program_that_its_owner_has_closed(build: Callable[[str], Path]) -> None:
    with Parking() as parking:
        with Object(build(PROGRAMS)) as loaded:
            loaded.load()
            number = number_of(loaded.program("tl_pass"))
            parking.park(loaded.program("tl_pass"))
        assert links_of(number) == [number]
        assert is_loaded(number)
    deadline = time.monotonic() + ENDED_S  # the kernel lets go of a program from a work queue
    while is_loaded(number) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_loaded(number)


def test_park__is_seen_in_no_namespace(programs: Object) -> None:
    home = Path("/proc/thread-self/ns/net").stat().st_ino
    with Parking() as parking:
        parking.park(programs.program("tl_pass"))
        where = parking._namespace.stat().st_ino
        assert where != home == Path("/proc/thread-self/ns/net").stat().st_ino
        assert where not in {path.stat().st_ino for path in netns.found().values() if path.exists()}


def test_park__makes_a_swap_free_of_waiting(programs: Object, pair: tuple[int, int]) -> None:
    both = [programs.program(name) for name in ("tl_pass", "tl_drop")]
    with attach(both[0], pair[0]) as link:

        def fastest_s() -> float:
            times = []
            for turn in range(10):
                started = time.perf_counter()
                link.replace(both[(turn + 1) % 2])
                times.append(time.perf_counter() - started)
            return min(times)

        waiting_s = fastest_s()
        with Parking() as parking:
            for fd in both:
                parking.park(fd)
            parked_s = fastest_s()
    # Usually 10 us against milliseconds; the best of each, so that a busy machine does not matter.
    assert parked_s < waiting_s / 3


def test_close__lets_run_on_what_is_attached_elsewhere(programs: Object, pair: tuple[int, int]) -> None:
    fd = programs.program("tl_pass")
    with Parking() as parking:
        parking.park(fd)
        link = attach(fd, pair[0])
    assert "'tl_pass'" in str(xdp_holder(pair[0]))
    assert links_of(number_of(fd)) == [number_of(fd)]
    link.close()


def test_close__leaves_no_descriptor(programs: Object) -> None:
    before = descriptors()
    parking = Parking()
    parking.park(programs.program("tl_pass"))
    assert descriptors() > before
    parking.close()
    parking.close()
    assert descriptors() == before


def test_park__what_is_no_program_is_refused_and_the_others_stay(programs: Object) -> None:
    home = Path("/proc/thread-self/ns/net").stat().st_ino
    number = number_of(programs.program("tl_pass"))
    with Parking() as parking, Path(os.devnull).open() as nothing:
        parking.park(programs.program("tl_pass"))
        with pytest.raises(LoadError):
            parking.park(nothing.fileno())
        assert Path("/proc/thread-self/ns/net").stat().st_ino == home
        assert links_of(number) == [number]
        parking.park(programs.program("tl_drop"))  # and more find room
    assert links_of(number) == []
