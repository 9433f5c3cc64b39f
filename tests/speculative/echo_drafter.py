"""A drafter from outside the package: what is written here is all that one of your own takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from punie_trace.speculative import Draft, DrafterResources, DraftToken, FreeDrafter


class EchoDrafter(FreeDrafter):
    """Proposes the last token again."""

    name = "echo"

    def __init__(self, resources: DrafterResources) -> None:
        self.resources = resources

    def propose(self, context: Sequence[int], k: int, *, after: Sequence[int] = (), **options: Any) -> Draft:
        """The last token, k times."""
        last = [*context[-1:], *after][-1]
        return Draft((DraftToken(last, self.name, 0.5),) * k)
