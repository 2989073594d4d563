# SPDX-License-Identifier: GPL-2.0-only
"""What a loaded program consists of, and what the kernel has counted of its runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Any

from towline.kernel.objects import program_info

INSTRUCTION_BYTES = 8  # struct bpf_insn


@dataclass(frozen=True, kw_only=True)
class Figures:
    """`instructions`: after the verifier's changes; `verified`: how many it walked to be sure; `runs` and `time_ns`
    count while the kernel's statistics are on (see `statistics`), else stay where they are."""

    instructions: int
    verified: int
    jited_bytes: int
    runs: int
    time_ns: int


def figures(program_fd: int) -> Figures:
    """Of one program (BPF_OBJ_GET_INFO_BY_FD). Raises OSError."""
    info = program_info(program_fd)
    return Figures(
        instructions=info.xlated_prog_len // INSTRUCTION_BYTES,
        verified=info.verified_insns,
        jited_bytes=info.jited_prog_len,
        runs=info.run_cnt,
        time_ns=info.run_time_ns,
    )


def fields(programs: Iterable[int], whose: str) -> dict[str, Any]:
    """Of all programs that do one side's work, as fields of a record; `program_ns`: a run's time, on average, None
    where the kernel counted none. One run is one frame.
    """
    each = [astuple(figures(program)) for program in programs]
    instructions, verified, jited_bytes, runs, time_ns = (sum(numbers) for numbers in zip(*each, strict=True))
    return {
        f"instructions_{whose}": instructions,
        f"verified_instructions_{whose}": verified,
        f"jited_bytes_{whose}": jited_bytes,
        f"program_ns_{whose}": time_ns / runs if runs else None,
    }
