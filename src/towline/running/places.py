# SPDX-License-Identifier: GPL-2.0-only
"""Where programs of ours run on this machine: on which interfaces, in which network namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from pyroute2 import IPRoute

from towline.errors import EndedError, PermissionsError, SettingsError
from towline.kernel import netns
from towline.kernel.attached import Attached, Program
from towline.kernel.identity import Identity
from towline.kernel.link import mode_of
from towline.kernel.objects import XdpLink, open_program, xdp_links
from towline.kernel.parking import FIRST_INDEX
from towline.kernel.successor import SESSIONS
from towline.parameter import ROLES, Role
from towline.settings import XdpMode


@dataclass(frozen=True, kw_only=True)
class Place:
    """An interface with a program of ours; `namespace` is "" for this process's own."""

    namespace: str
    interface: str
    mode: XdpMode
    link: int
    program: int
    role: Role

    @property
    def name(self) -> str:
        """As it is typed: IF or NAMESPACE/IF."""
        return f"{self.namespace}/{self.interface}" if self.namespace else self.interface

    def attached(self) -> Attached:
        """Its link, to be closed. EndedError where the process that held it has ended."""
        try:
            return Attached(self.link)
        except FileNotFoundError:
            raise EndedError(f"the program on {self.name}") from None

    def is_there(self) -> bool:
        """Whether it has a program still."""
        with suppress(EndedError), self.attached() as link:
            return link.ifindex != 0
        return False


def places() -> list[Place]:
    """All of them, by name. Raises PermissionsError."""
    links = {(link.ifindex, link.program): (link, role) for link, role in _ours()}
    found = []
    for namespace, path in netns.found().items():
        if not links:
            break
        with suppress(OSError, PermissionsError), netns.inside(path):  # a namespace may end, or be closed to us
            for ifindex, program, interface, mode in _programs_here():
                if (ifindex, program) in links:
                    link, role = links.pop((ifindex, program))
                    found.append(
                        Place(
                            namespace=namespace,
                            interface=interface,
                            mode=mode,
                            link=link.number,
                            program=program,
                            role=role,
                        )
                    )
    return sorted(found, key=lambda place: (place.namespace, place.interface))


def place_called(text: str, role: Role | None = None) -> Place:
    """By IF or NAMESPACE/IF; SettingsError names those that there are."""
    known = [place for place in places() if role in (None, place.role)]
    for place in known:
        if text in (place.name, f"/{place.name}"):
            return place
    whose = f"{role}'s program" if role else "program"
    there = ", ".join(place.name for place in known)
    raise SettingsError(
        f"there is no {whose} on {text!r}; " + (f"there is one on {there}" if there else "nor anywhere else here")
    )


def _ours() -> Iterator[tuple[XdpLink, Role]]:
    for link in xdp_links():
        if link.ifindex >= FIRST_INDEX:
            continue  # parked: the same program runs elsewhere
        try:
            program = Program(open_program(link.program))
        except FileNotFoundError:
            continue
        with program:
            role = next((role for role in ROLES if role == program.name and program.map(SESSIONS[role][0])), None)
            if role is not None and Identity.of(program).version:
                yield link, role


def _programs_here() -> Iterator[tuple[int, int, str, XdpMode]]:
    """(ifindex, program's number, name, how it runs) of each interface of this thread's namespace with XDP."""
    with IPRoute() as route:
        for link in route.get_links():
            xdp = link.get_attr("IFLA_XDP")
            number = xdp.get_attr("IFLA_XDP_PROG_ID") if xdp else None
            if number:
                yield link["index"], number, link.get_attr("IFLA_IFNAME"), mode_of(xdp)
