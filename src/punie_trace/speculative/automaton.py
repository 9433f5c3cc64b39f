"""A suffix automaton that grows token by token: where else does the end of this text occur?

Blumer et al., 'The smallest automaton recognizing the subwords of a text' (1985), in the online construction. Reading a
token takes amortised constant time. Besides the classic parts, every state keeps the end of the latest known occurrence
of its words, so that what followed there can be proposed.
"""

from __future__ import annotations

from array import array

BYTES_PER_TOKEN = 320
"""Memory per token read at most: measured 33 on repeated text, 120 to 190 on source text and random tokens, 300 on
two tokens at random, where each state is followed by both."""
_BYTES_PER_STATE, _BYTES_PER_BRANCH, _BYTES_PER_ENTRY = 27, 260, 60  # measured with tracemalloc, CPython 3.11

_NONE = -(1 << 62)  # no token: the end of the text, so far
_REFRESHED = 24  # suffix links along which the latest occurrence is kept up to date; all would be quadratic on 'aaaa'


class SuffixAutomaton:
    """All substrings of `text`. State 0 is the empty word.

    After `read`, `matched` is the length of the longest suffix of the text that had occurred before, and `matched_end`
    the index of the last token of such an earlier occurrence (-1 where nothing matched).
    """

    __slots__ = (
        "_end", "_entries", "_last", "_length", "_link", "_more", "_target", "_token", "matched", "matched_end", "text",
    )  # fmt: skip

    def __init__(self) -> None:
        self.text = array("q")
        self.matched = 0
        self.matched_end = -1
        # What follows a state: its first token and where that leads, and for the few with others a dict of those.
        self._token = array("q", [_NONE])
        self._target = array("i", [0])
        self._more: dict[int, dict[int, int]] = {}
        self._entries = 0  # in all of these
        self._link = array("i", [-1])
        self._length = array("i", [0])
        self._end = array("i", [-1])
        self._last = 0

    def __len__(self) -> int:
        return len(self.text)

    @property
    def nbytes(self) -> int:
        """Its memory in bytes, estimated from above by up to a fifth."""
        states, branches = len(self._token) - 1, len(self._more)
        of_branches = _BYTES_PER_BRANCH * branches + _BYTES_PER_ENTRY * self._entries
        return 8 * len(self.text) + _BYTES_PER_STATE * states + of_branches

    def read(self, token: int) -> None:
        """Append one token to the text."""
        tokens, targets, more = self._token, self._target, self._more
        link, length, end = self._link, self._length, self._end
        position = len(self.text)
        self.text.append(token)
        new = len(tokens)
        self._append(length[self._last] + 1, 0, position)
        state = self._last
        target = -1
        while state != -1:
            if tokens[state] == token:
                target = targets[state]
                break
            if tokens[state] == _NONE:
                tokens[state], targets[state] = token, new
            else:
                others = more.get(state)
                if others is None:
                    more[state] = {token: new}
                    self._entries += 1
                elif token in others:
                    target = others[token]
                    break
                else:
                    others[token] = new
                    self._entries += 1
            state = link[state]
        if state != -1:
            if length[state] + 1 == length[target]:
                link[new] = target
            else:
                twin = len(tokens)
                self._append(length[state] + 1, link[target], end[target])
                tokens[twin], targets[twin] = tokens[target], targets[target]
                if target in more:
                    more[twin] = dict(more[target])
                    self._entries += len(more[twin])
                while state != -1:
                    if tokens[state] == token and targets[state] == target:
                        targets[state] = twin
                    elif state in more and more[state].get(token) == target:
                        more[state][token] = twin
                    else:
                        break
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

    def _append(self, length: int, link: int, end: int) -> None:
        """One more state, which nothing follows yet."""
        self._token.append(_NONE)
        self._target.append(0)
        self._length.append(length)
        self._link.append(link)
        self._end.append(end)

    def _after(self, state: int, token: int) -> int:
        """The state that a token leads to, -1 where it never followed."""
        if self._token[state] == token:
            return self._target[state]
        others = self._more.get(state)
        return -1 if others is None else others.get(token, -1)

    @property
    def matched_state(self) -> int:
        """The state of the longest suffix of the text that had occurred before."""
        return max(0, self._link[self._last])

    def step(self, state: int, matched: int, token: int) -> tuple[int, int]:
        """Follow another text through this one: the state and length of the longest suffix of it that occurs here."""
        while (following := self._after(state, token)) < 0:
            if not state:
                return 0, 0
            state = self._link[state]
            matched = self._length[state]
        return following, matched + 1

    def went_on_alike(self, state: int, least: int = 8) -> bool:
        """Whether the words of a state, cut to some `least` tokens of their end, have always been followed by the same.

        A longer match may have occurred but once, and says less than how often its end was followed by something else.
        """
        link, length = self._link, self._length
        while link[state] > 0 and length[link[state]] >= least:
            state = link[state]
        return self._token[state] != _NONE and state not in self._more

    def end_of(self, state: int) -> int:
        """The index of the last token of an occurrence of a state's words; -1 for the empty word."""
        return self._end[state]
