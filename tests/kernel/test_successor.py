# SPDX-License-Identifier: GPL-2.0-only
"""What may take a running program's place: memory that the two share is compared, and nothing else is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bpf.programs import ReceiverProgram, SenderProgram
from tests.kernel.conftest import PREAMBLE
from towline.bpf import FOLDER, INCLUDE, policy_names, policy_source
from towline.errors import LayoutError
from towline.kernel.attached import Program
from towline.kernel.clang import compile_program
from towline.kernel.identity import PROGRAM_VERSION
from towline.kernel.link import interface
from towline.kernel.program import Object
from towline.kernel.successor import GIVEN, MAPS, STRUCTS, prepare

CONSTANTS = "const volatile u32 state_version = 3; const volatile u32 program_version = 1;"
STATE = "struct receiver_state { u32 first; u32 second; };"
MAP = """
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, u32); __type(value, VALUE);
} NAME SEC(".maps");
"""
BODY = """
SEC("xdp") int receiver(struct xdp_md *ctx)
{
	u32 key = 0;
	u32 *found = bpf_map_lookup_elem(&receivers, &key), *other = bpf_map_lookup_elem(&NAME, &key);

	return found && other && state_version + program_version + *found + *other == 77 ? XDP_DROP : XDP_PASS;
}
"""
OWN = "struct mine { u32 low : 3; u32 high : 29; };"


def table(name: str, value: str) -> str:
    """An array of such values."""
    return MAP.replace("NAME", name).replace("VALUE", value)


def program(
    *, state: str = STATE, value: str = "struct receiver_state", more: str = "", name: str = "receivers"
) -> str:
    """A program that has a table of receivers and more of its own, and looks into that table and one by name."""
    return "\n".join([CONSTANTS, state, table("receivers", value), more, BODY.replace("NAME", name)])


Prepare = Callable[[str], Program]


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Prepare]:
    """Load a program in the place of the last one (none is attached: what is shared are maps)."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made: list[Program] = []

    def next_one(text: str) -> Program:
        source = tmp_path / f"program{len(made)}.bpf.c"
        source.write_text(PREAMBLE + text)
        if made:
            new = prepare(made[-1], source, len(made) + 1)
        else:
            new = Object(compile_program(source))
            new.load()
        with new:
            made.append(Program(os.dup(new.program("receiver"))))
        return made[-1]

    yield next_one
    for one in made:
        one.close()


def map_number(one: Program, name: str) -> int:
    """Which map it has under a name."""
    found = one.map(name)
    assert found is not None
    lines = Path(f"/proc/self/fdinfo/{found.fd}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("map_id"))


def test_prepare__shares_what_belongs_to_all(prepared: Prepare) -> None:
    first, second = prepared(program()), prepared(program())
    assert map_number(first, "receivers") == map_number(second, "receivers")


@pytest.mark.parametrize("name", STRUCTS)
def test_prepare__structs_that_are_no_maps_values_are_compared(prepared: Prepare, name: str) -> None:
    prepared(program(more=f"struct {name} {{ u32 this; u32 that; }}; struct {name} object;"))
    with pytest.raises(LayoutError, match=rf"{name}\.this stands at byte 0 in the running program and at 4"):
        prepared(program(more=f"struct {name} {{ u32 that; u32 this; }}; struct {name} object;"))
    prepared(program())  # nothing is said of what one of them does not have


def test_prepare__a_maps_values_by_another_name(prepared: Prepare) -> None:
    prepared(program())
    with pytest.raises(LayoutError, match="the values of the map receivers are of a struct 'other'"):
        prepared(program(state=STATE.replace("receiver_state", "other"), value="struct other"))


def test_prepare__a_bit_field_where_memory_is_shared(prepared: Prepare) -> None:
    prepared(program())
    with pytest.raises(LayoutError, match="receiver_state has the bit field 'first': take an integer"):
        prepared(program(state=STATE.replace("u32 first;", "u32 first : 7;")))


def test_prepare__a_map_of_ones_own_is_nobody_elses_business(prepared: Prepare) -> None:
    own = program(more=OWN + table("mine", "struct mine"), name="mine")
    prepared(program())
    second, third = prepared(own), prepared(own)
    assert map_number(second, "receivers") == map_number(third, "receivers")
    assert map_number(second, "mine") != map_number(third, "mine")  # begins anew, as variables do
    prepared(own.replace("u32 low : 3; u32 high : 29;", "u64 both;"))


def test_maps__are_those_that_ours_have() -> None:
    found = set()
    for source in (*map(policy_source, policy_names()), FOLDER / "sender.bpf.c"):
        with Object(compile_program(source, flags=(INCLUDE,))) as one:
            found |= {name for name in one.map_names() if not name.startswith(".")}
    assert found == MAPS


def test_prepare__constants_that_were_given_are_the_running_programs_and_others_ones_own(prepared: Prepare) -> None:
    def constants(given: int, own: int) -> str:
        return f"const volatile u32 spin_ns = {given}; const volatile u32 calm = {own};"

    def used(text: str) -> str:
        return text.replace("state_version +", "spin_ns + calm + state_version +")

    prepared(used(program(more=constants(7, 64))))
    found = prepared(used(program(more=constants(0, 1))))
    assert (found.constant("spin_ns"), found.constant("calm")) == (7, 1)
    prepared(used(program(more=constants(0, 1).replace("u32 calm", "u64 calm"))))  # of whatever type


def test_given__is_what_ours_are_given(monkeypatch: pytest.MonkeyPatch, pair: tuple[int, int]) -> None:
    given: set[str] = set()
    original = Object.set_constants

    def noted(self: Object, **values: object) -> None:
        given.update(values)
        original(self, **values)

    monkeypatch.setattr(Object, "set_constants", noted)
    receiver = ReceiverProgram(interface("va"))
    SenderProgram(interface("vb")).close()  # whose frames need a program at the other end
    receiver.close()
    assert given - {PROGRAM_VERSION, "program_source", "program_flags"} == GIVEN
