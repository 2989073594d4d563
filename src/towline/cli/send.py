# SPDX-License-Identifier: GPL-2.0-only
"""`towline send`: one file to a receiver that waits for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from towline import transfer
from towline.cli.options import FLAG, SIZE, Options, options_class
from towline.cli.screen import Screen, print_json
from towline.errors import SettingsError

if TYPE_CHECKING:
    SenderOptions = Options
else:
    SenderOptions = options_class("sender")

INSECURE = (
    "say --insecure: without keys, everyone on the link can read and alter what is sent"
    " (keys are not there yet; when they are, this option stays the way to do without)"
)


def send(
    file: str | None = None,
    target: str | None = None,
    /,
    *,
    size: Annotated[int | None, SIZE] = None,
    seed: int = 0,
    insecure: Annotated[bool, FLAG] = False,
    json: Annotated[bool, FLAG] = False,
    options: Annotated[SenderOptions, Parameter(name="*")] = SenderOptions(),  # noqa: B008 (it is frozen)
) -> int:
    """Send FILE to a receiver, and come back when it is confirmed.

    Start `towline receive` on the other machine first; it prints the address to type here.

    For example:

    towline send film.mkv 02:00:00:00:00:0b%eth0 --insecure

    towline send --size 256M 02:00:00:00:00:0b%eth0 --insecure --pts 1400 --acc 64

    Parameters
    ----------
    file
        The file to send.
    target
        Where to: MAC%IF, the receiver's address and the interface here that reaches it.
    size
        Send that many random bytes instead of a file (256M; K, M, G, T are powers of 1024).
    seed
        Seed of the random bytes.
    insecure
        Required for now: no key protects the transfer.
    json
        Print one line of JSON for each event on stdout, and nothing else.
    """
    if size is not None and target is None:
        file, target = None, file  # `send --size 256M TARGET` has one word only
    if (file is None) == (size is None):
        raise SettingsError("say what to send: either a FILE or --size, and then the target MAC%IF")
    if target is None:
        raise SettingsError("say where to send to: MAC%IF, as `towline receive` prints it")
    if not insecure:
        raise SettingsError(INSECURE)
    source = size if file is None else Path(file)
    assert source is not None
    settings = options.settings()
    if json:
        transfer.send(source, target, settings, on_event=print_json, seed=seed)
        return 0
    with Screen() as screen:
        transfer.send(source, target, settings, on_event=screen, seed=seed)
    return 0
