# SPDX-License-Identifier: GPL-2.0-only
"""Load a BPF object: choose programs, set constants and sizes; hand out its programs, maps and memory."""

from __future__ import annotations

import ctypes as ct
import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from towline.errors import LoadError, PermissionsError, TowlineError, UnsupportedError
from towline.kernel.btf import Types, Variable
from towline.kernel.libbpf import OLDEST_KERNEL, kernel_version, library, messages, refusal
from towline.kernel.memory import Map, name_in_c

__all__ = ["Object"]

_LOG_BYTES = 64 << 20  # address space only; pages come with what the verifier writes
_STATISTICS = re.compile(r"processed \d+ insns|verification time|stack depth|mark_precise|\s*$")


class Object:
    """One object file on its way into the kernel: open, prepare, `load`, use, `close`.

    Before `load`: set_constants, keep, inner, resize. After it: program, map, memory, globals.
    Arrays that were handed out stay valid after `close`.
    """

    def __init__(self, path: Path) -> None:
        """Open an object file; LoadError if it is none."""
        self._lib, self._loaded = library(), False
        self._maps: dict[str, Map] = {}
        with messages() as said:
            self._handle: int | None = self._lib.bpf_object__open_file(os.fsencode(path), None)
        if not self._handle:
            raise LoadError(f"{path} is not a BPF object: {_last_words(said)}", "\n".join(said))
        self.path = path
        types = self._lib.bpf_object__btf(self._handle)
        if not types:
            self.close()
            raise LoadError(f"{path} has no BTF, so nothing in it has a name: compile it with -g")
        self._types = Types(types)

    def set_constants(self, **values: object) -> None:
        """Set `const volatile` globals: an integer (of any width), a sequence or array of integers of the
        variable's shape, or bytes of exactly its size.

        Raises ValueError for a name that the object does not have and for a wrong shape or size,
        OverflowError for a value that does not fit.
        """
        known = self._types.section(".rodata")
        memory = self._rodata()
        for name, value in values.items():
            if name not in known:
                raise self._unknown("constant", name, known)
            content = _encoded(name, known[name], value)
            ct.memmove(ct.byref(memory, known[name].offset_bytes), content, len(content))

    def keep(self, *names: str) -> None:
        """Load only these programs; ValueError for one that the object does not have."""
        programs = self._programs()
        for name in names:
            if name not in programs:
                raise self._unknown("program", name, programs)
        for name, handle in programs.items():
            self._lib.bpf_program__set_autoload(handle, name in names)

    def inner(self, map_name: str, template_fd: int) -> None:
        """Say what the inner maps of a map of maps look like (declare it without `values`)."""
        self._prepared(self._lib.bpf_map__set_inner_map_fd(self._map(map_name), template_fd), map_name)

    def reuse(self, map_name: str, fd: int) -> None:
        """Take a map that exists instead of making one; it must be of the same kind and size."""
        self._prepared(self._lib.bpf_map__reuse_fd(self._map(map_name), fd), map_name)

    def resize(self, map_name: str, *, entries: int | None = None, value_size: int | None = None) -> None:
        """Change a map's number of elements, its value's size in bytes, or both."""
        handle = self._map(map_name)
        if entries is not None:
            self._prepared(self._lib.bpf_map__set_max_entries(handle, entries), map_name)
        if value_size is not None:
            self._prepared(self._lib.bpf_map__set_value_size(handle, value_size), map_name)

    def load(self) -> None:
        """Make the maps and have the verifier check the programs.

        Raises LoadError with the line that matters (`.log` has all of it), PermissionsError, and
        UnsupportedError where the kernel is older than live frames.
        """
        logs = {name: np.zeros(_LOG_BYTES, np.uint8) for name in self._programs()}
        for name, handle in self._programs().items():
            self._lib.bpf_program__set_log_buf(handle, logs[name].ctypes.data, _LOG_BYTES)
        with messages() as said:
            result = self._lib.bpf_object__load(self._handle)
        for handle in self._programs().values():
            self._lib.bpf_program__set_log_buf(handle, None, 0)  # the buffers go now
        if result < 0:
            texts = {name: ct.string_at(log.ctypes.data) for name, log in logs.items()}
            logged = {name: text.decode(errors="replace") for name, text in texts.items() if text}
            raise _load_error(-result, logged, said)
        self._loaded = True

    def program(self, name: str) -> int:
        """A loaded program's file descriptor, which belongs to this object."""
        programs = self._programs()
        if name not in programs:
            raise self._unknown("program", name, programs)
        fd: int = self._lib.bpf_program__fd(programs[name])
        if fd < 0:
            raise ValueError(f"program {name} of {self.path.name} is not loaded")
        return fd

    def map(self, name: str) -> Map:
        """A map by its name in C (".bss", ".data" and ".rodata" too); it is closed with this object."""
        if not self._loaded:
            raise ValueError(f"{self.path.name} is not loaded")
        if name not in self._maps:
            handle, lib = self._map(name), self._lib
            self._maps[name] = Map(
                os.dup(lib.bpf_map__fd(handle)),  # libbpf closes its own
                name,
                kind=lib.bpf_map__type(handle),
                key_size=lib.bpf_map__key_size(handle),
                value_size=lib.bpf_map__value_size(handle),
                max_entries=lib.bpf_map__max_entries(handle),
            )
        return self._maps[name]

    def memory(self, name: str) -> NDArray[Any]:
        """An mmapable array map without a copy: shape (max_entries,), dtype that of its `__type(value, ...)`.

        Raises ValueError where the map has no value type, or was resized away from it (then use `map`).
        """
        which = self.map(name)
        type_id = self._lib.bpf_map__btf_value_type_id(self._map(name))
        dtype = self._types.dtype(type_id) if type_id else np.dtype(np.void)
        if dtype.itemsize != which.value_size:
            raise ValueError(f"map {name} has values of {which.value_size} bytes and no type of that size")
        return which.rows(dtype)

    def map_names(self) -> list[str]:
        """By their names in C; sections of variables begin with a dot."""
        return [name_in_c(name) for name in self._each(self._lib.bpf_object__next_map, self._lib.bpf_map__name)]

    def program_names(self) -> list[str]:
        """By their functions."""
        return list(self._programs())

    def constants(self) -> dict[str, bytes]:
        """The bytes of each `const volatile` global, as it stands now."""
        return self._types.values(".rodata", self._rodata().raw)

    def _rodata(self) -> ct.Array[ct.c_char]:
        """The memory of all constants."""
        size = ct.c_size_t()
        known = self._types.section(".rodata")
        start = self._lib.bpf_map__initial_value(self._map(".rodata"), ct.byref(size)) if known else 0
        return (ct.c_char * size.value).from_address(start)

    def map_kind(self, name: str) -> int:
        """One of MapKind."""
        return int(self._lib.bpf_map__type(self._map(name)))

    @property
    def types(self) -> Types:
        """Everything that has a name here."""
        return self._types

    def value_dtype(self, map_name: str) -> np.dtype[Any] | None:
        """Of a map's values; None where it has no type."""
        type_id = self._lib.bpf_map__btf_value_type_id(self._map(map_name))
        return self._types.dtype(type_id) if type_id and not map_name.startswith(".") else None

    def value_name(self, map_name: str) -> str:
        """The name of the struct that a map's values are; "" where they have none."""
        type_id = self._lib.bpf_map__btf_value_type_id(self._map(map_name))
        return self._types.name(type_id) if type_id else ""

    def globals(self, name: str) -> NDArray[Any]:
        """A variable of .bss or .data without a copy: shape () or its array's; write with `[...] =`."""
        for section in self._variables():
            if variable := self._types.section(section).get(name):
                shape, base = variable.dtype.shape, variable.dtype.base
                return np.ndarray(shape, base, self.map(section).bytes().data, variable.offset_bytes)
        known = [one for section in self._variables() for one in self._types.section(section)]
        raise self._unknown("variable", name, known)

    def _variables(self) -> list[str]:
        """The sections that hold them."""
        return [name for name in self.map_names() if name.startswith((".bss", ".data"))]

    def dtype(self, struct_name: str) -> np.dtype[Any]:
        """The numpy dtype of a struct by its name in C; ValueError if the object has none."""
        return self._types.named(struct_name)

    def close(self) -> None:
        """Let go of programs and maps; what links, arrays and other processes hold lives on."""
        for which in self._maps.values():
            which.close()
        self._maps.clear()
        if self._handle:
            self._lib.bpf_object__close(self._handle)
            self._handle, self._loaded = None, False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _programs(self) -> dict[str, int]:
        return self._each(self._lib.bpf_object__next_program, self._lib.bpf_program__name)

    def _each(self, following: Callable[..., int | None], name: Callable[[int], bytes]) -> dict[str, int]:
        """libbpf's handles of programs or maps by name."""
        if not self._handle:
            raise ValueError(f"{self.path.name} is closed")
        found: dict[str, int] = {}
        handle = following(self._handle, None)
        while handle:
            found[name(handle).decode()] = handle
            handle = following(self._handle, handle)
        return found

    def _map(self, name: str) -> int:
        known = self._each(self._lib.bpf_object__next_map, self._lib.bpf_map__name)
        handle: int | None = self._lib.bpf_object__find_map_by_name(self._handle, name.encode())
        if not handle:
            raise self._unknown("map", name, known)
        return handle

    def _prepared(self, result: int, map_name: str) -> None:
        if result < 0:
            raise ValueError(str(refusal(result, f"preparing map {map_name} of {self.path.name}").strerror))

    def _unknown(self, what: str, name: str, known: Any) -> ValueError:
        return ValueError(f"{self.path.name} has no {what} {name!r}; it has {', '.join(known) or 'none'}")


def _encoded(name: str, variable: Variable, value: object) -> bytes:
    """The bytes of a constant, checked against its type."""
    if isinstance(value, bytes | bytearray):
        if len(value) != variable.size_bytes:
            raise ValueError(f"constant {name} has {variable.size_bytes} bytes, got {len(value)}")
        return bytes(value)
    array, wanted = np.asarray(value), variable.dtype
    if array.shape != wanted.shape:
        raise ValueError(f"constant {name} has the shape {wanted.shape}, got {array.shape}")
    if wanted.base.kind in "iu":
        limits = np.iinfo(wanted.base)
        numbers = [int(number) for number in array.ravel()]
        if any(number != whole for number, whole in zip(numbers, array.ravel(), strict=True)):
            raise ValueError(f"constant {name} takes whole numbers")
        if min(numbers, default=0) < limits.min or max(numbers, default=0) > limits.max:
            raise OverflowError(f"constant {name} takes {limits.min} to {limits.max}, got {value}")
    return array.astype(wanted.base).tobytes()


def _load_error(number: int, logs: dict[str, str], said: list[str]) -> TowlineError:
    """What to tell of a failed load: the verifier's word if it spoke, else libbpf's."""
    everything = "\n".join([*logs.values(), *said])
    for name, log in logs.items():
        lines = log.splitlines()
        telling = [line for line in lines if not _STATISTICS.match(line)]
        source = [line for line in telling if line.startswith(";")]
        where = f" (at {source[-1].lstrip('; ')})" if source else ""
        last = telling[-1].strip() if telling else os.strerror(number)
        return LoadError(f"{name}: {last}{where}", everything)
    if number == errno.EPERM:
        return PermissionsError("loading eBPF programs")
    if kernel_version() < OLDEST_KERNEL:
        needs = f"Linux {OLDEST_KERNEL[0]}.{OLDEST_KERNEL[1]} or newer; this is {os.uname().release}"
        return UnsupportedError("the eBPF datapath", needs)
    return LoadError(_last_words(said) or os.strerror(number), everything)


def _last_words(said: list[str]) -> str:
    """libbpf's first complaint that is no retry; later ones only say that the whole failed."""
    telling = [line for line in said if "Retrying" not in line]
    failed = [line for line in telling if "fail" in line]
    return (failed or telling or [""])[0].removeprefix("libbpf: ")
