"""The texts that a draft model has read, each with its KV cache: a few of them, so that conversations can take turns.

A new request goes on from the text that begins most like its own. Where that would cut much off another conversation,
the part that both share is copied, and the other stays as it is. What was used longest ago goes first when all together
take more than they may; the one in use never goes. It reads no model and knows no context but at `turn_to`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import mlx.core as mx

from punie_trace.speculative.cache import trim_to
from punie_trace.speculative.memory import Memory

_SPARED = 64  # tokens at the end of a text that are cheaper read again than kept: the end of an answer, say
_SHARED = 64  # tokens in common from which on a copy is worth its memory


@dataclass(slots=True)
class ReadText:
    """One cache and the tokens in it; it may hold rows behind them, where a pass was broken off."""

    cache: list
    tokens: list[int] = field(default_factory=list)
    salt: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes of its keys and values, with the room that they have grown into."""
        return sum(entry.nbytes for entry in self.cache)


class DraftCaches:
    """`current` is the text in use. `limit` in bytes is for all together; 0 keeps no other beside it.

    `make` gives an empty cache.
    """

    def __init__(self, make: Callable[[], list], limit: int) -> None:
        self.limit = limit
        self.current = ReadText(make())
        self._make = make
        self._others: list[ReadText] = []  # the one used longest ago first

    def __len__(self) -> int:
        return 1 + len(self._others)

    @property
    def nbytes(self) -> int:
        """Bytes of all."""
        return self.current.nbytes + sum(other.nbytes for other in self._others)

    def turn_to(self, context: Sequence[int], memory: Memory = "server", salt: str = "") -> None:
        """Make current what is best gone on from with this text; whatever fails on the way, all stays as it was.

        With 'request' no text is gone on from, else any of the same salt: keys and values are what the model computes
        of a same beginning, as a target's prompt caches are, and tell a request nothing of another's answer.
        """
        text = list(context)
        every = [*self._others, self.current]
        shared = [common_prefix(one.tokens, text) if one.salt == salt and memory != "request" else 0 for one in every]
        if not any(shared):
            self.current = ReadText(self._make(), salt=salt)
            self._others = [other for other in every if other.tokens]
            self.shrink()
            return
        at = max(range(len(every)), key=lambda n: (shared[n], n))
        best, common = every[at], shared[at]
        if len(best.tokens) - common > _SPARED and self._room_beside(best, common):
            taken = self._copy(best, common if common >= _SHARED else 0, salt)
            kept = [*every[:at], *every[at + 1 :], best]
        else:
            taken = best
            kept = [*every[:at], *every[at + 1 :]]
        self.current, self._others = taken, [other for other in kept if other.tokens]
        self.shrink()

    def forget(self, salt: str | None = None) -> None:
        """Drop the texts of one salt, or with None all."""
        self._others = [other for other in self._others if salt not in (None, other.salt)]
        if salt in (None, self.current.salt):
            self.current = ReadText(self._make())

    def shrink(self) -> None:
        """Let go of others, the one used longest ago first, until all take no more than they may."""
        while self._others and self.nbytes > self.limit:
            del self._others[0]

    def _room_beside(self, best: ReadText, common: int) -> bool:
        """Whether `best` and a copy of its first `common` tokens may be there together, if nothing else is."""
        share = common / len(best.tokens) if best.tokens else 0.0
        return best.nbytes * (1 + share) <= self.limit

    def _copy(self, text: ReadText, length: int, salt: str) -> ReadText:
        cache = self._make()
        if length:
            for new, old in zip(cache, text.cache, strict=True):
                keys, values = old.keys_and_values()
                new.update_and_fetch(keys[..., :length, :], values[..., :length, :])
            mx.eval([entry.state for entry in cache])
        return ReadText(cache, text.tokens[:length], salt)

    def cut(self, length: int) -> None:
        """Cut the current text back to `length` tokens, and every layer with it."""
        trim_to(self.current.cache, length)
        del self.current.tokens[length:]


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts, both lists or both tuples, have in common at their beginning."""
    same, differing = 0, min(len(one), len(other)) + 1
    while differing - same > 1:
        middle = (same + differing) // 2
        same, differing = (middle, differing) if one[same:middle] == other[same:middle] else (same, middle)
    return same
