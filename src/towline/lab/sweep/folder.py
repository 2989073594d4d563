# SPDX-License-Identifier: GPL-2.0-only
"""The folder of a sweep as its writer sees it: begun anew, or gone on with if it is the same sweep."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from towline.bpf import FOLDER, policy_source
from towline.errors import SettingsError, TowlineError
from towline.kernel.clang import find_clang
from towline.lab import machine
from towline.lab.plans.plan import Plan
from towline.lab.sweep import results
from towline.lab.sweep.design import Design
from towline.settings import parse_swap

_SAME_MACHINE = ("kernel", "cpu")


def open_folder(folder: Path, plan: Plan, *, quick: bool) -> Design:
    """The design of the sweep in a folder, which is begun if there is none.

    Raises SettingsError where the folder has another sweep in it; more repetitions are allowed.
    """
    begun = results.read_design(folder)
    if begun is None:
        (folder / results.PLAN).write_text(plan.text, encoding="utf-8")
        return changed(folder, _new(plan, quick=quick))
    otherwise = _differs(folder, begun, plan, quick=quick)
    if otherwise:
        raise SettingsError(
            f"{folder} has a sweep in it {otherwise}: name another folder with --output, or remove this one"
        )
    return changed(folder, begun, repetitions=plan.repetitions)


def changed(folder: Path, design: Design, **fields: Any) -> Design:
    """A design with other values in some fields, kept in the folder."""
    design = msgspec.structs.replace(design, **fields)
    results.write_design(folder, design)
    return design


def _differs(folder: Path, begun: Design, plan: Plan, *, quick: bool) -> str:
    """What makes it another sweep than this one; "" nothing."""
    if (folder / results.PLAN).read_text(encoding="utf-8") != plan.text:
        return f"of another plan, or of {plan.path} before it was changed"
    if begun.quick != quick:
        return f"that was begun {'with' if begun.quick else 'without'} --quick"
    if begun.repetitions > plan.repetitions:
        return f"of {begun.repetitions} repetitions, not {plan.repetitions}"
    if begun.programs and begun.programs != _programs(plan):
        return "that was measured with BPF programs before they were changed"
    here = machine.describe()
    for name in _SAME_MACHINE:
        if begun.machine.get(name) != here.get(name):
            return f"from a machine with another {name} ({begun.machine.get(name)}, and here {here.get(name)})"
    return ""


def _new(plan: Plan, *, quick: bool) -> Design:
    return Design(
        seed=secrets.randbits(31) if plan.seed is None else plan.seed,
        repetitions=plan.repetitions,
        quick=quick,
        emulated=plan.emulated,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine.describe() | {"cpus": str(os.cpu_count()), "clang": _clang()},
        plan=plan.path,
        programs=_programs(plan),
    )


def _programs(plan: Plan) -> str:
    """A digest of all sources but those of policies that the plan leaves out: one more of them changes nothing."""
    policies = {cell.settings.policy for cell in plan.cells}
    policies |= {parse_swap(one)[1] for cell in plan.cells for one in cell.settings.swap}
    read = [policy_source(policy) for policy in policies]
    read += [path for path in FOLDER.iterdir() if path.suffix in (".c", ".h")]
    digest = xxhash.xxh3_64()
    for path in sorted(read):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _clang() -> str | None:
    try:
        return find_clang().version
    except TowlineError:
        return None
