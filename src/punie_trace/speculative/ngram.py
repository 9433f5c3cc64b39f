"""Prompt lookup: propose what followed the last time the same few tokens stood in this request's text.

Costs one scan of the text with numpy a round (some 10 us for 2,000 tokens) and 4 bytes a token. It keeps nothing across
requests; `suffix` does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from punie_trace.speculative.drafting import EMPTY, Draft, DraftToken, FreeDrafter, KnownSampler


class NgramDrafter(FreeDrafter):
    """Copies what followed the latest occurrence of the longest suffix of `longest` to `shortest` tokens."""

    name = "ngram"

    def __init__(self, longest: int = 16, shortest: int = 2) -> None:
        if not 1 <= shortest <= longest:
            raise ValueError(f"an n-gram of {shortest} to {longest} tokens cannot be: give 1 <= shortest <= longest")
        self.longest = longest
        self.shortest = shortest
        self._text = np.empty(1024, dtype=np.int64)
        self._length = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the text that is scanned."""
        return self._text.nbytes

    def begin(self, context: Sequence[int]) -> None:
        """Forgets what was, reads the context."""
        self._length = 0
        self.commit(context)

    def room(self, context: Sequence[int]) -> int:
        """As much as the text holds."""
        return self._length

    def commit(self, emitted: Sequence[int]) -> None:
        """Appends to the text."""
        end = self._length + len(emitted)
        if end > len(self._text):
            grown = np.empty(max(end, 2 * len(self._text)), dtype=np.int64)
            grown[: self._length] = self._text[: self._length]
            self._text = grown
        self._text[self._length : end] = emitted
        self._length = end

    def propose(
        self,
        context: Sequence[int],
        k: int,
        *,
        after: Sequence[int] = (),
        sampler: KnownSampler | None = None,
        alternatives: bool = False,
    ) -> Draft:
        """What followed the last time, at most k tokens; a repetition that reaches the end is continued."""
        text = self._text[: self._length]
        if after:
            text = np.concatenate([text, np.asarray(after, dtype=np.int64)])
        longest = min(self.longest, len(text) - 1)
        if k < 1 or longest < self.shortest:
            return EMPTY
        ends = np.flatnonzero(text[:-1] == text[-1])
        matched, best = 1, ends
        for back in range(1, longest):
            ends = ends[ends >= back]
            ends = ends[text[ends - back] == text[-1 - back]]
            if not len(ends):
                break
            matched, best = back + 1, ends
        if matched < self.shortest or not len(best):
            return EMPTY
        ids = continuation(text, int(best[-1]), k)
        sure = matched / (matched + 2.0)
        tokens = [DraftToken(one, self.name, sure, matched + at) for at, one in enumerate(ids)]
        if len(best) > 1 and (text[best + 1] != ids[0]).any():  # it has gone on in several ways
            tokens[0] = tokens[0]._replace(matched=1)
        return Draft(tuple(tokens))

    def end(self, context: Sequence[int], prompt_length: int) -> None:
        """Keeps nothing."""
        self._length = 0


def continuation(text: Sequence[int] | np.ndarray, end: int, k: int, after: Sequence[int] = ()) -> list[int]:
    """At most k ids from (text, after)[end + 1] on; where that runs into the end of both, the period goes on.

    Stops at a negative id, which separates texts.
    """
    ids: list[int] = []
    written, length = len(text), len(text) + len(after)
    period = length - 1 - end
    for i in range(k):
        at = end + 1 + i
        token = int(text[at]) if at < written else after[at - written] if at < length else ids[i - period]
        if token < 0:
            break
        ids.append(token)
    return ids
