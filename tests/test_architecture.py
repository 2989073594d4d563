# SPDX-License-Identifier: GPL-2.0-only
"""Who may import whom: a room only what stands further down, and nobody his neighbour."""

from __future__ import annotations

import ast
from pathlib import Path

import towline

HOUSE = (
    ("__main__",),
    ("cli",),
    ("lab",),
    ("",),  # the package itself: what others may use
    ("transfer", "running"),
    ("transmit", "delivery"),
    ("kernel", "protocol", "sockets"),
    ("slots", "owner"),
    ("framing",),
    ("wire", "settings_text"),
    ("settings",),
    ("parameter",),
    ("quantities", "bpf"),
    ("errors",),
)
FLOOR = {room: floor for floor, rooms in enumerate(HOUSE) for room in rooms}
SOURCES = Path(towline.__file__).parent


def room(module: str) -> str:
    """`towline.kernel.link` -> `kernel`."""
    return [*module.split("."), ""][1]


def imported(tree: ast.AST) -> set[str]:
    """Modules of ours that a source imports; `from towline import settings` counts as towline.settings."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            sub = {f"towline.{alias.name}" for alias in node.names if alias.name in FLOOR}
            names |= sub if node.module == "towline" and sub else {node.module or ""}
    return {name for name in names if name.split(".")[0] == "towline"}


def forbidden(importer: str, tree: ast.AST) -> list[str]:
    """Imports that lead up, or into the room next door."""
    others = [(name, room(name)) for name in sorted(imported(tree)) if room(name) != room(importer)]
    return [f"{importer} imports {name}" for name, there in others if FLOOR[there] <= FLOOR[room(importer)]]


def test_imports__lead_down_only() -> None:
    found = []
    for path in sorted(SOURCES.rglob("*.py")):
        parts = path.relative_to(SOURCES.parent).with_suffix("").parts
        found += forbidden(".".join(part for part in parts if part != "__init__"), ast.parse(path.read_text()))
    assert found == []


def test_imports__rule_finds_what_is_wrong() -> None:
    assert forbidden("towline.kernel.link", ast.parse("from towline.protocol.loss import lost"))
    assert forbidden("towline.transfer.files", ast.parse("import towline.lab.run"))
    assert not forbidden("towline.transfer.files", ast.parse("from towline import settings, wire"))


def test_sources__begin_with_licence_and_job() -> None:
    wrong = []
    for path in sorted(SOURCES.rglob("*.py")):
        text = path.read_text()
        job = ast.get_docstring(ast.parse(text))
        if not text.startswith("# SPDX-License-Identifier: GPL-2.0-only\n") or not job:
            wrong.append(path.name)
    assert wrong == []
