# SPDX-License-Identifier: GPL-2.0-only
"""numpy dtypes from BTF, checked by having a program write what numpy then reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from towline.kernel.live import run_syscall
from towline.kernel.program import Object

SAMPLE = """
enum unsigned_kind { FIRST, SECOND = 0x7fff0000 };
typedef const volatile u16 quiet;
struct point { u16 x, y; };
struct sample {
	u8 byte;
	s16 small;
	enum unsigned_kind kind;
	s32 sign;
	_Bool flag;
	char name[5];
	struct point points[2][3];
	struct { u32 inside; union { u32 whole; u8 parts[4]; }; };
	void *pointer;
	u64 __attribute__((aligned(64))) far;
	u32 tail;
	u8 flexible[];
};
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(map_flags, BPF_F_MMAPABLE); __uint(max_entries, 2);
	__type(key, u32); __type(value, struct sample); } samples SEC(".maps");

SEC("syscall") int fill(void *ctx)
{
	u32 key = 1;
	struct sample *s = bpf_map_lookup_elem(&samples, &key);
	if (!s)
		return 1;
	s->byte = 0xab; s->small = -2; s->kind = SECOND; s->sign = -5; s->flag = 1;
	s->name[0] = 't'; s->name[1] = 'l';
	s->points[1][2].y = 77; s->inside = 5; s->parts[1] = 1; s->pointer = (void *)0x1234;
	s->far = 1ull << 63; s->tail = 9;
	return 0;
}
"""


def test_dtype__shows_what_a_program_wrote(build: Callable[[str], Path]) -> None:
    with Object(build(SAMPLE)) as sample:
        sample.load()
        assert run_syscall(sample.program("fill"), b"")[0] == 0
        first, second = sample.memory("samples")
        assert not first["tail"]
        assert (second["byte"], second["small"], second["kind"], second["sign"]) == (0xAB, -2, 0x7FFF0000, -5)
        assert second["flag"].dtype == np.bool_
        assert second["flag"]
        assert bytes(second["name"]) == b"tl\0\0\0"
        assert second["points"]["y"].tolist() == [[0, 0, 0], [0, 0, 77]]
        assert (second["inside"], second["whole"], second["pointer"]) == (5, 256, 0x1234)
        assert (second["far"], second["tail"]) == (1 << 63, 9)


def test_dtype__has_explicit_offsets_and_size(build: Callable[[str], Path]) -> None:
    with Object(build(SAMPLE)) as sample:
        dtype = sample.dtype("sample")
    assert dtype.fields is not None
    assert dtype.itemsize == 128
    assert [dtype.fields[name][1] for name in ("byte", "small", "kind", "far", "tail")] == [0, 2, 4, 64, 72]
    assert "flexible" not in dtype.fields


def test_dtype__refuses_bit_fields(build: Callable[[str], Path]) -> None:
    with (
        Object(build("struct flags { u32 low : 4, high : 28; } kept;")) as flags,
        pytest.raises(TypeError, match="flags has the bit field 'low'"),
    ):
        flags.dtype("flags")


def test_dtype__says_why_a_struct_may_be_missing(build: Callable[[str], Path]) -> None:
    with Object(build("int kept;")) as nothing, pytest.raises(ValueError, match="keep one object of it"):
        nothing.dtype("missing")
