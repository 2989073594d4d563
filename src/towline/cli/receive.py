# SPDX-License-Identifier: GPL-2.0-only
"""`towline receive`: wait for a sender, and put its file into a folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from towline import transfer
from towline.cli.options import FLAG, Options, options_class
from towline.cli.screen import Screen, print_json
from towline.cli.send import INSECURE
from towline.errors import SettingsError

if TYPE_CHECKING:
    ReceiverOptions = Options
else:
    ReceiverOptions = options_class("receiver")


def receive(
    *,
    interface: str,
    output: Path = Path(),
    insecure: Annotated[bool, FLAG] = False,
    keep: Annotated[bool, FLAG] = False,
    overwrite: Annotated[bool, FLAG] = False,
    persist: Annotated[bool, FLAG] = False,
    json: Annotated[bool, FLAG] = False,
    options: Annotated[ReceiverOptions, Parameter(name="*")] = ReceiverOptions(),  # noqa: B008 (it is frozen)
) -> int:
    """Wait for a sender on an interface, and put its file into a folder.

    The file appears under its name only when all of it has arrived and was checked. The address that
    the sender must type is printed first.

    For example:

    towline receive --interface eth0 --insecure

    towline receive --interface eth0 --output /srv/in --keep --insecure --window 65536

    Parameters
    ----------
    interface
        The interface to listen on.
    output
        The folder that files are put into.
    insecure
        Required for now: no key protects the transfer.
    keep
        Go on listening after the first transfer.
    overwrite
        Replace a file that is there already.
    persist
        Pin program and memory: where this process is killed, or ended by another signal than Ctrl-C, which gives up,
        the kernel goes on receiving and acknowledging what fits the window, and the same command, given again, takes
        over. `towline kernel clean` removes what is pinned.
    json
        Print one line of JSON for each event on stdout, and nothing else.
    """
    if not insecure:
        raise SettingsError(INSECURE)
    settings = options.settings()
    serve = partial(transfer.receive, interface, output, settings, keep=keep, overwrite=overwrite, persist=persist)
    if json:
        serve(on_event=print_json)
        return 0
    with Screen(receiving=True) as screen:
        serve(on_event=screen)
    return 0
