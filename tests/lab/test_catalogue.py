# SPDX-License-Identifier: GPL-2.0-only
"""The catalogue: what there is, and why something is not to be had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from towline.delivery.xdp import XdpReceiver
from towline.errors import PermissionsError, UnsupportedError
from towline.framing import LEVELS
from towline.lab import catalogue, yardsticks
from towline.lab.environments import veth

PLAN = '# mine.toml: does it?\nduration = "1s"\n[axes]\nack_every = [1]\n'


class Absent:
    label = "a tool"

    @staticmethod
    def missing() -> str:
        return "install it"


@pytest.fixture(autouse=True)
def one_yardstick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yardsticks, "YARDSTICKS", {"tool": Absent}, raising=False)


def missing(found: object) -> dict[str, str | None]:
    assert isinstance(found, list)
    return {entry.name: entry.missing for entry in found}


@pytest.mark.usefixtures("namespaces")
def test_catalogue__what_works_here_is_not_missing(tmp_path: Path) -> None:
    found = catalogue.catalogue(tmp_path)
    assert missing(found["environments"]) == {"veth": None}
    assert missing(found["datapaths"]) == {"ebpf": None, "socket": None}
    assert missing(found["deliveries"]) == {"direct": None, "ring": None}
    assert missing(found["XDP modes"]) == {"native": None, "generic": None}
    assert list(missing(found["levels"])) == list(LEVELS)
    assert missing(found["yardsticks"]) == {"tool": "install it"}
    assert found["plans"] == []


def test_catalogue__without_permission_everything_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    @contextmanager
    def refused(**_: object) -> Iterator[veth.Path]:
        raise PermissionsError("making network namespaces")
        yield

    monkeypatch.setattr(veth, "veth", refused)
    found = catalogue.catalogue(tmp_path)
    assert "needs root" in str(missing(found["environments"])["veth"])
    for kind in ("levels", "datapaths", "deliveries", "XDP modes", "yardsticks"):
        assert None not in missing(found[kind]).values()


@pytest.mark.usefixtures("namespaces")
def test_catalogue__without_a_compiler_sockets_are_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise UnsupportedError("compiling", "clang")

    monkeypatch.setattr(XdpReceiver, "__init__", refuse)
    found = catalogue.catalogue(tmp_path)
    assert missing(found["datapaths"]) == {"ebpf": "compiling does not work here: it needs clang", "socket": None}
    assert missing(found["deliveries"])["direct"] == "it needs the datapath ebpf"
    assert missing(found["levels"])["ethernet"] is None


def test_plans__with_their_questions_or_what_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(PLAN)
    (tmp_path / "wrong.toml").write_text(PLAN.replace("ack_every", "ack_evry"))
    right, wrong = catalogue._plans(tmp_path)
    assert (right.what, right.missing) == ("does it?", None)
    assert "wrong.toml:4: " in str(wrong.missing)
