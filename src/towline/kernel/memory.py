# SPDX-License-Identifier: GPL-2.0-only
"""BPF maps as memory that numpy sees: arrays without a copy, the ring buffer as batches."""

from __future__ import annotations

import ctypes as ct
import mmap
import os
import sys
import threading
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from towline.errors import PermissionsError
from towline.kernel.libbpf import BPF_F_MMAPABLE, MapCreateOptions, MapKind, library, refusal

__all__ = ["NAME_BYTES", "Map", "Ring", "name_in_c", "ring_fill", "stride"]

NAME_BYTES = 15  # BPF_OBJ_NAME_LEN without its zero: the kernel keeps no more of a map's name
_HEADER_BYTES = 8  # struct bpf_ringbuf_hdr: length and flags, page offset
_Bytes = bytes  # inside Map the method of this name hides the type
_BUSY, _DISCARDED = 1 << 31, 1 << 30


def name_in_c(name: str) -> str:
    """A map's name without the part of the file's name that stands before that of a section."""
    return name[name.index(".") :] if "." in name else name


def stride(size_bytes: int) -> int:
    """How far apart values of this size lie in an array map, or records in a ring (without its header)."""
    return -(-size_bytes // 8) * 8


class Map:
    """One BPF map, owned through its file descriptor `fd`.

    Arrays that `bytes` has returned stay valid after `close`: they keep the memory (and the map) alive.
    """

    def __init__(self, fd: int, name: str, *, kind: int, key_size: int, value_size: int, max_entries: int) -> None:
        self.fd, self.name, self.kind = fd, name, kind
        self.key_size, self.value_size, self.max_entries = key_size, value_size, max_entries
        self._memory: NDArray[np.uint8] | None = None

    @classmethod
    def create_array(cls, name: str, value_size: int, entries: int = 1, mmapable: bool = True) -> Self:
        """A new array map of `entries` values of `value_size` bytes."""
        flags = BPF_F_MMAPABLE if mmapable else 0
        return cls._create(
            name, kind=MapKind.ARRAY, key_size=4, value_size=value_size, max_entries=entries, flags=flags
        )

    @classmethod
    def create_ring(cls, name: str, size_bytes: int) -> Self:
        """A new ring buffer; the size is a power of two and a multiple of the page size, or ValueError."""
        if size_bytes < mmap.PAGESIZE or size_bytes & (size_bytes - 1):
            raise ValueError(f"a ring has a power of two of at least {mmap.PAGESIZE} bytes, not {size_bytes}")
        return cls._create(name, kind=MapKind.RINGBUF, key_size=0, value_size=0, max_entries=size_bytes)

    @classmethod
    def _create(cls, name: str, *, kind: int, key_size: int, value_size: int, max_entries: int, flags: int = 0) -> Self:
        options = MapCreateOptions(sz=ct.sizeof(MapCreateOptions), map_flags=flags)
        short = name[:NAME_BYTES]
        fd = library().bpf_map_create(kind, short.encode(), key_size, value_size, max_entries, ct.byref(options))
        if fd < 0:
            error = refusal(fd, f"making map {name} ({max_entries} entries, values of {value_size} bytes)")
            raise PermissionsError("making a BPF map") if isinstance(error, PermissionError) else error
        return cls(fd, short, kind=kind, key_size=key_size, value_size=value_size, max_entries=max_entries)

    def bytes(self) -> NDArray[np.uint8]:
        """An array map's memory, writable: max_entries values, each `stride(value_size)` bytes from the last.

        Raises ValueError for other kinds, OSError where the map was not made mmapable.
        """
        if self.kind != MapKind.ARRAY:
            raise ValueError(f"map {self.name} is not an array")
        if self._memory is None:
            size = self.max_entries * stride(self.value_size)
            pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
            # numpy holds the mapping, the mapping a duplicate of the descriptor: it goes with the last view
            self._memory = np.frombuffer(mmap.mmap(self.fd, pages), np.uint8)[:size]
        return self._memory

    def rows(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """The same as values of a dtype of `value_size` bytes: shape (max_entries,) and, of a sub-array, its own."""
        values = self.bytes().reshape(self.max_entries, stride(self.value_size))[:, : self.value_size]
        return values.view(dtype.base).reshape(self.max_entries, *dtype.shape)

    def set(self, key: _Bytes, value: _Bytes) -> None:
        """Write one element (no Python statement per packet: use `bytes` for the data plane)."""
        self._check(key, value)
        if (result := library().bpf_map_update_elem(self.fd, key, value, 0)) < 0:
            raise refusal(result, f"writing to map {self.name}")

    def get(self, key: _Bytes) -> _Bytes | None:
        """One element, or None where there is none; for a map of maps the inner map's id."""
        self._check(key)
        value = ct.create_string_buffer(stride(self.value_size))
        if (result := library().bpf_map_lookup_elem(self.fd, key, value)) < 0:
            error = refusal(result, f"reading from map {self.name}")
            if isinstance(error, FileNotFoundError):
                return None
            raise error
        return value.raw[: self.value_size]

    def delete(self, key: _Bytes) -> None:
        """Remove one element of a hash or of a map of maps; FileNotFoundError if it is not there."""
        self._check(key)
        if (result := library().bpf_map_delete_elem(self.fd, key)) < 0:
            raise refusal(result, f"deleting from map {self.name}")

    def insert(self, key: int, fd: int) -> None:
        """Put the map behind `fd` into this map of maps; its type must be that of the template."""
        self.set(key.to_bytes(self.key_size, sys.byteorder), fd.to_bytes(4, sys.byteorder))

    def _check(self, key: _Bytes, value: _Bytes | None = None) -> None:
        """The kernel reads as many bytes as the map says, whatever it was given."""
        if len(key) != self.key_size or (value is not None and len(value) != self.value_size):
            raise ValueError(
                f"map {self.name} has keys of {self.key_size} and values of {self.value_size} bytes, got"
                f" {len(key)} and {'none' if value is None else len(value)}"
            )

    def close(self) -> None:
        """Let go of the map; it lives on where a program, an outer map or an array still uses it."""
        self._memory = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def ring_fill(ring: Map) -> float:
    """The share of a ring buffer in use, 0 to 1, for who does not consume it. Raises ValueError for other kinds."""
    if ring.kind != MapKind.RINGBUF:
        raise ValueError(f"map {ring.name} is not a ring buffer")
    positions = []
    for page in range(2):  # the consumer's, the producer's: what is in use is never less than nothing
        with mmap.mmap(ring.fd, mmap.PAGESIZE, prot=mmap.PROT_READ, offset=page * mmap.PAGESIZE) as memory:
            positions.append(int.from_bytes(memory[:8], sys.byteorder))
    consumed, produced = positions
    return min((produced - consumed) / ring.max_entries, 1.0)  # both move between the looks


class Ring:
    """The consuming end of a ring buffer whose records all have one size; one thread at a time.

    The data area is mapped twice in a row, so records that wrap around lie contiguous and a batch is one
    array (the layout is that of the kernel's kernel/bpf/ringbuf.c). Nothing is copied and nothing is
    called per record. A record is valid until `release` passes it.
    """

    def __init__(self, ring: Map, record_dtype: np.dtype[Any]) -> None:
        """`record_dtype` is what each bpf_ringbuf_reserve asks for, to the byte."""
        if ring.kind != MapKind.RINGBUF:
            raise ValueError(f"map {ring.name} is not a ring buffer")
        self.map, self.size_bytes = ring, ring.max_entries
        page = mmap.PAGESIZE
        self._consumer = np.frombuffer(mmap.mmap(ring.fd, page), np.uint64, 1)
        # producer page and data: the kernel refuses to map these writable
        self._area = mmap.mmap(ring.fd, page + 2 * self.size_bytes, prot=mmap.PROT_READ, offset=page)
        self._producer = np.frombuffer(self._area, np.uint64, 1)
        self._slot = np.dtype(
            {
                "names": ["header", "record"],
                "formats": [np.uint32, record_dtype],
                "offsets": [0, _HEADER_BYTES],
                "itemsize": _HEADER_BYTES + stride(record_dtype.itemsize),
            }
        )
        self._record_bytes = record_dtype.itemsize
        self._at = int(self._consumer[0])
        self._fence = threading.Lock()

    def batch(self, most: int) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Up to `most` records that are ready, oldest first, and which of them count.

        The first value is a read-only view of shape (n,), n = 0 where nothing is ready; it ends before the
        first record that a program is still writing. The second is None where all records count, else
        False for each record that its program discarded. Give all n back with `release`.
        Raises ValueError where the ring holds a record of another size.
        """
        # The producer's position first: what lies below it has its header written.
        ready = int(self._producer[0]) - self._at
        n = min(most, ready // self._slot.itemsize)
        if n <= 0:
            return self._slots(0)["record"], None
        self._barrier()
        slots = self._slots(n)
        headers = slots["header"].copy()  # read once: the busy bit may fall between two looks
        self._barrier()  # contents after headers
        odd = np.flatnonzero(headers != self._record_bytes)
        if not len(odd):
            return slots["record"], None
        if len(busy := odd[headers[odd] & _BUSY != 0]):
            n = int(busy[0])
        headers = headers[:n]
        discarded = headers & _DISCARDED != 0
        if np.any((headers & ~np.uint32(_DISCARDED)) != self._record_bytes):
            raise ValueError(f"ring {self.map.name} has a record of another size than {self._record_bytes} bytes")
        return slots["record"][:n], ~discarded if discarded.any() else None

    def release(self, n: int) -> None:
        """Give the oldest `n` records back (discarded ones included); their views are not valid any more."""
        self._at += n * self._slot.itemsize
        self._barrier()
        self._consumer[0] = self._at

    def fill_bytes(self) -> int:
        """How much of the ring is in use: produced, busy ones included, and not yet released."""
        return int(self._producer[0]) - self._at

    def _slots(self, n: int) -> NDArray[Any]:
        offset = mmap.PAGESIZE + self._at % self.size_bytes
        return np.ndarray((n,), self._slot, self._area, offset)

    def _barrier(self) -> None:
        """Keep memory accesses before this before those behind it, on weakly ordered machines too.

        Python has no fence, but releasing a lock and then taking one is: nothing before the release moves
        behind the taking. x86 would need none of it; it costs some 0.2 us a batch.
        """
        with self._fence:
            pass
        with self._fence:
            pass
