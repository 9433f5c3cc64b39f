"""What ended a run, or a part of it, in words: the error that a user can mend, or what nobody expected, and where.

The traceback of what nobody expected is for whoever mends it, and goes into a file of the run's folder.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from punie_trace.errors import PunieTraceError, UnexpectedError
from punie_trace.runs.secrets import Secrets

TRACEBACK_FILE: Final = "traceback.txt"
_MOST_BYTES: Final = 1_000_000


def first_error(error: BaseException) -> BaseException:
    """The first error in a group that a user can mend, else the first one; an error that is no group as it is."""
    leaves = list(_leaves(error))
    return next((leaf for leaf in leaves if isinstance(leaf, PunieTraceError)), leaves[0])


def in_words(error: BaseException, folder: Path, secrets: Secrets) -> PunieTraceError:
    """The error as one that can be shown, without `secrets`.

    What was not expected leaves its traceback in the run's `folder`.
    """
    if isinstance(error, PunieTraceError):
        error.reword(secrets.hide)
        return error
    what = secrets.hide(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    path = folder / TRACEBACK_FILE
    try:
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            if file.tell() < _MOST_BYTES:
                file.write(secrets.hide("".join(traceback.format_exception(error))))
    except OSError:
        return UnexpectedError(what)
    return UnexpectedError(f"{what} ({path} says where)")


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
