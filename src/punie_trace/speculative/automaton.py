"""A suffix automaton that grows token by token: where else does the end of this text occur?

Blumer et al., 'The smallest automaton recognizing the subwords of a text' (1985), in the online construction. Reading a
token takes amortised constant time. Besides the classic parts, every state keeps the end of the latest known occurrence
of its words, so that what followed there can be proposed.
"""

from __future__ import annotations

from array import array

BYTES_PER_TOKEN = 640
"""Memory per token read, as measured on texts of random and of repeated tokens (240 to 620), taken from above."""

_REFRESHED = 24  # suffix links along which the latest occurrence is kept up to date; all would be quadratic on 'aaaa'


class SuffixAutomaton:
    """All substrings of `text`. State 0 is the empty word.

    After `read`, `matched` is the length of the longest suffix of the text that had occurred before, and `matched_end`
    the index of the last token of such an earlier occurrence (-1 where nothing matched).
    """

    __slots__ = ("_end", "_last", "_length", "_link", "_next", "matched", "matched_end", "text")

    def __init__(self) -> None:
        self.text = array("q")
        self.matched = 0
        self.matched_end = -1
        self._next: list[dict[int, int]] = [{}]
        self._link = array("i", [-1])
        self._length = array("i", [0])
        self._end = array("i", [-1])
        self._last = 0

    def __len__(self) -> int:
        return len(self.text)

    @property
    def nbytes(self) -> int:
        """An upper estimate of its memory in bytes."""
        return BYTES_PER_TOKEN * len(self.text)

    def read(self, token: int) -> None:
        """Append one token to the text."""
        following, link, length, end = self._next, self._link, self._length, self._end
        position = len(self.text)
        self.text.append(token)
        new = len(following)
        following.append({})
        length.append(length[self._last] + 1)
        link.append(0)
        end.append(position)
        state = self._last
        while state != -1 and token not in following[state]:
            following[state][token] = new
            state = link[state]
        if state != -1:
            target = following[state][token]
            if length[state] + 1 == length[target]:
                link[new] = target
            else:
                twin = len(following)
                following.append(dict(following[target]))
                length.append(length[state] + 1)
                link.append(link[target])
                end.append(end[target])
                while state != -1 and following[state].get(token) == target:
                    following[state][token] = twin
                    state = link[state]
                link[target] = link[new] = twin
        self._last = new
        suffix = link[new]
        self.matched, self.matched_end = length[suffix], end[suffix]
        for _ in range(_REFRESHED):
            if suffix <= 0:
                break
            end[suffix] = position
            suffix = link[suffix]

    @property
    def matched_state(self) -> int:
        """The state of the longest suffix of the text that had occurred before."""
        return max(0, self._link[self._last])

    def step(self, state: int, matched: int, token: int) -> tuple[int, int]:
        """Follow another text through this one: the state and length of the longest suffix of it that occurs here."""
        while state and token not in self._next[state]:
            state = self._link[state]
            matched = self._length[state]
        if token in self._next[state]:
            return self._next[state][token], matched + 1
        return 0, 0

    def went_on_alike(self, state: int, least: int = 8) -> bool:
        """Whether the words of a state, cut to some `least` tokens of their end, have always been followed by the same.

        A longer match may have occurred but once, and says less than how often its end was followed by something else.
        """
        link, length = self._link, self._length
        while link[state] > 0 and length[link[state]] >= least:
            state = link[state]
        return len(self._next[state]) == 1

    def end_of(self, state: int) -> int:
        """The index of the last token of an occurrence of a state's words; -1 for the empty word."""
        return self._end[state]
