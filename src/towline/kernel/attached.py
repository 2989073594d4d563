# SPDX-License-Identifier: GPL-2.0-only
"""A program on an interface, seen from outside the process that put it there: its maps, constants and types."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from towline.errors import LoadError
from towline.kernel.attach import replace_program
from towline.kernel.btf import Types
from towline.kernel.libbpf import library
from towline.kernel.memory import NAME_BYTES, Map, name_in_c
from towline.kernel.objects import link_info, maps_of, open_link, open_program, program_info

_FIRST = bytes(4)


class Program:
    """One loaded program, by its descriptor, which this owns. `name` is that of its function."""

    def __init__(self, fd: int) -> None:
        self._stack = ExitStack()
        self._stack.callback(os.close, fd)
        self.fd = fd
        info = program_info(fd)
        self.number: int = info.id
        self.name: str = info.name.decode()
        self._types_number: int = info.btf_id
        self._maps: dict[str, Map] = {}

    @property
    def maps(self) -> dict[str, Map]:
        """By their names in C, as far as the kernel keeps them; sections of variables begin with a dot."""
        if not self._maps:
            for one in maps_of(self.fd):
                self._stack.callback(one.close)
                self._maps[name_in_c(one.name)] = one
        return self._maps

    @cached_property
    def types(self) -> Types:
        """From the kernel's copy of its BTF. Raises LoadError where it was loaded without."""
        handle = library().btf__load_from_kernel_by_id(self._types_number) if self._types_number else None
        if not handle:
            raise LoadError(f"program {self.number} {self.name} has no BTF: it is not one of towline's")
        self._stack.callback(library().btf__free, handle)
        return Types(handle)

    def map(self, name: str) -> Map | None:
        """By its whole name in C; None where it uses none of that name."""
        return self.maps.get(name[:NAME_BYTES])

    def constants(self) -> dict[str, bytes]:
        """The bytes of each `const volatile` variable."""
        section = self.map(".rodata")
        content = section.get(_FIRST) if section else None
        return {} if content is None else self.types.values(".rodata", content)

    def constant(self, name: str) -> int:
        """A constant that is a number. LoadError where there is none of that name."""
        found = self.constants().get(name)
        if found is None:
            raise LoadError(f"program {self.number} {self.name} has no constant {name}: it is not one of towline's")
        return int.from_bytes(found, "little")

    def memory(self, name: str, struct: str) -> NDArray[Any]:
        """An mmapable array's values, shape (max_entries,), dtype that of a struct; LoadError where there is none."""
        which, dtype = self.map(name), self.types.named(struct)
        if which is None or dtype.itemsize != which.value_size:
            raise LoadError(f"program {self.number} {self.name} has no map {name} of struct {struct}")
        return which.rows(dtype)

    def close(self) -> None:
        """Let go of it; arrays that were handed out stay."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Attached:
    """An XDP link, by its number, whoever made it."""

    def __init__(self, number: int, fd: int | None = None) -> None:
        """`fd`: a descriptor of it, which becomes this object's. Raises FileNotFoundError where it is gone,
        PermissionsError.
        """
        self.number = number
        self.fd = open_link(number) if fd is None else fd

    @property
    def program_number(self) -> int:
        """Of the program that is there now."""
        return int(link_info(self.fd).prog_id)

    @property
    def ifindex(self) -> int:
        """Of its interface, in whatever namespace; 0: it is gone."""
        return int(link_info(self.fd).xdp_ifindex)

    def program(self) -> Program:
        """The program that is there now, to be closed."""
        return Program(open_program(self.program_number))

    def replace(self, program_fd: int, instead_of: int | None = None) -> bool:
        """Put another program in place; no packet meets an empty hook. `instead_of`: as replace_program has it."""
        return replace_program(self.fd, program_fd, instead_of)

    def close(self) -> None:
        """Let go of the link, which stays."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
