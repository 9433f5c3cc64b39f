"""Every error that a user can meet, one class for each thing that the user can mend.

Each message says what is wrong, where, and what to do. `exit_code` is what the command line ends with. This module
raises nothing itself and formats nothing beyond the message.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

from punie_trace.outside_text import printable


class PunieTraceError(Exception):
    """Root of all errors of this package that a user can mend. `str(error)` is fit to be shown as it is.

    What it repeats of others (a server's words, a file's name) holds nothing that a terminal would obey.
    """

    exit_code = 2

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message)))

    def reword(self, change: Callable[[str], str]) -> None:
        """Pass all that it says through `change`, as to take out what is secret."""
        self.args = tuple(change(one) if isinstance(one, str) else one for one in self.args)


class ConfigurationError(PunieTraceError):
    """The configuration (file, flags or their combination) asks for something that cannot be."""


class SuiteError(PunieTraceError):
    """A suite cannot be found, does not parse, or holds no cases."""


class ModelError(PunieTraceError):
    """A model path does not exist or holds no weights, or a draft does not fit its target."""


class RunFolderError(PunieTraceError):
    """A run folder cannot be made, written or read."""


class ExportError(PunieTraceError):
    """A collector cannot be reached, or is none. What was sent before stays sent, and sending again does no harm."""

    exit_code = 4


class ServerError(PunieTraceError):
    """A server did not start, did not get ready, died, or is not the one it should be.

    `log_tail` is the end of what the server printed ('' where there is none).
    """

    exit_code = 3

    def __init__(self, message: str, log_tail: str = "") -> None:
        super().__init__(message if not log_tail else f"{message}\nIts last output:\n{log_tail}")
        self.log_tail = log_tail

    def reword(self, change: Callable[[str], str]) -> None:
        """Pass all that it says through `change`, the end of the log as well."""
        super().reword(change)
        self.log_tail = change(self.log_tail)


class IdentityError(ServerError):
    """What answered is not the server or the model that was asked."""


class LedgerError(PunieTraceError):
    """A ledger does not close: the spans of a query contradict each other. This is a defect; please report it."""

    exit_code = 4


class UnexpectedError(PunieTraceError):
    """Something that this package did not expect: a defect."""

    exit_code = 4

    def __init__(self, what: str) -> None:
        super().__init__(f"unexpected: {what}. This is a defect: please report it")


def nearest(word: str, known: Iterable[str]) -> str:
    """What to say after an unknown name: the closest known one if there is one, else all of them."""
    names = sorted(set(known))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"
