# SPDX-License-Identifier: GPL-2.0-only
"""BTF, the types inside an object file, as numpy dtypes."""

from __future__ import annotations

import ctypes as ct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from towline.kernel.libbpf import BtfType, library

__all__ = ["Types", "Variable"]

# Kinds of <linux/btf.h>.
_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM, _DATASEC, _FLOAT, _ENUM64 = 1, 2, 3, 4, 5, 6, 15, 16, 19
_TRANSPARENT = frozenset({8, 9, 10, 11, 14, 18})  # typedef, volatile, const, restrict, variable, type tag
_ENCODING_SIGNED, _ENCODING_BOOL = 1, 4


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One variable of a data section; `dtype` is a sub-array dtype where the variable is an array."""

    offset_bytes: int
    size_bytes: int
    dtype: np.dtype[Any]


class Types:
    """The types of one object. `handle` is libbpf's `struct btf *`, which must outlive this."""

    def __init__(self, handle: int) -> None:
        self._lib, self._handle = library(), handle
        self._known: dict[int, np.dtype[Any]] = {}

    def named(self, name: str) -> np.dtype[Any]:
        """The dtype of a struct (or union, typedef, enum) by its name; ValueError if there is none."""
        for kind in (_STRUCT, _UNION):
            if (number := self._lib.btf__find_by_name_kind(self._handle, name.encode(), kind)) > 0:
                return self.dtype(number)
        if (number := self._lib.btf__find_by_name(self._handle, name.encode())) > 0:
            return self.dtype(number)
        raise ValueError(
            f"the object has no type {name!r} (clang leaves out what is only used through local pointers:"
            " keep one object of it)"
        )

    def section(self, name: str) -> dict[str, Variable]:
        """The variables of a data section (".rodata", ".data", ".bss") by name; empty if there is none."""
        number = self._lib.btf__find_by_name_kind(self._handle, name.encode(), _DATASEC)
        if number < 0:
            return {}
        head, words = self._read(number)
        return {
            self._name(self._read(type_id)[0]): Variable(
                offset_bytes=offset, size_bytes=size, dtype=self.dtype(type_id)
            )
            for type_id, offset, size in _triples(words, head.info & 0xFFFF)
        }

    def values(self, section: str, content: bytes) -> dict[str, bytes]:
        """The bytes of each variable of a data section, out of those of all of it."""
        found = self.section(section).items()
        return {name: content[one.offset_bytes : one.offset_bytes + one.size_bytes] for name, one in found}

    def dtype(self, type_id: int) -> np.dtype[Any]:
        """The dtype of a type by its number: exact offsets and size, native byte order, pointers as u64,
        enums as unsigned integers (clang tells their sign since 16 only).

        Members of anonymous structs and unions appear in the struct around them; a flexible array at the
        end is left out. Raises TypeError for what numpy cannot show (bit fields, functions).
        """
        if type_id not in self._known:
            self._known[type_id] = self._build(type_id)
        return self._known[type_id]

    def name(self, type_id: int) -> str:
        """What a type is called; "" where it has no name."""
        return self._name(self._read(type_id)[0])

    def _build(self, type_id: int) -> np.dtype[Any]:
        head, words = self._read(type_id)
        kind = head.info >> 24 & 0x1F
        if kind in _TRANSPARENT:
            return self.dtype(head.size_or_type)
        if kind in (_INT, _ENUM, _ENUM64):
            return _integer(head.size_or_type, words[0] >> 24 & 0xF if kind == _INT else 0)
        if kind == _PTR:
            return np.dtype(np.uint64)
        if kind == _FLOAT:
            return np.dtype(f"f{head.size_or_type}")
        if kind == _ARRAY:
            inner = self.dtype(words[0])
            return np.dtype((inner.base, (words[2], *inner.shape)))  # one shape for an array of arrays
        if kind in (_STRUCT, _UNION):
            return self._struct(type_id)
        raise TypeError(f"BTF type {type_id} ({self._name(head) or 'no name'}) has no value (kind {kind})")

    def _struct(self, type_id: int) -> np.dtype[Any]:
        names, formats, offsets = [], [], []
        for name, dtype, offset in self._fields(type_id):
            names.append(name)
            formats.append(dtype)
            offsets.append(offset)
        size = self._read(type_id)[0].size_or_type
        return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})

    def _fields(self, type_id: int) -> Iterator[tuple[str, np.dtype[Any], int]]:
        """Name, dtype and byte offset of each member, those of anonymous members included."""
        head, words = self._read(type_id)
        for name_offset, member, place in _triples(words, head.info & 0xFFFF):
            name = self._text(name_offset)
            bits = place >> 24 if head.info >> 31 else 0  # the kind flag says: place holds a width too
            start = place & 0xFFFFFF if head.info >> 31 else place
            if bits or start % 8:
                raise TypeError(f"{self._name(head) or 'a struct'} has the bit field {name!r}: take an integer")
            if not name:
                for inner, dtype, offset in self._fields(self._strip(member)):
                    yield inner, dtype, start // 8 + offset
            elif self._lib.btf__resolve_size(self._handle, member) > 0:
                yield name, self.dtype(member), start // 8

    def _strip(self, type_id: int) -> int:
        """The number of the type behind typedefs and qualifiers."""
        head, _ = self._read(type_id)
        return self._strip(head.size_or_type) if head.info >> 24 & 0x1F in _TRANSPARENT else type_id

    def _read(self, type_id: int) -> tuple[BtfType, Any]:
        """A type's head, and a pointer to the 32-bit words that follow it."""
        pointer = self._lib.btf__type_by_id(self._handle, type_id)
        if not pointer:
            raise ValueError(f"the object has no BTF type {type_id}: compile it with -g")
        words = ct.cast(ct.addressof(pointer.contents) + ct.sizeof(BtfType), ct.POINTER(ct.c_uint32))
        return pointer.contents, words

    def _text(self, offset: int) -> str:
        found: bytes | None = self._lib.btf__name_by_offset(self._handle, offset)
        return (found or b"").decode()

    def _name(self, head: BtfType) -> str:
        return self._text(head.name_off)


def _triples(words: Any, count: int) -> Iterator[tuple[int, int, int]]:
    """Members and variables are three words each."""
    for i in range(count):
        yield words[3 * i], words[3 * i + 1], words[3 * i + 2]


def _integer(size_bytes: int, encoding: int) -> np.dtype[Any]:
    if encoding & _ENCODING_BOOL:
        return np.dtype(np.bool_)
    if size_bytes not in (1, 2, 4, 8):
        raise TypeError(f"numpy has no integer of {size_bytes} bytes")
    return np.dtype(f"{'i' if encoding & _ENCODING_SIGNED else 'u'}{size_bytes}")
