# SPDX-License-Identifier: GPL-2.0-only
"""Compile a BPF program with clang, once for each content."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from towline.errors import CompileError, UnsupportedError

__all__ = ["Clang", "compile_program", "find_clang"]

OLDEST_CLANG = 14
NEWEST_CLANG = 19
FLAGS = ("-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v3")


@dataclass(frozen=True, kw_only=True)
class Clang:
    """A compiler that was found; `version` is its first line of --version, whole."""

    path: str
    version: str
    major: int


def find_clang() -> Clang:
    """The first of clang, clang-19 ... clang-14 that is new enough; $TOWLINE_CLANG alone where it is set.

    Raises UnsupportedError where there is none.
    """
    asked = os.environ.get("TOWLINE_CLANG")
    numbered = [f"clang-{n}" for n in range(NEWEST_CLANG, OLDEST_CLANG - 1, -1)]
    seen = []
    for name in [asked] if asked else ["clang", *numbered]:
        path = shutil.which(name)
        clang = _ask(path) if path else None
        if clang and clang.major >= OLDEST_CLANG:
            return clang
        seen.append(f"{name} is {clang.major}" if clang else f"no {name}" if asked else "")
    found = ", ".join(filter(None, seen))
    raise UnsupportedError(
        "compiling eBPF programs",
        f"clang {OLDEST_CLANG} or newer (Debian, Ubuntu: apt install clang libbpf-dev)"
        + (f"; {found}" if found else ""),
    )


@cache
def _ask(path: str) -> Clang | None:
    """What `path` says it is; None if it is no clang."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    match = re.search(r"clang version (\d+)\S*", said)
    return Clang(path=path, version=said.splitlines()[0], major=int(match[1])) if match else None


def compile_program(source: Path, *, flags: Sequence[str] = ()) -> Path:
    """Compile `source` for BPF and return the object file, from the cache if it was made before.

    `flags` stand behind the usual ones (FLAGS and the include folders), so that -O3 or -mcpu=v2 replaces what
    it contradicts. An object is known by the content of every file that is read, the flags and the compiler.
    Raises CompileError (the first error in its message, everything in `.log`) and UnsupportedError.
    """
    clang = find_clang()
    source = source.absolute()  # it stands in the debug information, and so in the verifier's log
    command = [clang.path, *FLAGS, *_architecture_flags(), *_include_flags(source), *flags]
    said = repr((clang.version, command, str(source)))
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "towline"
    try:
        while True:
            read = _files_read(command, source)
            digest = _digest(said, read)
            target = folder / f"{source.name.split('.')[0]}-{digest}.o"
            if target.exists():  # to ask may be forbidden, too
                return target
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=f"{target.stem}-") as own:
                new = Path(own) / target.name
                _run([*command, "-c", str(source), "-o", str(new)])
                if _digest(said, read) == digest:  # else somebody has saved a file meanwhile
                    new.replace(target)  # another process sees the whole object or none
                    return target
    except OSError as error:
        raise CompileError(f"{folder} cannot be written ({error.strerror}); set XDG_CACHE_HOME") from None


def _digest(said: str, read: list[Path]) -> str:
    """Of what is said to whom, and of every file that it reads."""
    digest = hashlib.sha256(said.encode())
    for path in read:
        content = path.read_bytes()
        digest.update(f"{path} {len(content)} ".encode() + content)
    return digest.hexdigest()[:32]


def _architecture_flags() -> list[str]:
    """The machine that the program will run on, as libbpf's headers name it; clang -target bpf does not say."""
    names = {"x86_64": "x86", "aarch64": "arm64"}
    machine = platform.machine()
    return [f"-D__TARGET_ARCH_{names[machine]}"] if machine in names else []


def _include_flags(source: Path) -> list[str]:
    """Debian's folder of <asm/types.h>, where clang -target bpf does not look, and the source's own."""
    multiarch = sysconfig.get_config_var("MULTIARCH") or f"{platform.machine()}-linux-gnu"
    folders = [Path("/usr/include") / multiarch, source.parent]
    return [f"-I{folder}" for folder in folders if folder.is_dir()]


def _files_read(command: list[str], source: Path) -> list[Path]:
    """Every file that the preprocessor reads, system headers too, from the make rule that clang -M prints."""
    rule = _run([*command, "-M", str(source)]).replace("\\\n", " ")
    return [Path(name) for name in shlex.split(rule.partition(":")[2])]


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout
    lines = done.stderr.splitlines()
    first = next((line for line in lines if "error:" in line), lines[0] if lines else "no reason given")
    raise CompileError(first.strip(), f"{shlex.join(command)}\n{done.stderr}")
