# SPDX-License-Identifier: GPL-2.0-only
"""Every exception of towline; the docstring of a class is the sentence that the user reads.

A docstring is a template over the arguments of the class, so that what is said stands in one place.
`str(error)` is one line that says what to do; `exit_code` is what the command line ends with;
what is too long for a line (a compiler's or the verifier's output) is kept in `log`.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence

__all__ = [
    "CompileError",
    "EndedError",
    "FileError",
    "IntegrityError",
    "Interrupted",
    "LayoutError",
    "LoadError",
    "MalformedError",
    "NoReceiverError",
    "PeerError",
    "PermissionsError",
    "RunError",
    "SettingsError",
    "StalledError",
    "TowlineError",
    "UnconfirmedError",
    "UnsupportedError",
]


class TowlineError(Exception):
    """{message}"""

    exit_code = 1
    log = ""

    def __init__(self, message: str = "", **fields: object) -> None:
        fields["message"] = message
        super().__init__(" ".join(str(value) for value in fields.values() if value))
        self.fields = fields

    def __str__(self) -> str:
        template = type(self).__doc__
        if template is None:  # python -OO strips docstrings; the bare facts are better than nothing
            return super().__str__()
        return " ".join(template.format_map(self.fields).split())


class Interrupted(KeyboardInterrupt):
    """A signal asked us to end; every `with` on the way out cleans up, as for Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")  # the other side is told so
        self.number = number
        self.exit_code = 128 + number


class SettingsError(TowlineError):
    """{message}"""

    exit_code = 2


class UnsupportedError(TowlineError):
    """{feature} does not work here: it needs {needs}"""

    exit_code = 3

    def __init__(self, feature: str, needs: str) -> None:
        super().__init__(feature=feature, needs=needs)
        self.feature = feature
        self.needs = needs


class CompileError(TowlineError):
    """clang refused a program: {message} (TOWLINE_DEBUG=1 shows all of it)"""

    exit_code = 3

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class LayoutError(TowlineError):
    """{source} does not fit what runs, so nothing was changed: {first} (TOWLINE_DEBUG=1 shows all differences)"""

    exit_code = 3

    def __init__(self, source: str, differences: Sequence[str]) -> None:
        super().__init__(source=source, first=differences[0])
        self.log = "\n".join(differences)


class LoadError(TowlineError):
    """The kernel refused a program: {message} (TOWLINE_DEBUG=1 shows the whole verifier log)"""

    exit_code = 3

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class EndedError(TowlineError):
    """{what} has ended meanwhile, so nothing was changed: `towline kernel list` shows what runs"""

    exit_code = 3

    def __init__(self, what: str) -> None:
        super().__init__(what=what)


class PermissionsError(TowlineError):
    """No permission: {action} needs root, or the capabilities {capabilities}; try it through sudo"""

    exit_code = 4

    def __init__(self, action: str, capabilities: str = "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON") -> None:
        super().__init__(action=action, capabilities=capabilities)
        self.action = action


class NoReceiverError(TowlineError):
    """No receiver answered at {where} within {seconds:g} s: start `towline receive` there first, and
    check the address and the interface"""

    exit_code = 5

    def __init__(self, where: str, seconds: float) -> None:
        super().__init__(where=where, seconds=seconds)
        self.where = where
        self.seconds = seconds


class PeerError(TowlineError):
    """The other side {what}{because}{after}"""

    exit_code = 6

    def __init__(self, what: str, reason: str = "", progress: str = "") -> None:
        """`what`: "rejected the transfer", "aborted", "died"; `progress`: the last that is known of it."""
        super().__init__(
            what=what,
            because=f": {reason}" if reason else "",
            after=f" (last progress: {progress})" if progress else "",
        )
        self.what = what
        self.reason = reason
        self.progress = progress


class StalledError(TowlineError):
    """The other side answers, but nothing moved for {seconds:g} s (last progress: {progress}): see whether
    its disk or its processor is stuck, and start the transfer again"""

    exit_code = 7

    def __init__(self, seconds: float, progress: str) -> None:
        super().__init__(seconds=seconds, progress=progress)
        self.seconds = seconds
        self.progress = progress


class IntegrityError(TowlineError):
    """What arrived is not what was sent: {what}; nothing was kept, start the transfer again"""

    exit_code = 8

    def __init__(self, what: str) -> None:
        super().__init__(what=what)
        self.what = what


class UnconfirmedError(TowlineError):
    """Unconfirmed: everything was sent, but the receiver's confirmation never came ({why}); the file may
    or may not be complete there, so compare or send it again"""

    exit_code = 9

    def __init__(self, why: str) -> None:
        super().__init__(why=why)
        self.why = why


class FileError(TowlineError):
    """{path}: {problem}"""

    exit_code = 10

    def __init__(self, path: object, problem: str) -> None:
        super().__init__(path=path, problem=problem)
        self.path = path
        self.problem = problem


class MalformedError(TowlineError):
    """Malformed bytes from the wire: {what}"""

    exit_code = 6

    def __init__(self, what: str) -> None:
        """Raised by functions whose name ends in `_untrusted`, and by nothing else."""
        super().__init__(what=what)
        self.what = what


class RunError(TowlineError):
    """The {side} of the run ended: {what}"""

    def __init__(self, side: str, what: str, *, exit_code: int = 1, log: str = "") -> None:
        """A process that the laboratory started has failed; its own words and exit code become ours."""
        super().__init__(side=side, what=what)
        self.side = side
        self.what = what
        self.exit_code = exit_code
        self.log = log
