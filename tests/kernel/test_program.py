# SPDX-License-Identifier: GPL-2.0-only
"""Loading objects: constants, sizes, chosen programs, memory, and what is said when the kernel refuses."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from towline.errors import LoadError, UnsupportedError
from towline.kernel.clang import compile_program
from towline.kernel.live import run_packet, run_syscall
from towline.kernel.program import Object

Build = Callable[[str], Path]
CONSTANTS = """
const volatile u8 tiny = 7;
const volatile u64 big = 0;
const volatile s32 below = 0;
const volatile _Bool on = 0;
const volatile u8 address[6] = {};
const volatile u16 table[2][2] = {};
struct seen { u64 big; s32 below; u8 tiny, on, address[6]; u16 table[2][2]; } seen = {};
u32 counters[3] = { 0, 0, 5 }; /* in .data; seen is in .bss */

SEC("syscall") int look(void *ctx)
{
	seen.big = big; seen.below = below; seen.tiny = tiny; seen.on = on; counters[1]++;
	for (int i = 0; i < 6; i++)
		seen.address[i] = address[i];
	for (int i = 0; i < 4; i++)
		seen.table[i / 2][i % 2] = table[i / 2][i % 2];
	return counters[2];
}
"""
REFUSED = """
SEC("xdp") int fine(struct xdp_md *ctx) { return XDP_PASS; }
SEC("xdp") int careless(struct xdp_md *ctx)
{
	u8 *data = (void *)(long)ctx->data;
	return data[20];
}
"""


def test_set_constants__reach_the_program(build: Build) -> None:
    with Object(build(CONSTANTS)) as constants:
        constants.set_constants(big=2**64 - 1, below=-3, on=True, address=bytes(range(6)))
        constants.set_constants(table=np.array([[1, 2], [3, 65535]]))
        constants.load()
        run_syscall(constants.program("look"), b"")
        seen = constants.globals("seen")
        assert [int(seen[name]) for name in ("big", "below", "tiny", "on")] == [2**64 - 1, -3, 7, 1]
        assert seen["address"].tolist() == [0, 1, 2, 3, 4, 5]
        assert seen["table"].tolist() == [[1, 2], [3, 65535]]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"tiny": 256}, OverflowError),
        ({"tiny": -1}, OverflowError),
        ({"big": 2**64}, OverflowError),
        ({"below": 2**31}, OverflowError),
        ({"table": [[1, 2], [3, 65536]]}, OverflowError),
        ({"tiny": 1.5}, ValueError),
        ({"table": [1, 2, 3, 4]}, ValueError),
        ({"address": b"12345"}, ValueError),
        ({"unknown": 1}, ValueError),
    ],
)
def test_set_constants__refuses_what_does_not_fit(
    build: Build, value: dict[str, object], error: type[Exception]
) -> None:
    with Object(build(CONSTANTS)) as constants, pytest.raises(error, match=next(iter(value))):
        constants.set_constants(**value)


def test_globals__are_shared_with_the_program(build: Build) -> None:
    with Object(build(CONSTANTS)) as constants:
        constants.load()
        counters = constants.globals("counters")
        assert counters.tolist() == [0, 0, 5]
        counters[2] = 8
        assert run_syscall(constants.program("look"), b"")[0] == 8
        assert counters[1] == 1
        with pytest.raises(ValueError, match=r"has no variable 'missing'; it has .*counters"):
            constants.globals("missing")


def test_keep__leaves_the_others_out(build: Build) -> None:
    with Object(build(REFUSED)) as refused:
        refused.keep("fine")
        refused.load()
        assert run_packet(refused.program("fine"), bytes(60)).verdict == 2
        with pytest.raises(ValueError, match=r"careless.* is not loaded"):
            refused.program("careless")


def test_keep__refuses_an_unknown_program(build: Build) -> None:
    with Object(build(REFUSED)) as refused, pytest.raises(ValueError, match="it has fine, careless"):
        refused.keep("missing")


def test_load__shows_the_line_that_the_verifier_refused(build: Build) -> None:
    with Object(build(REFUSED)) as refused, pytest.raises(LoadError) as caught:
        refused.load()
    said = str(caught.value)
    assert "careless: R" in said
    assert "invalid access to packet" in said or "offset is outside of the packet" in said
    assert "return data[20]" in said
    assert "processed" in caught.value.log
    assert "processed" not in said


def test_load__shows_what_libbpf_said_of_a_map(build: Build) -> None:
    text = "struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __uint(key_size, 4);"
    with Object(build(text + '__uint(value_size, 8); } tl_wrong SEC(".maps");')) as wrong:
        wrong.resize("tl_wrong", value_size=1 << 31)
        with pytest.raises(LoadError, match=r"tl_wrong.*failed to create"):
            wrong.load()


def test_load__names_the_capabilities(build: Build) -> None:
    script = """
        import ctypes, sys
        from pathlib import Path
        from towline.errors import PermissionsError
        from towline.kernel.program import Object
        nobody = (ctypes.c_uint32 * 6)()  # no capability at all
        assert ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), nobody) == 0
        try:
            Object(Path(sys.argv[1])).load()
        except PermissionsError as error:
            print(error)
    """
    path = build('SEC("xdp") int fine(struct xdp_md *ctx) { return XDP_PASS; }')
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), path], capture_output=True, text=True, check=True
    )
    assert "CAP_BPF" in said.stdout
    assert "CAP_NET_ADMIN" in said.stdout


def test_load__says_which_kernel_is_needed(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "struct { __uint(type, 999); __uint(max_entries, 1); __uint(key_size, 4);"
    path = build(text + '__uint(value_size, 8); } tl_future SEC(".maps");')
    monkeypatch.setattr("towline.kernel.program.kernel_version", lambda: (5, 15))
    with Object(path) as future, pytest.raises(UnsupportedError, match=r"Linux 5\.18 or newer"):
        future.load()


def test_open__refuses_what_is_no_object(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wrong.o"
    path.write_text("no ELF")
    with pytest.raises(LoadError, match=r"wrong\.o is not a BPF object: .*elf"):
        Object(path)
    assert capfd.readouterr().err == ""  # libbpf's messages are in the error, not on the terminal


def test_open__refuses_an_object_without_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = tmp_path / "bare.bpf.c"
    source.write_text("int number;")
    with pytest.raises(LoadError, match=r"no BTF.*-g"):
        Object(compile_program(source, flags=["-g0"]))


def test_memory__has_the_stride_of_an_array_map(build: Build) -> None:
    text = """
        struct odd { u32 number; u16 parts[3]; };
        struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(map_flags, BPF_F_MMAPABLE); __uint(max_entries, 1);
                __type(key, u32); __type(value, struct odd); } odds SEC(".maps");
        typedef u16 row[3];
        struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(map_flags, BPF_F_MMAPABLE); __uint(max_entries, 4);
                __type(key, u32); __type(value, row); } rows SEC(".maps");
    """
    with Object(build(text)) as odd:
        odd.resize("odds", entries=600)
        odd.load()
        odds, rows = odd.memory("odds"), odd.memory("rows")
        assert (odds.shape, odds.strides, odds.dtype.itemsize) == ((600,), (16,), 12)
        assert (rows.shape, rows.strides, rows.dtype.str[1:]) == ((4, 3), (8, 2), "u2")
        odds[599] = (7, (1, 2, 3))
        rows[3, 2] = 9
        assert odd.map("odds").get((599).to_bytes(4, sys.byteorder)) == odds[599].tobytes()
        assert odd.map("rows").get((3).to_bytes(4, sys.byteorder)) == bytes([0, 0, 0, 0, 9, 0])


def test_memory__refuses_a_map_without_a_type(build: Build) -> None:
    text = "struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(map_flags, BPF_F_MMAPABLE);"
    text += '__uint(max_entries, 1); __uint(key_size, 4); __uint(value_size, 8); } plain SEC(".maps");'
    with Object(build(text)) as plain:
        plain.resize("plain", value_size=1400)
        plain.load()
        assert plain.map("plain").value_size == 1400
        with pytest.raises(ValueError, match="plain has values of 1400 bytes and no type"):
            plain.memory("plain")


def test_close__leaves_arrays_alive(build: Build) -> None:
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    constants = Object(build(CONSTANTS))
    constants.load()
    counters = constants.globals("counters")
    constants.close()
    constants.close()
    gc.collect()
    counters[0] = 3
    assert counters.tolist() == [3, 0, 5]
    with pytest.raises(ValueError, match="closed"):
        constants.program("look")
    del counters
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
