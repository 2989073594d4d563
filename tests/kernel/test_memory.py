# SPDX-License-Identifier: GPL-2.0-only
"""Maps as numpy arrays, maps in maps, and the ring buffer in batches."""

from __future__ import annotations

import gc
import mmap
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from towline.kernel.libbpf import MapKind
from towline.kernel.live import run_syscall
from towline.kernel.memory import Map, Ring, ring_fill
from towline.kernel.program import Object

Build = Callable[[str], Path]
PAGE = mmap.PAGESIZE
RECORD = np.dtype([("number", np.uint32), ("payload", np.uint8, 9)])  # 13 bytes: 24 with header and rounding
RINGS = """
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
struct record { u32 number; u8 payload[9]; } __attribute__((packed));
u64 full = 0;
struct argument { u32 first, count, discard_every; };

SEC("syscall") int produce(struct argument *a)
{
	u32 first = a->first, count = a->count, every = a->discard_every;
	for (u32 i = 0; i < 1000 && i < count; i++) {
		struct record *r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);
		if (!r) {
			full++;
			continue;
		}
		r->number = first + i;
		r->payload[8] = first + i;
		if (every && i % every == 0)
			bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
		else
			bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	}
	return 0;
}
"""
NESTED = """
const volatile u32 size = 0;
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 4); __uint(key_size, 4);
	__uint(value_size, 4); } arrays SEC(".maps"), rings SEC(".maps");
struct argument { u32 key, offset, value; };

SEC("syscall") int write(struct argument *a)
{
	u32 key = a->key, zero = 0, offset = a->offset;
	void *inner = bpf_map_lookup_elem(&arrays, &key), *ring = bpf_map_lookup_elem(&rings, &key);
	u8 *value = inner ? bpf_map_lookup_elem(inner, &zero) : 0;
	if (!value || offset >= size)
		return -1;
	value[offset] = a->value;
	u64 *record = ring ? bpf_ringbuf_reserve(ring, 8, 0) : 0;
	if (!record)
		return -2;
	*record = offset;
	bpf_ringbuf_submit(record, 0);
	return 0;
}
"""


def words(*numbers: int) -> bytes:
    return np.array(numbers, np.uint32).tobytes()


def test_map__reads_and_writes_elements() -> None:
    with Map.create_array("tltest_name_that_is_too_long", 12, entries=3) as array:
        array.set(words(2), bytes(range(12)))
        assert array.get(words(2)) == bytes(range(12))
        assert array.get(words(3)) is None
        memory = array.bytes()
        assert memory.shape == (3 * 16,)
        assert bytes(memory[32:44]) == bytes(range(12))
        memory[0] = 5
        assert array.get(words(0)) == bytes([5] + [0] * 11)


def test_map__refuses_keys_and_values_of_another_size() -> None:
    with Map.create_array("tltest", 12) as array:
        with pytest.raises(ValueError, match="keys of 4 and values of 12 bytes, got 4 and 11"):
            array.set(words(0), bytes(11))
        with pytest.raises(ValueError, match="got 8"):
            array.get(bytes(8))


def test_bytes__stay_valid_after_close() -> None:
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    array = Map.create_array("tltest", 4096, entries=4)
    memory = array.bytes()
    array.close()
    array.close()
    gc.collect()
    memory[4 * 4096 - 1] = 1
    assert memory.sum() == 1
    del memory
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_bytes__refuses_what_cannot_be_mapped() -> None:
    with Map.create_ring("tltest", 4096) as ring, pytest.raises(ValueError, match="not an array"):
        ring.bytes()
    with Map.create_array("tltest", 8, mmapable=False) as array, pytest.raises(OSError, match=r"."):
        array.bytes()


@pytest.mark.parametrize("size_bytes", [0, 2048, 4097, 12288])
def test_create_ring__refuses_other_sizes(size_bytes: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Map.create_ring("tltest", size_bytes)


def test_create_array__says_what_was_refused() -> None:
    with pytest.raises(OSError, match=r"making map tltest \(0 entries, values of 8 bytes\): Invalid"):
        Map.create_array("tltest", 8, entries=0)


def test_insert__takes_arrays_of_230_megabytes_and_rings_of_any_size(build: Build) -> None:
    size = 230 << 20
    with (
        Object(build(NESTED)) as nested,
        Map.create_array("tltest_big", size) as array,
        Map.create_ring("tltest_small", 4096) as template,
        Map.create_ring("tltest_ring", 1 << 20) as other,
    ):
        nested.set_constants(size=size)
        nested.inner("arrays", array.fd)
        nested.inner("rings", template.fd)
        nested.load()
        nested.map("arrays").insert(3, array.fd)
        nested.map("rings").insert(3, other.fd)
        program, offset = nested.program("write"), size - 5
        assert run_syscall(program, words(3, offset, 77))[0] == 0
        assert run_syscall(program, words(3, size, 77))[0] == -1  # beyond the value
        assert run_syscall(program, words(2, offset, 77))[0] == -1  # nothing there
        assert array.bytes()[offset] == 77
        records, keep = Ring(other, np.dtype(np.uint64)).batch(10)
        assert (records.tolist(), keep) == ([offset], None)
        nested.map("arrays").delete((3).to_bytes(4, sys.byteorder))
        assert run_syscall(program, words(3, offset, 77))[0] == -1


def test_inner__leaves_the_template_open(build: Build) -> None:
    with Map.create_array("tltest", 8) as array, Map.create_ring("tltest", 4096) as ring:
        with Object(build(NESTED)) as nested:
            nested.set_constants(size=8)
            nested.inner("arrays", array.fd)
            nested.inner("rings", ring.fd)
            nested.load()
        os.fstat(array.fd)
        os.fstat(ring.fd)
        assert array.get(words(0)) == bytes(8)


def test_batch__goes_round_the_kernels_ring(build: Build) -> None:
    with Object(build(RINGS)) as rings:
        rings.load()
        ring, program = Ring(rings.map("ring"), RECORD), rings.program("produce")
        assert ring.batch(10)[0].shape == (0,)
        got: list[int] = []
        for lap in range(40):  # 97 records of 24 bytes: the ring of 4096 wraps in a record, too
            run_syscall(program, words(lap * 97, 97, 0))
            assert ring.fill_bytes() == 97 * 24
            first, keep = ring.batch(60)
            assert (len(first), keep) == (60, None)
            got += first["number"].tolist()
            assert (first["payload"][:, 8] == first["number"] % 256).all()
            ring.release(60)
            rest, _ = ring.batch(1000)
            got += rest["number"].tolist()
            ring.release(len(rest))
        assert got == list(range(40 * 97))
        assert rings.globals("full") == 0


def test_batch__marks_discarded_records(build: Build) -> None:
    with Object(build(RINGS)) as rings:
        rings.load()
        ring = Ring(rings.map("ring"), RECORD)
        run_syscall(rings.program("produce"), words(100, 10, 3))
        records, keep = ring.batch(10)
        assert keep is not None
        assert keep.tolist() == [i % 3 != 0 for i in range(10)]
        assert records["number"][keep].tolist() == [101, 102, 104, 105, 107, 108]
        ring.release(len(records))
        assert ring.fill_bytes() == 0


def test_release__makes_room_for_the_program(build: Build) -> None:
    with Object(build(RINGS)) as rings:
        rings.load()
        ring, program = Ring(rings.map("ring"), RECORD), rings.program("produce")
        run_syscall(program, words(0, 200, 0))
        records, _ = ring.batch(1000)
        assert rings.globals("full") == 200 - len(records) > 0
        ring.release(5)
        rings.globals("full")[...] = 0
        run_syscall(program, words(500, 6, 0))
        assert rings.globals("full") == 1
        assert ring.batch(1000)[0]["number"][-1] == 504


def test_batch__is_read_only(build: Build) -> None:
    with Object(build(RINGS)) as rings:
        rings.load()
        run_syscall(rings.program("produce"), words(0, 1, 0))
        records, _ = Ring(rings.map("ring"), RECORD).batch(1)
        with pytest.raises(ValueError, match="read-only"):
            records["number"][0] = 1


class FakeRing:
    """The kernel's side of a ring of one page in a file: its programs cannot be stopped inside a record."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("tltest")
        os.ftruncate(self.fd, 4 * PAGE)  # consumer, producer, data, data again
        self.map = Map(self.fd, "fake", kind=MapKind.RINGBUF, key_size=0, value_size=0, max_entries=PAGE)
        self.produced = 0

    def put(self, header: int, number: int, size_bytes: int = 24) -> int:
        at, self.produced = self.produced, self.produced + size_bytes
        record = header.to_bytes(4, "little") + bytes(4) + number.to_bytes(4, "little")
        os.pwrite(self.fd, record, 2 * PAGE + at % PAGE)
        os.pwrite(self.fd, self.produced.to_bytes(8, "little"), PAGE)
        return at

    def finish(self, at: int) -> None:
        os.pwrite(self.fd, (13).to_bytes(4, "little"), 2 * PAGE + at % PAGE)


@pytest.fixture
def fake() -> Iterator[FakeRing]:
    ring = FakeRing()
    yield ring
    ring.map.close()


def test_batch__stops_at_a_record_that_is_being_written(fake: FakeRing) -> None:
    ring = Ring(fake.map, RECORD)
    fake.put(13 | 1 << 30, 0)
    fake.put(13, 1)
    busy = fake.put(13 | 1 << 31, 2)
    fake.put(13 | 1 << 30, 3)
    fake.put(13, 4)
    records, keep = ring.batch(100)
    assert records["number"].tolist() == [0, 1]
    assert keep is not None
    assert keep.tolist() == [False, True]
    ring.release(2)
    assert ring.batch(100)[0].shape == (0,)
    fake.finish(busy)
    records, keep = ring.batch(100)
    assert records["number"].tolist() == [2, 3, 4]
    assert keep is not None
    assert keep.tolist() == [True, False, True]


def test_batch__refuses_a_record_of_another_size(fake: FakeRing) -> None:
    ring = Ring(fake.map, RECORD)
    fake.put(13, 0)
    fake.put(14, 0)
    with pytest.raises(ValueError, match="another size than 13"):
        ring.batch(100)


def test_ring__goes_on_where_another_consumer_stopped(fake: FakeRing) -> None:
    fake.put(13, 1)
    fake.put(13, 2)
    Ring(fake.map, RECORD).release(1)
    assert Ring(fake.map, RECORD).batch(5)[0]["number"].tolist() == [2]


def test_ring_fill__is_seen_without_taking_anything(build: Build) -> None:
    with Object(build(RINGS)) as rings:
        rings.load()
        which = rings.map("ring")
        ring = Ring(which, RECORD)
        assert ring_fill(which) == 0.0
        run_syscall(rings.program("produce"), words(0, 100, 0))
        assert ring_fill(which) == ring.fill_bytes() / ring.size_bytes == 100 * 24 / PAGE
        ring.release(60)
        assert ring_fill(which) == 40 * 24 / PAGE
        assert len(ring.batch(100)[0]) == 40


def test_ring_fill__of_an_array_is_refused() -> None:
    with Map.create_array("tl_array", 8) as array, pytest.raises(ValueError, match="not a ring"):
        ring_fill(array)
