"""Each question goes to the asker that its code base has."""

from __future__ import annotations

import anyio

from punie_trace.agent.by_workspace import by_workspace
from punie_trace.records import Answer, Query


class Named:
    """Answers with its name, and notes what it is to let go."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.released: list[str] = []

    async def ask(self, query: Query) -> Answer:
        return Answer(f"{self.name}: {query.text}")

    async def release(self, answer: Answer) -> None:
        self.released.append(answer.text)


def test_a_question_goes_to_the_asker_of_its_code_base() -> None:
    own, other = Named("own"), Named("other")
    asker = by_workspace({"": own, "-fresh": other})
    assert anyio.run(asker.ask, Query("a", "1")).text == "own: 1"
    assert anyio.run(asker.ask, Query("b", "2", workspace="-fresh")).text == "other: 2"
    anyio.run(asker.release, Answer("what is left"))  # ty: ignore[missing-attribute]
    assert own.released == ["what is left"]


def test_a_single_code_base_needs_no_dispatch() -> None:
    own = Named("own")
    assert by_workspace({"": own}) is own
