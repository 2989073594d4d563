# SPDX-License-Identifier: GPL-2.0-only
"""A report page in a browser without a network: it shows its plots, fetches nothing, and complains about nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.lab.report.made_up import ACK, made_up
from towline.lab import report
from towline.lab.report import plots

pytestmark = pytest.mark.acceptance

WIDTH, HEIGHT = 1000, 3600
LONGEST_S = 120
INK_LEAST = 300  # pixels of a line's colour


@dataclass(frozen=True)
class Seen:
    """What the browser drew (height, width, 3; each from 0 to 1), and what it said on its console."""

    pixels: NDArray[np.float32]
    console: list[str]

    def amount(self, colour: str) -> int:
        """How many pixels have about this colour."""
        wanted = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
        return int(np.sum(np.all(np.abs(self.pixels - wanted) < 0.06, axis=-1)))


@pytest.fixture
def browser() -> str:
    """Chromium, which `make acceptance` installs."""
    if os.geteuid() != 0:
        pytest.skip("needs root (CAP_SYS_ADMIN for a network namespace without a network)")
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("needs Chromium: ./setup.sh acceptance installs it")
    return found


def look(browser: str, page: Path, folder: Path) -> Seen:
    """A page as the browser shows it, in a network namespace of its own where even the loopback is down."""
    picture = folder / "screen.png"
    command = [
        *("unshare", "--net", browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *("--enable-logging=stderr", "--v=0", f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000"),
        *(f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={picture}", page.as_uri()),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=True)
    said = [line for line in ended.stderr.splitlines() if re.search(r":CONSOLE[:(]", line)]
    console = [line for line in said if "source: chrome://" not in line]  # what the browser's own pages say
    return Seen(pixels=matplotlib.image.imread(picture)[..., :3], console=console)


def test_page__shows_its_plots_without_a_network(browser: str, tmp_path: Path) -> None:
    seen = look(browser, report.write(made_up(tmp_path / "ack")), tmp_path)
    assert seen.console == []
    for which in range(3):  # one colour for each ack_every, two of them for the losses
        assert seen.amount(plots.colour(which)) > INK_LEAST


def test_index__shows_its_plots_without_a_network(browser: str, tmp_path: Path) -> None:
    made_up(tmp_path / "ack", ACK.partition("[plot.spread]")[0])
    seen = look(browser, report.index([tmp_path / "ack"], tmp_path / "report.html"), tmp_path)
    assert seen.console == []
    for which in range(2):
        assert seen.amount(plots.colour(which)) > INK_LEAST


def test_look__would_notice(browser: str, tmp_path: Path) -> None:
    """No plots, something to fetch, and a script: the tests above could have failed."""
    html = report.write(made_up(tmp_path / "ack")).read_text()
    html = re.sub(r"<svg.*?</svg>", '<img src="http://192.0.2.1/x.png">', html, flags=re.DOTALL)
    broken = tmp_path / "broken.html"
    broken.write_text(html.replace("</body>", "<script>nothing()</script></body>"))
    seen = look(browser, broken, tmp_path)
    assert any("192.0.2.1" in line for line in seen.console)
    assert any("script" in line for line in seen.console)
    assert seen.amount(plots.colour(2)) < INK_LEAST
