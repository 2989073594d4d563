# SPDX-License-Identifier: GPL-2.0-only
"""Swaps of a run: at the moments that the settings name, the receiver's program is replaced from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from towline.bpf import policy_source
from towline.errors import EndedError, TowlineError
from towline.kernel.attached import Program
from towline.running.places import place_called
from towline.running.swap import Swapped, Swapper


class Swaps:
    """`prepare` when the receiver is ready, `begin` when bytes flow, `end` when they have: a thread of its own swaps
    meanwhile, as `towline kernel swap` would. To compile and to verify is not part of the run.
    """

    def __init__(self, place: str, moments: Sequence[tuple[int, str]]) -> None:
        """`moments`: (microseconds from the begin, policy)."""
        self._place = place
        self._moments = sorted(moments)
        self._stack = ExitStack()
        self._programs: list[Program] = []
        self._over = threading.Event()
        self._done: list[Swapped] = []
        self._error: TowlineError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def prepare(self) -> None:
        """Raises TowlineError: one cannot be made."""
        if self._moments:
            self._swapper = self._stack.enter_context(Swapper(place_called(self._place, "receiver")))
            self._programs = [self._swapper.load(policy_source(policy)) for _, policy in self._moments]

    def begin(self) -> None:
        """Bytes flow."""
        if self._programs:
            self._thread.start()

    def end(self) -> dict[str, Any]:
        """What a record says of it: how many there were, and the longest time until one took effect.

        Raises TowlineError: one could not be made.
        """
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._stack.close()
        if self._error is not None:
            raise self._error
        effects = [one.effect_s for one in self._done if one.effect_s is not None]
        return {"swaps": len(self._done), "swap_effect_us": max(effects) * 1e6 if effects else None}

    def _run(self) -> None:
        began = time.monotonic()
        try:
            for (at_us, _), program in zip(self._moments, self._programs, strict=True):
                if self._over.wait(max(0.0, began + at_us / 1e6 - time.monotonic())):
                    return
                self._done.append(self._swapper.put(program))
        except EndedError:
            return  # the transfer was quicker, and its program is gone; the record's `swaps` says how many there were
        except TowlineError as error:
            self._error = error
