# SPDX-License-Identifier: GPL-2.0-only
"""A rate over time in one line of a terminal, with the swaps in it."""

from __future__ import annotations

from collections import deque

from rich.text import Text

LEVELS = "▁▂▃▄▅▆▇█"
SWAP = "┃"
LOOKS_MOST = 200


class Curve:
    """The last looks; each is one character, with a bar before the first one under another program."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float | None, bool]] = deque(maxlen=LOOKS_MOST)

    def add(self, rate: float | None, *, swapped: bool) -> None:
        """`swapped`: the program is another one than at the last look; None: there is no rate yet."""
        self._looks.append((rate, swapped))

    def drawn(self, width: int) -> Text:
        """At most so many characters, the last looks; the highest of them reaches to the top."""
        text = Text()
        highest = max((rate for rate, _ in self._looks if rate), default=0.0)
        for rate, swapped in self._looks:
            if swapped:
                text.append(SWAP, style="bold yellow")
            if rate is not None:
                text.append(LEVELS[round(rate / highest * (len(LEVELS) - 1)) if highest else 0])
        return text[max(0, len(text) - max(width, 0)) :]
