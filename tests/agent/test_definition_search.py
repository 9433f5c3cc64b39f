"""Definitions are found in what Python parses, in what it does not, and in what is deeper than its stack."""

from __future__ import annotations

import pytest

from punie_trace.agent.definition_search import Lines, find_definitions

FUNCTION = ["def here():", "    return 1"]


def test_decorators_and_methods_belong_to_their_definitions() -> None:
    lines = ["class A:", "    @cached", "    def here(self):", "        return 1", "", "async def here():", "    pass"]
    assert find_definitions(lines, ["here"]) == [Lines(2, 4), Lines(6, 7)]
    assert find_definitions(lines, ["A", "here"]) == [Lines(2, 4)]
    assert find_definitions(lines, ["nowhere"]) == []


@pytest.mark.parametrize(
    "deep",
    [
        ["if a:", "    pass", *["elif a:", "    pass"] * 1200],
        ["x = " + "+".join(["1"] * 1500)],
        ["x = " + "-" * 20000 + "1"],
        ["x = " + "(" * 300 + ")" * 300],
    ],
    ids=["elifs", "terms", "minuses", "brackets"],
)
def test_syntax_that_is_deep_hides_nothing(deep: list[str]) -> None:
    assert find_definitions([*deep, *FUNCTION], ["here"]) == [Lines(len(deep) + 1, len(deep) + 2)]


def test_what_does_not_parse_is_read_by_its_lines() -> None:
    lines = [
        "print 'of another time'",
        "class A:",
        "    @cached",
        "    def here(",
        "        self,",
        "    ):",
        "        return 1",
        "",
        "    def other(self):",
        "        pass",
        "def here(): pass",
    ]
    assert find_definitions(lines, ["here"]) == [Lines(3, 7), Lines(11, 11)]
    assert find_definitions(lines, ["A", "here"]) == [Lines(3, 7)]
    assert find_definitions(lines, ["A"]) == [Lines(2, 10)]
