"""Several drafters as one: repeated text where there is some, the model otherwise.

Alone it decides by a fixed rule. A controller that measures does better, by asking the members itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from punie_trace.speculative.drafting import EMPTY, Draft, Drafter, KnownSampler
from punie_trace.speculative.memory import Memory


class HybridDrafter:
    """Asks its drafters in order. One whose guess rests on a match shorter than `trusted` tokens is passed over if
    others follow.

    Put the free ones first.
    """

    name = "hybrid"

    def __init__(self, *drafters: Drafter, trusted: int = 4) -> None:
        if not drafters:
            raise ValueError("a hybrid needs at least one drafter")
        self._members = tuple(member for drafter in drafters for member in drafter.members())
        self.trusted = trusted
        self.free = all(member.free for member in self._members)

    @property
    def nbytes(self) -> int:
        """Bytes of all."""
        return sum(member.nbytes for member in self._members)

    def members(self) -> tuple[Drafter, ...]:
        """Its drafters, in the order they are asked."""
        return self._members

    def use_memory(self, memory: Memory, salt: str = "") -> None:
        """Of all."""
        for member in self._members:
            member.use_memory(memory, salt)

    def forget(self, salt: str | None = None) -> None:
        """All forget."""
        for member in self._members:
            member.forget(salt)

    def begin(self, context: Sequence[int]) -> None:
        """All begin."""
        for member in self._members:
            member.begin(context)

    def prepare(self, context: Sequence[int]) -> None:
        """All read ahead."""
        for member in self._members:
            member.prepare(context)

    def lag(self, context: Sequence[int]) -> int:
        """That of the one furthest behind."""
        return max(member.lag(context) for member in self._members)

    def room(self, context: Sequence[int]) -> int:
        """That of the roomiest."""
        return max(member.room(context) for member in self._members)

    def propose(
        self,
        context: Sequence[int],
        k: int,
        *,
        after: Sequence[int] = (),
        sampler: KnownSampler | None = None,
        alternatives: bool = False,
    ) -> Draft:
        """The first guess that can be trusted; the last drafter's in any case."""
        last = len(self._members) - 1
        for at, member in enumerate(self._members):
            draft = member.propose(context, k, after=after, sampler=sampler, alternatives=alternatives)
            if draft.tokens and (at == last or not member.free or draft.matched >= self.trusted):
                return draft
        return EMPTY

    def commit(self, emitted: Sequence[int]) -> None:
        """All hear of it."""
        for member in self._members:
            member.commit(emitted)

    def end(self, context: Sequence[int], prompt_length: int) -> None:
        """All end."""
        for member in self._members:
            member.end(context, prompt_length)
