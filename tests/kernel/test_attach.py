# SPDX-License-Identifier: GPL-2.0-only
"""XDP links: native and generic, replacing, and an interface that somebody else holds."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from tests.own_pins import own_folder
from towline.errors import EndedError, LoadError, PermissionsError, UnsupportedError
from towline.kernel import attach as module
from towline.kernel import bpffs
from towline.kernel.attach import attach
from towline.kernel.attached import Attached
from towline.kernel.link import name_of, xdp_holder
from towline.kernel.objects import link_info, program_info
from towline.kernel.program import Object

PROGRAMS = """
SEC("xdp") int tl_pass(struct xdp_md *ctx) { return XDP_PASS; }
SEC("xdp") int tl_drop(struct xdp_md *ctx) { return XDP_DROP; }
SEC("xdp") int tl_turn(struct xdp_md *ctx) { return XDP_TX; }
"""


@pytest.fixture
def programs(build: Callable[[str], Path]) -> Iterator[Object]:
    with Object(build(PROGRAMS)) as loaded:
        loaded.load()
        yield loaded


def test_attach__is_native_where_it_can_be(programs: Object, pair: tuple[int, int]) -> None:
    with attach(programs.program("tl_pass"), pair[0]) as link:
        assert (link.mode, link.why_not_native) == ("native", None)
        assert "'tl_pass'" in str(xdp_holder(pair[0]))
    assert xdp_holder(pair[0]) is None


def test_close__detaches_though_a_child_holds_the_descriptor(programs: Object, pair: tuple[int, int]) -> None:
    link = attach(programs.program("tl_pass"), pair[0])
    inherited = os.dup(link.fd)
    link.close()
    link.close()
    assert xdp_holder(pair[0]) is None
    os.close(inherited)


def test_attach__says_why_it_is_generic(programs: Object, pair: tuple[int, int]) -> None:
    with IPRoute() as route:
        route.link("set", index=pair[1], mtu=3507)  # one more than native XDP on the other end takes
    with attach(programs.program("tl_pass"), pair[0]) as link:
        assert link.mode == "generic"
        assert "native XDP on va needs a smaller MTU" in (link.why_not_native or "")
        assert xdp_holder(pair[0])


def test_attach__refuses_native_where_it_was_demanded(programs: Object, pair: tuple[int, int]) -> None:
    with IPRoute() as route:
        route.link("set", index=pair[1], mtu=3507)
    with pytest.raises(UnsupportedError, match=r"native XDP on va .* a smaller MTU .* 3506"):
        attach(programs.program("tl_pass"), pair[0], "native")
    assert xdp_holder(pair[0]) is None


def test_attach__is_generic_where_it_was_asked_for(programs: Object, pair: tuple[int, int]) -> None:
    with attach(programs.program("tl_pass"), pair[0], "generic") as link:
        assert (link.mode, link.why_not_native) == ("generic", "generic was asked for")


@pytest.mark.parametrize("mode", ["auto", "native", "generic"])
def test_attach__names_who_holds_the_hook(programs: Object, pair: tuple[int, int], mode: str) -> None:
    with attach(programs.program("tl_pass"), pair[0]):
        with pytest.raises(UnsupportedError) as caught:
            attach(programs.program("tl_drop"), pair[0], mode)  # type: ignore[arg-type]
        assert "XDP on va" in str(caught.value)
        assert "'tl_pass'" in str(caught.value)
        assert f"process {os.getpid()} " in str(caught.value)


def test_attach__says_how_to_free_the_hook(
    programs: Object, pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> str:
        with pytest.raises(UnsupportedError) as caught:
            attach(programs.program("tl_drop"), pair[0])
        return str(caught.value)

    with attach(programs.program("tl_pass"), pair[0]):
        assert refused().endswith("end that process")
        monkeypatch.setattr("towline.kernel.link.processes_with", lambda number: [])
        assert "`towline kernel clean` removes" in refused()
    with own_folder(monkeypatch) as folder:  # as `ip link` attaches: without a link
        folder.mkdir(mode=0o700)
        bpffs.pin(programs.program("tl_pass"), folder / "tl_pass")
        subprocess.run(["ip", "link", "set", name_of(pair[0]), "xdp", "pinned", str(folder / "tl_pass")], check=True)
        name = name_of(pair[0])
        assert f"`ip link set dev {name} xdp off`" in refused()
        subprocess.run(["ip", "link", "set", name, "xdp", "off"], check=True)


def test_attach__shows_an_interface_that_is_not_there(programs: Object) -> None:
    with pytest.raises(LoadError, match="no interface 999999 in this network namespace"):
        attach(programs.program("tl_pass"), 999999)


def test_attach__ends_with_its_process(build: Callable[[str], Path], pair: tuple[int, int]) -> None:
    script = """
        import sys, time
        from pathlib import Path
        from towline.kernel.attach import attach
        from towline.kernel.program import Object
        programs = Object(Path(sys.argv[1]))
        programs.load()
        link = attach(programs.program("tl_pass"), int(sys.argv[2]))
        print(link.mode, flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(build(PROGRAMS)), str(pair[0])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "native\n"
        assert f"process {child.pid} " in str(xdp_holder(pair[0]))
        child.kill()
    deadline = time.monotonic() + 2  # the kernel lets go of a link from a work queue
    while xdp_holder(pair[0]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert xdp_holder(pair[0]) is None


def test_replace__puts_the_other_program_in_place(programs: Object, pair: tuple[int, int]) -> None:
    with attach(programs.program("tl_pass"), pair[0]) as link:
        link.replace(programs.program("tl_drop"))
        assert "'tl_drop'" in str(xdp_holder(pair[0]))


def test_replace__refuses_what_is_no_program(programs: Object, pair: tuple[int, int]) -> None:
    with attach(programs.program("tl_pass"), pair[0]) as link:
        with pytest.raises(LoadError, match="replacing the XDP program"):
            link.replace(0)
        assert "'tl_pass'" in str(xdp_holder(pair[0]))


def test_replace__only_the_program_that_it_is_told(programs: Object, pair: tuple[int, int]) -> None:
    before, other, new = (programs.program(name) for name in ("tl_pass", "tl_drop", "tl_turn"))
    with attach(before, pair[0]) as link:
        assert link.replace(other, before)
        assert not link.replace(new, before)  # as of two who want to replace the same one at once
        assert "'tl_drop'" in str(xdp_holder(pair[0]))
        with Attached(link_info(link.fd).id) as seen:
            assert not seen.replace(new, before)
            assert seen.replace(new, other)
            assert seen.program_number == program_info(new).id


def test_replace__no_privilege_is_not_another_program(
    programs: Object, pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forbidding:
        def bpf_link_update(self, *_: object) -> int:
            return -errno.EPERM

    with attach(programs.program("tl_pass"), pair[0]) as link, monkeypatch.context() as patch:
        patch.setattr(module, "library", Forbidding)
        for instead_of in (None, programs.program("tl_pass")):
            with pytest.raises(PermissionsError, match="replacing an XDP program"):
                link.replace(programs.program("tl_drop"), instead_of)
        assert not link.replace(programs.program("tl_drop"), programs.program("tl_turn"))


def test_replace__of_a_link_that_has_ended(programs: Object, pair: tuple[int, int]) -> None:
    with attach(programs.program("tl_pass"), pair[0]) as link, Attached(link_info(link.fd).id) as seen:
        link.close()
        for instead_of in (None, programs.program("tl_pass"), programs.program("tl_turn")):
            with pytest.raises(EndedError):
                seen.replace(programs.program("tl_drop"), instead_of)
