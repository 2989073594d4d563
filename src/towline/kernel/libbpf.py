# SPDX-License-Identifier: GPL-2.0-only
"""Bindings to libbpf.so.1, nothing clever: signatures, structures, and its messages as a list of lines."""

from __future__ import annotations

import ctypes as ct
import errno
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from towline.errors import UnsupportedError

__all__ = [
    "BtfType",
    "LinkCreateOptions",
    "LinkInfo",
    "LinkKind",
    "LinkUpdateOptions",
    "MapCreateOptions",
    "MapInfo",
    "MapKind",
    "ProgramInfo",
    "TestRunOptions",
    "kernel_version",
    "library",
    "messages",
    "refusal",
]

# Numbers of <linux/bpf.h> and <linux/if_link.h>; they are ABI and never change.
BPF_XDP = 37
BPF_F_MMAPABLE = 1 << 10
BPF_F_REPLACE = 1 << 2
BPF_F_TEST_XDP_LIVE_FRAMES = 1 << 1
XDP_FLAGS_SKB_MODE = 1 << 1
XDP_FLAGS_DRV_MODE = 1 << 2

OLDEST_KERNEL = (5, 18)  # live frames
OLDEST_LIBBPF = (1, 1)


class MapKind:
    """The map types of <linux/bpf.h> that are used here."""

    HASH = 1
    ARRAY = 2
    ARRAY_OF_MAPS = 12
    HASH_OF_MAPS = 13
    RINGBUF = 27


class TestRunOptions(ct.Structure):
    """struct bpf_test_run_opts."""

    __test__ = False  # the name begins with Test, but it is none
    _fields_ = (
        ("sz", ct.c_size_t),
        ("data_in", ct.c_void_p),
        ("data_out", ct.c_void_p),
        ("data_size_in", ct.c_uint32),
        ("data_size_out", ct.c_uint32),
        ("ctx_in", ct.c_void_p),
        ("ctx_out", ct.c_void_p),
        ("ctx_size_in", ct.c_uint32),
        ("ctx_size_out", ct.c_uint32),
        ("retval", ct.c_uint32),
        ("repeat", ct.c_int),
        ("duration", ct.c_uint32),
        ("flags", ct.c_uint32),
        ("cpu", ct.c_uint32),
        ("batch_size", ct.c_uint32),
    )


class LinkCreateOptions(ct.Structure):
    """struct bpf_link_create_opts, as far as XDP needs it (`sz` says that the rest is missing)."""

    _fields_ = (
        ("sz", ct.c_size_t),
        ("flags", ct.c_uint32),
        ("iter_info", ct.c_void_p),
        ("iter_info_len", ct.c_uint32),
        ("target_btf_id", ct.c_uint32),
    )


class LinkUpdateOptions(ct.Structure):
    """struct bpf_link_update_opts, as far as XDP needs it."""

    _fields_ = (("sz", ct.c_size_t), ("flags", ct.c_uint32), ("old_prog_fd", ct.c_uint32))


class MapCreateOptions(ct.Structure):
    """struct bpf_map_create_opts."""

    _fields_ = (
        ("sz", ct.c_size_t),
        ("btf_fd", ct.c_uint32),
        ("btf_key_type_id", ct.c_uint32),
        ("btf_value_type_id", ct.c_uint32),
        ("btf_vmlinux_value_type_id", ct.c_uint32),
        ("inner_map_fd", ct.c_uint32),
        ("map_flags", ct.c_uint32),
        ("map_extra", ct.c_uint64),
        ("numa_node", ct.c_uint32),
        ("map_ifindex", ct.c_uint32),
    )


class ProgramInfo(ct.Structure):
    """struct bpf_prog_info (the kernel fills as much as it knows, and as it is given room for)."""

    _fields_ = (
        ("type", ct.c_uint32),
        ("id", ct.c_uint32),
        ("tag", ct.c_uint8 * 8),
        ("jited_prog_len", ct.c_uint32),
        ("xlated_prog_len", ct.c_uint32),
        ("jited_prog_insns", ct.c_uint64),
        ("xlated_prog_insns", ct.c_uint64),
        ("load_time", ct.c_uint64),
        ("created_by_uid", ct.c_uint32),
        ("nr_map_ids", ct.c_uint32),
        ("map_ids", ct.c_uint64),
        ("name", ct.c_char * 16),
        ("ifindex", ct.c_uint32),
        ("gpl_compatible", ct.c_uint32),
        ("netns_dev", ct.c_uint64),
        ("netns_ino", ct.c_uint64),
        ("nr_jited_ksyms", ct.c_uint32),
        ("nr_jited_func_lens", ct.c_uint32),
        ("jited_ksyms", ct.c_uint64),
        ("jited_func_lens", ct.c_uint64),
        ("btf_id", ct.c_uint32),
        ("func_info_rec_size", ct.c_uint32),
        ("func_info", ct.c_uint64),
        ("nr_func_info", ct.c_uint32),
        ("nr_line_info", ct.c_uint32),
        ("line_info", ct.c_uint64),
        ("jited_line_info", ct.c_uint64),
        ("nr_jited_line_info", ct.c_uint32),
        ("line_info_rec_size", ct.c_uint32),
        ("jited_line_info_rec_size", ct.c_uint32),
        ("nr_prog_tags", ct.c_uint32),
        ("prog_tags", ct.c_uint64),
        ("run_time_ns", ct.c_uint64),
        ("run_cnt", ct.c_uint64),
        ("recursion_misses", ct.c_uint64),
        ("verified_insns", ct.c_uint32),
        ("attach_btf_obj_id", ct.c_uint32),
        ("attach_btf_id", ct.c_uint32),
    )


class MapInfo(ct.Structure):
    """struct bpf_map_info."""

    _fields_ = (
        ("type", ct.c_uint32),
        ("id", ct.c_uint32),
        ("key_size", ct.c_uint32),
        ("value_size", ct.c_uint32),
        ("max_entries", ct.c_uint32),
        ("map_flags", ct.c_uint32),
        ("name", ct.c_char * 16),
        ("ifindex", ct.c_uint32),
        ("btf_vmlinux_value_type_id", ct.c_uint32),
        ("netns_dev", ct.c_uint64),
        ("netns_ino", ct.c_uint64),
        ("btf_id", ct.c_uint32),
        ("btf_key_type_id", ct.c_uint32),
        ("btf_value_type_id", ct.c_uint32),
        ("btf_vmlinux_id", ct.c_uint32),
        ("map_extra", ct.c_uint64),
    )


class LinkInfo(ct.Structure):
    """struct bpf_link_info, of what stands there for an XDP link."""

    _fields_ = (
        ("type", ct.c_uint32),
        ("id", ct.c_uint32),
        ("prog_id", ct.c_uint32),
        ("unused", ct.c_uint32),
        ("xdp_ifindex", ct.c_uint32),
        ("others", ct.c_uint8 * 60),  # of other kinds of link
    )


class LinkKind:
    """enum bpf_link_type, as far as it is used here."""

    XDP = 6


class BtfType(ct.Structure):
    """struct btf_type of <linux/btf.h>; members, variables or an array's shape follow it in memory."""

    _fields_ = (("name_off", ct.c_uint32), ("info", ct.c_uint32), ("size_or_type", ct.c_uint32))


_P, _S, _I, _U, _Z = ct.c_void_p, ct.c_char_p, ct.c_int, ct.c_uint32, ct.c_size_t
_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "libbpf_major_version": (_U, []),
    "libbpf_minor_version": (_U, []),
    "libbpf_set_print": (_P, [_P]),
    "bpf_object__open_file": (_P, [_S, _P]),
    "bpf_object__load": (_I, [_P]),
    "bpf_object__close": (None, [_P]),
    "bpf_object__btf": (_P, [_P]),
    "bpf_object__next_program": (_P, [_P, _P]),
    "bpf_object__next_map": (_P, [_P, _P]),
    "bpf_object__find_map_by_name": (_P, [_P, _S]),
    "bpf_program__name": (_S, [_P]),
    "bpf_program__fd": (_I, [_P]),
    "bpf_program__set_autoload": (_I, [_P, ct.c_bool]),
    "bpf_program__set_log_buf": (_I, [_P, _P, _Z]),
    "bpf_program__set_attach_target": (_I, [_P, _I, _S]),
    "bpf_program__attach_freplace": (_P, [_P, _I, _S]),
    "bpf_link__destroy": (_I, [_P]),
    "bpf_map__name": (_S, [_P]),
    "bpf_map__fd": (_I, [_P]),
    "bpf_map__type": (_I, [_P]),
    "bpf_map__key_size": (_U, [_P]),
    "bpf_map__value_size": (_U, [_P]),
    "bpf_map__max_entries": (_U, [_P]),
    "bpf_map__map_flags": (_U, [_P]),
    "bpf_map__set_value_size": (_I, [_P, _U]),
    "bpf_map__set_max_entries": (_I, [_P, _U]),
    "bpf_map__set_inner_map_fd": (_I, [_P, _I]),
    "bpf_map__initial_value": (_P, [_P, ct.POINTER(_Z)]),
    "bpf_map__btf_value_type_id": (_U, [_P]),
    "btf__type_by_id": (ct.POINTER(BtfType), [_P, _U]),
    "btf__name_by_offset": (_S, [_P, _U]),
    "btf__find_by_name": (ct.c_int32, [_P, _S]),
    "btf__find_by_name_kind": (ct.c_int32, [_P, _S, _U]),
    "btf__resolve_size": (ct.c_int64, [_P, _U]),
    "bpf_map_create": (_I, [_I, _S, _U, _U, _U, ct.POINTER(MapCreateOptions)]),
    "bpf_map_update_elem": (_I, [_I, _P, _P, ct.c_uint64]),
    "bpf_map_lookup_elem": (_I, [_I, _P, _P]),
    "bpf_map_delete_elem": (_I, [_I, _P]),
    "bpf_link_create": (_I, [_I, _I, _I, ct.POINTER(LinkCreateOptions)]),
    "bpf_link_update": (_I, [_I, _I, ct.POINTER(LinkUpdateOptions)]),
    "bpf_link_detach": (_I, [_I]),
    "bpf_prog_test_run_opts": (_I, [_I, ct.POINTER(TestRunOptions)]),
    "bpf_prog_get_fd_by_id": (_I, [_U]),
    "bpf_prog_get_next_id": (_I, [_U, ct.POINTER(_U)]),
    "bpf_map_get_fd_by_id": (_I, [_U]),
    "bpf_link_get_fd_by_id": (_I, [_U]),
    "bpf_link_get_next_id": (_I, [_U, ct.POINTER(_U)]),
    "bpf_obj_pin": (_I, [_I, _S]),
    "bpf_obj_get": (_I, [_S]),
    "bpf_map__reuse_fd": (_I, [_P, _I]),
    "btf__load_from_kernel_by_id": (_P, [_U]),
    "btf__free": (None, [_P]),
    "bpf_obj_get_info_by_fd": (_I, [_I, _P, ct.POINTER(_U)]),
    "bpf_enable_stats": (_I, [_I]),
}


class _Collected(threading.local):
    """Where the lines of this thread go; None: nobody asked."""

    lines: list[str] | None = None


_collected = _Collected()
_MESSAGE_BYTES = 1 << 16
_libc = ct.CDLL(None)
_PRINT = ct.CFUNCTYPE(_I, _I, _P, _P)
_DEBUG = 2


def _collect(level: int, form: int, arguments: int) -> int:
    """libbpf's print callback: `arguments` is a va_list, which every Linux ABI passes as one pointer."""
    lines = _collected.lines
    if lines is None or level >= _DEBUG:
        return 0
    text = ct.create_string_buffer(_MESSAGE_BYTES)
    _libc.vsnprintf(text, ct.c_size_t(_MESSAGE_BYTES), ct.c_void_p(form), ct.c_void_p(arguments))
    lines.extend(text.value.decode(errors="replace").splitlines())
    return 0


_PRINT_CALLBACK = _PRINT(_collect)  # libbpf keeps the pointer for ever, so this must live as long


@contextmanager
def messages() -> Iterator[list[str]]:
    """Collect what libbpf says in this thread (warnings and information) instead of letting it print."""
    before, _collected.lines = _collected.lines, []
    try:
        yield _collected.lines
    finally:
        _collected.lines = before


@cache
def library() -> ct.CDLL:
    """libbpf with its signatures set; every function returns -errno or a pointer and sets errno too.

    Raises UnsupportedError where there is no libbpf, or one that is too old.
    """
    wanted = f"libbpf {OLDEST_LIBBPF[0]}.{OLDEST_LIBBPF[1]} or newer (Debian, Ubuntu: apt install libbpf1)"
    try:
        lib = ct.CDLL("libbpf.so.1", use_errno=True)
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise UnsupportedError("the eBPF datapath", f"{wanted}; {error}") from None
    version = (lib.libbpf_major_version(), lib.libbpf_minor_version())
    if version < OLDEST_LIBBPF:
        raise UnsupportedError("the eBPF datapath", f"{wanted}; this is {version[0]}.{version[1]}")
    lib.libbpf_set_print(ct.cast(_PRINT_CALLBACK, ct.c_void_p))
    return lib


def kernel_version() -> tuple[int, int]:
    """Major and minor number of the running kernel."""
    major, minor = platform.release().split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()) or 0)


def refusal(result: int, what: str) -> OSError:
    """The error of a call that returned -errno, with `what` was tried in its words."""
    number = -result if result < 0 else ct.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)} ({errno.errorcode.get(number, number)})")
