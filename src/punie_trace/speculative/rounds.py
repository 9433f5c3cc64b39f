"""What a round, and a generation, of speculative decoding did. Values with their sums; nothing is measured here.

Rates, named as elsewhere: acceptance = accepted / drafted; mean accepted length = emitted / rounds that drafted, the
target's own token included.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRecord:
    """One forward pass of the target and what led to it. Times in ns, without the consumer's own between tokens.

    `k` is how many tokens were asked for, `proposed` how many the drafters gave, `drafted` how many of them were
    verified (of a tree its trunk, or the accepted path where that is longer), `rows` how many the target processed.
    `drafter` is '' in a plain round, 'hybrid' where several gave; one with `drafted` 0 gave nothing worth verifying.
    `lag` is how many tokens the draft model had to read first, `computed` how many it computed, and `origins` the
    drafter of each token that was verified. The defaults are those of a plain round.
    """

    drafter: str = ""
    k: int = 0
    proposed: int = 0
    drafted: int = 0
    accepted: int = 0
    emitted: int = 1
    rows: int = 1
    lag: int = 0
    draft_ns: int = 0
    verify_ns: int
    rest_ns: int = 0
    computed: int = 0
    origins: tuple[str, ...] = ()

    @property
    def total_ns(self) -> int:
        """The whole round."""
        return self.draft_ns + self.verify_ns + self.rest_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRecord:
    """One generation. `emitted` counts the tokens handed out; `fallback` says why nothing or no more was drafted, or
    no tree.

    `fallback` is 'code: detail', None where drafting went on as it should. Memory in bytes, at the end: of all drafters
    of the decoder that drafted here, of the target's cache, and of the snapshot that is the way back from a draft.
    """

    mode: str
    prompt_tokens: int
    cached_tokens: int
    emitted: int
    prefill_ns: int
    rounds: tuple[RoundRecord, ...]
    fallback: str | None
    drafter_bytes: int
    cache_bytes: int
    snapshot_bytes: int = 0

    @property
    def drafted(self) -> int:
        """Tokens that were drafted and verified."""
        return sum(r.drafted for r in self.rounds)

    @property
    def accepted(self) -> int:
        """Draft tokens that the target agreed with."""
        return sum(r.accepted for r in self.rounds)

    @property
    def acceptance(self) -> float | None:
        """accepted / drafted; None where nothing was drafted."""
        return self.accepted / self.drafted if self.drafted else None

    @property
    def mean_accepted_length(self) -> float | None:
        """1 + accepted / rounds that drafted; None where none did."""
        drafting = sum(r.drafted > 0 for r in self.rounds)
        return 1 + self.accepted / drafting if drafting else None

    @property
    def draft_ns(self) -> int:
        """Time spent drafting."""
        return sum(r.draft_ns for r in self.rounds)

    @property
    def verify_ns(self) -> int:
        """Time spent in the target, plain rounds included."""
        return sum(r.verify_ns for r in self.rounds)

    @property
    def rest_ns(self) -> int:
        """Time spent on neither."""
        return sum(r.rest_ns for r in self.rounds)

    @property
    def decode_ns(self) -> int:
        """All rounds together, without the consumer's time."""
        return self.draft_ns + self.verify_ns + self.rest_ns

    def lengths(self) -> Counter[int]:
        """How many rounds verified how many draft tokens; 0 is a plain round."""
        return Counter(r.drafted for r in self.rounds)

    def by_position(self) -> tuple[tuple[int, int], ...]:
        """(drafted, accepted) for the first, second, ... token of a draft."""
        longest = max((r.drafted for r in self.rounds), default=0)
        return tuple(
            (sum(r.drafted > i for r in self.rounds), sum(r.accepted > i for r in self.rounds)) for i in range(longest)
        )

    def by_drafter(self) -> dict[str, tuple[int, int]]:
        """(drafted, accepted) for each drafter that drafted."""
        sums: dict[str, tuple[int, int]] = {}
        for r in self.rounds:
            for at, name in enumerate(r.origins or (r.drafter,) * r.drafted):
                drafted, accepted = sums.get(name, (0, 0))
                sums[name] = (drafted + 1, accepted + (at < r.accepted))
        return sums
