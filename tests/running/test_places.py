# SPDX-License-Identifier: GPL-2.0-only
"""Where programs of ours run: named as one types it, whatever the namespace; and nobody else's."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.bpf.conftest import new_pair
from tests.bpf.programs import ReceiverProgram
from tests.running.conftest import Both, both_programs
from towline.bpf import policy_source
from towline.errors import EndedError, SettingsError
from towline.kernel.attach import attach
from towline.kernel.clang import compile_program
from towline.kernel.link import interface
from towline.kernel.netns import inside
from towline.kernel.objects import link_info, program_info
from towline.kernel.program import Object
from towline.parameter import Role
from towline.running import places as module
from towline.running.places import Place, place_called, places
from towline.running.swap import Swapper

STRANGER = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char _license[] SEC("license") = "GPL";
const volatile __u32 VERSION = 1;
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); }
	MAP SEC(".maps");
SEC("xdp") int NAME(struct xdp_md *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&MAP, &key) && VERSION ? XDP_PASS : XDP_DROP;
}
"""
OURS = {"NAME": "receiver", "MAP": "receivers", "VERSION": "program_version"}


def found_in(namespace: str) -> list[Place]:
    """Others on this machine may have theirs."""
    return [place for place in places() if place.namespace == namespace]


@pytest.fixture
def stranger(
    namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[dict[str, str]], None]]:
    """Attach a program that has these names to va1 of the namespace."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "stranger.bpf.c"
    source.write_text(STRANGER)
    with ExitStack() as stack:

        def attached(names: dict[str, str]) -> None:
            flags = [f"-D{name}={value}" for name, value in names.items()]
            loaded = stack.enter_context(Object(compile_program(source, flags=flags)))
            loaded.load()
            with inside(namespace):
                new_pair(1)
                stack.enter_context(attach(loaded.program(names["NAME"]), interface("va1").index))

        yield attached


def test_places__in_a_namespace_with_a_name(both: Both) -> None:
    receiving, sending = found_in(both.namespace)
    assert (receiving.name, receiving.role) == (f"{both.namespace}/va0", "receiver")
    assert (sending.name, sending.role) == (f"{both.namespace}/vb0", "sender")
    assert receiving.program == program_info(both.receiver.fd).id
    assert sending.program == program_info(both.sender.fd).id
    link = both.receiver.xdp.link
    assert link is not None
    assert receiving.link == link_info(link.fd).id


def test_places__in_our_own_have_no_namespace(both: Both) -> None:
    with inside(both.namespace):
        assert [place.name for place in found_in("")] == ["va0", "vb0"]
        assert found_in(both.namespace) == []  # each is found once


@pytest.mark.usefixtures("namespaces")
def test_places__in_a_namespace_without_a_name() -> None:
    with subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as lodger:
        assert lodger.stdin is not None
        assert lodger.stdout is not None
        lodger.stdin.write(b"there\n")
        lodger.stdin.flush()
        assert lodger.stdout.readline() == b"there\n"
        with inside(Path(f"/proc/{lodger.pid}/ns/net")):
            program = ReceiverProgram(new_pair(0)[0])
        try:
            name = f"pid:{lodger.pid}"
            assert [place.name for place in found_in(name)] == [f"{name}/va0"]
            assert place_called(f"{name}/va0").program == program_info(program.fd).id
        finally:
            program.close()
            lodger.kill()
    assert found_in(name) == []


@pytest.mark.usefixtures("namespaces")
def test_places__end_with_their_program() -> None:
    with both_programs() as both:
        receiving, _ = found_in(both.namespace)
        with receiving.attached() as link:
            assert link.program_number == receiving.program
        both.receiver.close()
        assert [place.role for place in found_in(both.namespace)] == ["sender"]
        with pytest.raises(EndedError, match=f"program on {both.namespace}/va0 has ended"):
            receiving.attached()


def test_places__a_program_with_all_the_names_of_ours_is_found(
    namespace: str, stranger: Callable[[dict[str, str]], None]
) -> None:
    stranger(OURS)  # so that the next test leaves out what it leaves out for its names alone
    assert [(place.interface, place.role) for place in found_in(namespace)] == [("va1", "receiver")]


@pytest.mark.parametrize(
    "other", [{"NAME": "firewall"}, {"MAP": "senders"}, {"VERSION": "version"}], ids=["program", "map", "constant"]
)
def test_places__a_program_that_is_not_ours_is_left_out(
    namespace: str, stranger: Callable[[dict[str, str]], None], other: dict[str, str]
) -> None:
    stranger(OURS | other)
    assert found_in(namespace) == []


@pytest.mark.parametrize("role", [None, "sender"])
def test_place_called__namespace_and_interface(both: Both, role: Role | None) -> None:
    _, sending = found_in(both.namespace)
    assert place_called(f"{both.namespace}/vb0", role) == sending


@pytest.mark.parametrize("text", ["va0", "/va0"])
def test_place_called__an_interface_of_our_own_namespace(both: Both, text: str) -> None:
    with pytest.raises(SettingsError):
        place_called(text)  # it is in another one
    with inside(both.namespace):
        assert (place_called(text).role, place_called(text).name) == ("receiver", "va0")


def test_place_called__an_unknown_name_is_answered_with_those_that_there_are(both: Both) -> None:
    with pytest.raises(SettingsError) as caught:
        place_called(f"{both.namespace}/eth9")
    assert f"there is no program on '{both.namespace}/eth9'; there is one on " in str(caught.value)
    assert f"{both.namespace}/va0" in str(caught.value)
    assert f"{both.namespace}/vb0" in str(caught.value)


def test_place_called__the_other_role_is_answered_with_those_of_that_role(both: Both) -> None:
    with pytest.raises(SettingsError) as caught:
        place_called(f"{both.namespace}/va0", "sender")
    assert f"there is no sender's program on '{both.namespace}/va0'" in str(caught.value)
    known = str(caught.value).partition("there is one on ")[2].split(", ")
    assert f"{both.namespace}/vb0" in known
    assert f"{both.namespace}/va0" not in known


def test_place_called__where_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "xdp_links", list)  # others on this machine may have something running
    assert places() == []
    with pytest.raises(SettingsError, match="no program on 'eth0'; nor anywhere else here"):
        place_called("eth0")


def test_places__are_where_a_program_runs_and_not_where_it_is_parked(both: Both) -> None:
    receiving, sending = found_in(both.namespace)
    with Swapper(receiving), Swapper(sending), Swapper(receiving):  # each parks what runs
        assert found_in(both.namespace) == [receiving, sending]


@pytest.mark.usefixtures("namespaces")
def test_is_there__until_the_program_has_ended_whoever_looks_on() -> None:
    with both_programs() as both:
        receiving, _ = found_in(both.namespace)
        with Swapper(receiving) as swapper:
            assert receiving.is_there()
            both.receiver.close()
            assert not receiving.is_there()
            with pytest.raises(EndedError):
                swapper.put(swapper.load(policy_source("every")))
