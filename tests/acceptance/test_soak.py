# SPDX-License-Identifier: GPL-2.0-only
"""A thousand random transfers over impaired paths, each verified; `make soak` does as many as one likes."""

from __future__ import annotations

import pytest

from towline.lab.soak.run import seeds, soak

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("namespaces")]


def test_soak__a_thousand_transfers(capsys: pytest.CaptureFixture[str]) -> None:
    totals = soak(seeds(40, 1000), lambda *_: None)
    with capsys.disabled():
        print(f"\n1000 transfers in {totals.seconds:.0f} s, {totals.unconfirmed} unconfirmed", end="  ")
    assert [(one.plan.seed, one.problem, one.log) for one in totals.failed] == []
    assert totals.left == []
    assert totals.transfers == 1000
