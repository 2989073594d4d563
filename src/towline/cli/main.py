# SPDX-License-Identifier: GPL-2.0-only
"""The command `towline`: arguments in, exit code out, one line on stderr when something is wrong."""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from cyclopts import App, CycloptsError
from rich.console import Console

import towline
from towline.cli.demo import demo
from towline.cli.receive import receive
from towline.cli.send import send
from towline.errors import Interrupted, TowlineError

USAGE = 2
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

app = App(
    name="towline",
    help=(
        "Move files between Linux machines reliably, with the acknowledgement path in the kernel.\n\n"
        "Try it on one machine: `towline demo`. Between two:\n\n"
        "towline receive --interface eth0 --insecure\n\n"
        "towline send FILE 02:00:00:00:00:0b%eth0 --insecure"
    ),
    help_epilogue="TOWLINE_DEBUG=1 shows tracebacks, and the whole output of clang and the verifier.",
    version=towline.__version__,
    suppress_keyboard_interrupt=False,  # it would end with 130 whatever the signal was
)
app.command(send, usage="towline send (FILE | --size SIZE) MAC%IF --insecure [OPTIONS]")
app.command(receive, usage="towline receive --interface IF --insecure [OPTIONS]")
app.command(demo, usage="towline demo [FILE]")
# By name: a sender does not wait until all of the laboratory is imported.
app.command("towline.cli.kernel:kernel", name="kernel", help="See and replace the programs of transfers that run.")
app.command("towline.cli.top:top", name="top", help="Watch the sessions of all transfers that run here.")
app.command("towline.cli.lab:lab", name="lab", help="Transfers and experiments in a laboratory on this machine.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code and never raises for an error that a user can make."""
    for number in SIGNALS:
        signal.signal(number, functools.partial(_interrupt, os.getpid()))
    gc.freeze()  # what the imports made stays: a collection in mid-transfer need not look at it
    try:
        result = app(
            list(sys.argv[1:] if arguments is None else arguments),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()
    except Interrupted as error:
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read our output has gone; without this, the interpreter complains again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except CycloptsError as error:
        return _complain(_one_line(error), USAGE)
    except TowlineError as error:
        _debug(error)
        return _complain(str(error), error.exit_code)
    except OSError as error:
        _debug(error)
        return _complain(_describe(error), 1)
    return result if isinstance(result, int) else 0


def _interrupt(owner: int, number: int, _frame: FrameType | None) -> None:
    if os.getpid() != owner:
        # pyroute2 forks to make a namespace and then ends that child by SIGTERM. To raise there would leave
        # the `with` blocks of ours that it has copies of: it would clean up what we are about to use.
        os._exit(128 + number)
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the cleaning up
    raise Interrupted(number)


def _complain(text: str, exit_code: int) -> int:
    print(f"towline: {text}", file=sys.stderr)
    return exit_code


def _one_line(error: CycloptsError) -> str:
    console = Console(no_color=True, width=10_000)
    with console.capture() as capture:
        console.print(str(error), markup=False, highlight=False)
    return f"{' '.join(capture.get().split())} (see towline --help)"


def _describe(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _debug(error: BaseException) -> None:
    if not os.environ.get("TOWLINE_DEBUG"):
        return
    import traceback  # noqa: PLC0415 (only where somebody debugs)

    traceback.print_exception(error)
    if isinstance(error, TowlineError) and error.log:
        print(error.log, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
