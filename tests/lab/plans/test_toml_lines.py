# SPDX-License-Identifier: GPL-2.0-only
"""Lines of a TOML text: the path of everything in it leads to the line where it stands."""

from __future__ import annotations

import tomllib
from typing import Any

from towline.lab.plans.toml_lines import Where, lines

TEXT = '''# a comment with = [ and {
top = "2s"   # another ] comment
inline = { a = 1, b.c = "}" }
[axes]
"quoted key" = [ 1, # one
  "two ]", [3,
  4],
]
dotted.name = 7
many = """
[no.table]
lines = 1
"""
literal = \'\'\'
x = 2\'\'\'
last = 1979-05-27 07:32:00
[[cells]]
rate = 1.5
[cells.inner]
x = 1
[[cells]]
rate = 2
[deep.er]
'''


def paths(value: Any, where: Where = ()) -> list[Where]:
    parts: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [where, *(path for name, one in parts for path in paths(one, (*where, name)))]


def test_lines__of_keys_tables_and_elements() -> None:
    found = lines(TEXT)
    expected = {
        ("top",): 2,
        ("inline",): 3,
        ("inline", "b", "c"): 3,
        ("axes",): 4,
        ("axes", "quoted key"): 5,
        ("axes", "quoted key", 0): 5,
        ("axes", "quoted key", 1): 6,
        ("axes", "quoted key", 2): 6,
        ("axes", "quoted key", 2, 1): 7,
        ("axes", "dotted", "name"): 9,
        ("axes", "many"): 10,
        ("axes", "literal"): 14,
        ("axes", "last"): 16,
        ("cells",): 17,
        ("cells", 0): 17,
        ("cells", 0, "rate"): 18,
        ("cells", 0, "inner"): 19,
        ("cells", 0, "inner", "x"): 20,
        ("cells", 1): 21,
        ("cells", 1, "rate"): 22,
        ("deep",): 23,
        ("deep", "er"): 23,
    }
    assert {where: found[where] for where in expected} == expected


def test_lines__everything_that_tomllib_reads_has_one() -> None:
    assert set(paths(tomllib.loads(TEXT))) - {()} == set(lines(TEXT))
