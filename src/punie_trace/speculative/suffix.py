"""Propose what followed the longest repeated suffix, in this request or in earlier ones: agents repeat themselves.

After arXiv 2411.04975 (SuffixDecoding). This request's text lies in a suffix automaton that grows as tokens are
emitted; what earlier requests emitted lies in a second one, bounded in memory, through which the text is followed.
The longer match wins. No model is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from punie_trace.speculative.automaton import BYTES_PER_TOKEN, SuffixAutomaton
from punie_trace.speculative.drafting import NOTHING, Drafter, Kind, KnownSampler, Proposal
from punie_trace.speculative.ngram import continued

_LEAD = 24  # tokens of the prompt's end kept before an answer, so that the start of the next answer finds a match
_CERTAIN = 32  # tokens of repetition that are held to be the same text again, template and names
_LONGEST = 2048  # emitted tokens kept of one request


class EarlierTexts:
    """What earlier requests emitted, newest last, in at most `limit` bytes. A text that comes again is kept once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.automaton = SuffixAutomaton()
        self._texts: dict[tuple[int, ...], None] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of the automaton and of the texts it was built from."""
        return self.automaton.nbytes + 8 * sum(map(len, self._texts))

    def add(self, text: tuple[int, ...]) -> None:
        """Keep a text; the oldest go when there is no room."""
        if (len(text) + 1) * (BYTES_PER_TOKEN + 8) > self.limit:
            return
        if self._texts.pop(text, self) is None:
            self._texts[text] = None
            return
        self._texts[text] = None
        if self.nbytes + (len(text) + 1) * BYTES_PER_TOKEN <= self.limit:
            self._read(text)
            return
        while len(self._texts) > 1 and self._needed() > self.limit // 2:  # half, so that this stays rare
            del self._texts[next(iter(self._texts))]
        self.automaton = SuffixAutomaton()
        for kept in self._texts:
            self._read(kept)

    def _needed(self) -> int:
        return sum((len(text) + 1) * (BYTES_PER_TOKEN + 8) for text in self._texts)

    def _read(self, text: tuple[int, ...]) -> None:
        for token in text:
            self.automaton.read(token)
        self.automaton.read(-1)  # no proposal runs from one text into the next


class SuffixDrafter:
    """Repeats, from this request and from earlier ones.

    `shortest` is the least match it proposes from; `window` bounds how many tokens of this request are indexed (the
    newest), and `store_limit` is the memory for earlier requests in bytes.
    """

    kind: Kind = "suffix"
    free = True

    def __init__(self, *, shortest: int = 2, window: int = 16_384, store_limit: int = 1 << 20) -> None:
        self.shortest = shortest
        self.window = window
        self.earlier = EarlierTexts(store_limit)
        self._own = SuffixAutomaton()
        self._state = 0
        self._matched = 0

    @property
    def nbytes(self) -> int:
        """Bytes of both automata."""
        return self._own.nbytes + self.earlier.nbytes

    def members(self) -> tuple[Drafter, ...]:
        """Itself."""
        return (self,)

    def begin(self, context: Sequence[int]) -> None:
        """Reads the context, or only what is new where it goes on from the last request's."""
        known = len(self._own)
        recent = list(context[-self.window :])
        goes_on = 0 < known <= len(recent) == len(context) and recent[:known] == self._own.text.tolist()
        if not goes_on:
            self._own = SuffixAutomaton()
        for token in recent[known if goes_on else 0 :]:
            self._own.read(token)
        self._state = self._matched = 0
        for token in recent[-64:]:
            self._state, self._matched = self.earlier.automaton.step(self._state, self._matched, token)

    def prepare(self, context: Sequence[int]) -> None:
        """Nothing to read ahead."""

    def lag(self, context: Sequence[int]) -> int:
        """Nothing to speak of."""
        return 0

    def room(self, context: Sequence[int]) -> int:
        """As much as the texts hold."""
        return len(self._own) + len(self.earlier.automaton)

    def commit(self, emitted: Sequence[int]) -> None:
        """Reads what was emitted."""
        for token in emitted:
            self._own.read(token)
            self._state, self._matched = self.earlier.automaton.step(self._state, self._matched, token)
        if len(self._own) > 2 * self.window:
            self.begin(self._own.text.tolist()[-self.window :])

    def propose(
        self,
        context: Sequence[int],
        k: int,
        *,
        after: Sequence[int] = (),
        sampler: KnownSampler | None = None,
        alternatives: bool = False,
    ) -> Proposal:
        """What followed the longest match, at most k tokens."""
        own, store = self._own, self.earlier.automaton
        if k < 1:
            return NOTHING
        matched, end, stored, there = own.matched, own.matched_end, self._matched, self._state
        here = own.matched_state
        for token in after:
            here, matched = own.step(here, matched, token)
            there, stored = store.step(there, stored, token)
        if after:
            end = own.end_of(here)
        if matched >= max(self.shortest, stored):
            return _judged(own, here, continued(own.text, end, matched, k, after))
        if stored >= self.shortest:
            return _judged(store, there, continued(store.text, store.end_of(there), stored, k))
        return NOTHING

    def end(self, context: Sequence[int], prompt_length: int) -> None:
        """Keeps what was emitted, and a little of what led to it, for later requests."""
        if len(context) - prompt_length >= self.shortest:
            start = max(0, prompt_length - _LEAD)
            self.earlier.add(tuple(context[start : prompt_length + _LONGEST]))


def _judged(automaton: SuffixAutomaton, state: int, proposal: Proposal) -> Proposal:
    """The proposal with what each of its tokens rests on: a repetition that has gone on in several ways counts as one.

    So a name that a template is filled with is told from the template.
    """
    matches: list[int] = []
    length = proposal.matched
    for token in proposal.tokens:
        matches.append(length if length >= _CERTAIN or automaton.went_on_alike(state) else 1)
        state, length = automaton.step(state, length, token)
    return replace(proposal, matches=tuple(matches), matched=matches[0] if matches else 0)
