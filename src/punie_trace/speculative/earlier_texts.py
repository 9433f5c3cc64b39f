"""What earlier requests emitted, kept for drafting: bounded, kept apart by salt and by conversation, and forgettable.

A store of texts is a suffix automaton over them. Which store a request may read and add to is its `memory`: none but
its own text ('request'), that of the conversation it goes on with ('conversation'), or all of its salt ('server').
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from punie_trace.speculative.automaton import BYTES_PER_TOKEN, SuffixAutomaton
from punie_trace.speculative.memory import Memory

_CONVERSATIONS = 64  # kept at most, the one used longest ago goes first


class EarlierTexts:
    """One store: texts, newest last, in at most `limit` bytes. A text that comes again is kept once."""

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


@dataclass(slots=True)
class _Conversation:
    """A store and the text of its last request, as length and digest, so that the next one is recognised."""

    salt: str
    texts: EarlierTexts
    length: int = 0
    digest: bytes = field(default=b"")

    def goes_on_in(self, context: Sequence[int]) -> bool:
        """Whether the whole text of its last request is where this context begins."""
        return 0 < self.length <= len(context) and digest_of(context[: self.length]) == self.digest


class TextStores:
    """All stores of a drafter, in `limit` bytes together. `open_for` chooses one for a request, `close` adds to it.

    With 'conversation' a request reads what was emitted in requests whose text, prompt and answer, it goes on from
    token by token, and nothing else: the same question asked again begins a new conversation.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._of_salts: dict[str, EarlierTexts] = {}  # the one used longest ago first
        self._conversations: list[_Conversation] = []  # likewise
        self._conversation: _Conversation | None = None
        self._current = EarlierTexts(0)

    @property
    def nbytes(self) -> int:
        """Bytes of all."""
        return sum(store.nbytes for store in self._of_salts.values()) + sum(
            conversation.texts.nbytes for conversation in self._conversations
        )

    def open_for(self, memory: Memory, salt: str, context: Sequence[int]) -> EarlierTexts:
        """The store that a request with this prompt may read; an empty one where it may read none."""
        self._conversation = None
        if memory == "request":
            self._current = EarlierTexts(0)
        elif memory == "server":
            self._current = self._of_salts.pop(salt, None) or EarlierTexts(self.limit)
            self._of_salts[salt] = self._current
        else:
            found = (one for one in reversed(self._conversations) if one.salt == salt and one.goes_on_in(context))
            conversation = next(found, None)
            if conversation is None:
                conversation = _Conversation(salt, EarlierTexts(self.limit))
            else:
                self._conversations.remove(conversation)
            self._conversations.append(conversation)
            self._conversation, self._current = conversation, conversation.texts
        return self._current

    def close(self, context: Sequence[int], text: tuple[int, ...]) -> None:
        """The request is over: `text` is what its store shall keep of the whole `context`."""
        if text:
            self._current.add(text)
        if self._conversation is not None:
            self._conversation.length = len(context)
            self._conversation.digest = digest_of(context)
        del self._conversations[:-_CONVERSATIONS]
        while self.nbytes > self.limit:
            spare = next((one for one in self._conversations if one.texts is not self._current), None)
            salt = next((known for known, store in self._of_salts.items() if store is not self._current), None)
            if spare is not None:
                self._conversations.remove(spare)
            elif salt is not None:
                del self._of_salts[salt]
            else:
                break

    def forget(self, salt: str | None = None) -> None:
        """Empty the stores of one salt, or with None all."""
        for known in [known for known in self._of_salts if salt in (None, known)]:
            del self._of_salts[known]
        self._conversations = [one for one in self._conversations if salt not in (None, one.salt)]
        self._conversation = None
        self._current = EarlierTexts(0)


def digest_of(tokens: Sequence[int]) -> bytes:
    """16 bytes that tell two texts of tokens apart."""
    return blake2b(array("q", tokens).tobytes(), digest_size=16).digest()
