"""Whether a training question comes near a text by which the model will be judged.

Near means: the same words; a shared run of five words; or nearly the same text by character runs of four (Jaccard
0.75 or more). Case, punctuation and white space do not count. It reads texts only, no suites' answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

RUN = 5
NEAR = 0.75


def words(text: str) -> tuple[str, ...]:
    """The words of a text in lower case; identifiers stay whole."""
    return tuple(re.findall(r"[a-z0-9_']+", text.lower()))


def _runs(text: str) -> frozenset[tuple[str, ...]]:
    found = words(text)
    return frozenset(found[i : i + RUN] for i in range(len(found) - RUN + 1))


def _grams(text: str) -> frozenset[str]:
    joined = " ".join(words(text))
    return frozenset(joined[i : i + 4] for i in range(max(1, len(joined) - 3)))


class OverlapCheck:
    """Holds the texts to keep away from."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = list(texts)
        self._whole = {words(text) for text in self._texts}
        self._runs = frozenset(run for text in self._texts for run in _runs(text))
        self._grams = [_grams(text) for text in self._texts]

    def near(self, text: str) -> bool:
        """Whether `text` comes near one of the texts."""
        if words(text) in self._whole or self._runs & _runs(text):
            return True
        own = _grams(text)
        return any(len(own & other) >= NEAR * len(own | other) for other in self._grams)
