"""Propose what followed the longest repeated suffix, in this request or in earlier ones: agents repeat themselves.

After arXiv 2411.04975 (SuffixDecoding). This request's text lies in a suffix automaton that grows as tokens are
emitted; what earlier requests emitted lies in a second one, bounded in memory, through which the text is followed.
The longer match wins. No model is run.
"""

from __future__ import annotations

from collections.abc import Sequence

from punie_trace.speculative.automaton import SuffixAutomaton
from punie_trace.speculative.drafting import EMPTY, Draft, DraftToken, FreeDrafter, KnownSampler
from punie_trace.speculative.earlier_texts import TextStores
from punie_trace.speculative.memory import Memory
from punie_trace.speculative.ngram import continuation

_LEAD = 24  # tokens of the prompt's end kept before an answer, so that the start of the next answer finds a match
_CERTAIN = 32  # tokens of repetition that are held to be the same text again, template and names
_LONGEST = 2048  # emitted tokens kept of one request


class SuffixDrafter(FreeDrafter):
    """Repeats, from this request and from earlier ones.

    `shortest` is the least match in tokens that it proposes from; `window` bounds how many tokens of this request are
    indexed (the newest), and `store_limit` is the memory for earlier requests in bytes. Which of those a request may
    use is set by `use_memory` before it begins: all unless told ('server').
    """

    name = "suffix"

    def __init__(self, *, shortest: int = 2, window: int = 32_768, store_limit: int = 1 << 20) -> None:
        self.shortest = shortest
        self.window = window
        self.stores = TextStores(store_limit)
        self._memory: Memory = "server"
        self._salt = ""
        self.earlier = self.stores.open_for("server", "", ())
        self._own = SuffixAutomaton()
        self._state = 0
        self._matched = 0

    @property
    def nbytes(self) -> int:
        """Bytes of both automata and of all other stores."""
        return self._own.nbytes + self.stores.nbytes

    def use_memory(self, memory: Memory, salt: str = "") -> None:
        """What the next request may know of earlier ones."""
        self._memory, self._salt = memory, salt

    def forget(self, salt: str | None = None) -> None:
        """Empty the stores of one salt, or with None all, and this request's text."""
        self.stores.forget(salt)
        self.earlier = self.stores.open_for("request", "", ())
        self._own = SuffixAutomaton()
        self._state = self._matched = 0

    def begin(self, context: Sequence[int]) -> None:
        """Reads the context, or only what is new where it goes on from the last request's."""
        self.earlier = self.stores.open_for(self._memory, self._salt, context)
        self._index(context)

    def _index(self, context: Sequence[int]) -> None:
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

    def room(self, context: Sequence[int]) -> int:
        """As much as the texts hold."""
        return len(self._own) + len(self.earlier.automaton)

    def commit(self, emitted: Sequence[int]) -> None:
        """Reads what was emitted."""
        for token in emitted:
            self._own.read(token)
            self._state, self._matched = self.earlier.automaton.step(self._state, self._matched, token)
        if len(self._own) > 2 * self.window:
            self._index(self._own.text.tolist()[-self.window :])

    def propose(
        self,
        context: Sequence[int],
        k: int,
        *,
        after: Sequence[int] = (),
        sampler: KnownSampler | None = None,
        alternatives: bool = False,
    ) -> Draft:
        """What followed the longest match, at most k tokens."""
        own, store = self._own, self.earlier.automaton
        if k < 1:
            return EMPTY
        matched, end, stored, there = own.matched, own.matched_end, self._matched, self._state
        here = own.matched_state
        for token in after:
            here, matched = own.step(here, matched, token)
            there, stored = store.step(there, stored, token)
        if after:
            end = own.end_of(here)
        if matched >= max(self.shortest, stored):
            return self._judged(own, here, matched, continuation(own.text, end, k, after))
        if stored >= self.shortest:
            return self._judged(store, there, stored, continuation(store.text, store.end_of(there), k))
        return EMPTY

    def end(self, context: Sequence[int], prompt_length: int) -> None:
        """Keeps what was emitted, and a little of what led to it, for later requests."""
        text: tuple[int, ...] = ()
        if len(context) - prompt_length >= self.shortest:
            text = tuple(context[max(0, prompt_length - _LEAD) : prompt_length + _LONGEST])
        self.stores.close(context, text)

    def _judged(self, automaton: SuffixAutomaton, state: int, matched: int, ids: list[int]) -> Draft:
        """The draft with what each token rests on: a repetition that has gone on in several ways counts as one.

        So a name that a template is filled with is told from the template.
        """
        sure = matched / (matched + 2.0)
        tokens: list[DraftToken] = []
        for one in ids:
            alike = matched >= _CERTAIN or automaton.went_on_alike(state)
            tokens.append(DraftToken(one, self.name, sure, matched if alike else 1))
            state, matched = automaton.step(state, matched, one)
        return Draft(tuple(tokens))
