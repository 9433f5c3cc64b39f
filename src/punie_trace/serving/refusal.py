"""Why a request is not served, with the HTTP status that says whose turn it is. Values only; the handler answers."""

from __future__ import annotations

from typing import Final

MOST_CHARACTERS: Final = 900
"""Of what is said: it may repeat what the client wrote, and a client may write much."""


class RefusedError(Exception):
    """A request that cannot be served; `str(error)` says what is wrong and what to send instead."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message if len(message) <= MOST_CHARACTERS else f"{message[:MOST_CHARACTERS]}...")
        self.status = status


class ClientGoneError(Exception):
    """Nobody reads the answer any more, so it is not made."""


class GenerationError(Exception):
    """The model or the decoder failed in the middle of an answer: the server's fault, status 500."""
