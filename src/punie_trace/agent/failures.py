"""One line for whatever went wrong while a query was asked: what it was, and what caused it underneath."""

from __future__ import annotations

from collections.abc import Iterable

from punie_trace.records import Generation

MAX_CHARS = 500


def describe_failure(failure: BaseException) -> str:
    """'Kind: message', with the root cause behind it where that says more; one line, at most 500 characters."""
    parts = [_line(failure)]
    cause = failure.__cause__ or failure.__context__
    seen = {id(failure)}
    while cause is not None and id(cause) not in seen and len(seen) < 8:
        seen.add(id(cause))
        line = _line(cause)
        if str(cause) and str(cause) not in parts[-1]:
            parts.append(line)
        cause = cause.__cause__ or cause.__context__
    return "; caused by ".join(parts)[:MAX_CHARS]


def generation_failure(generations: Iterable[Generation]) -> str | None:
    """What went wrong with a generation that nobody complained of; None where all came whole.

    Clients take a stream that was cut for one that ended, and half an answer for a whole one.
    """
    return next((f"a generation failed: {g.error}" for g in generations if g.error is not None), None)


def _line(failure: BaseException) -> str:
    message = " ".join(str(failure).split())
    name = type(failure).__name__
    return f"{name}: {message}" if message else name
