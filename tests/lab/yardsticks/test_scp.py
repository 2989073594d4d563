# SPDX-License-Identifier: GPL-2.0-only
"""What scp's server has to know about the account that it lets in."""

from __future__ import annotations

from pathlib import Path

import pytest

from towline.lab.yardsticks import scp

SHADOW = "root:*:19000:0:::::\nlocked:!:19000::::::\nold:!$y$abc:19000::::::\nuser:$y$abc:19000::::::\n"


@pytest.mark.parametrize(
    ("user", "expected"), [("root", False), ("locked", True), ("old", True), ("user", False), ("nobody", False)]
)
def test_locked__by_the_first_letter_of_the_password(user: str, expected: bool, tmp_path: Path) -> None:
    shadow = tmp_path / "shadow"
    shadow.write_text(SHADOW)
    assert scp.locked(user, shadow) is expected
