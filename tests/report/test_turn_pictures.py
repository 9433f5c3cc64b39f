"""The page's charts of sessions: a dot for each turn, at its context."""

from __future__ import annotations

import re

from punie_trace.analysis.observations import Observation
from punie_trace.report.model import Note, Picture
from punie_trace.report.turn_pictures import turn_charts
from tests.analysis.test_turns import Talk


def drawn(observed: dict[str, list[Observation]]) -> list[str]:
    return [block.draw() for block in turn_charts(observed).blocks if isinstance(block, Picture)]


def dots(markup: str, kind: str) -> list[tuple[int, int]]:
    """Where the dots of a kind stand, in the drawing's own units: across, and downward."""
    paths = re.findall(rf'<path class="{kind}" d="([^"]*)"', markup)
    return [(int(x), int(y)) for path in paths for x, y in re.findall(r"M(\d+) (\d+)h0", path)]


def test_both_charts_have_a_dot_for_each_turn_further_right_the_longer_its_context() -> None:
    talk = Talk().turn(10, 100, 0, first_chunk=9).turn(20, 200, 150, first_chunk=3).turn(20, 400, 390, first_chunk=3)
    first, cached = drawn({"baseline": [talk.observation()], "empty": []})
    assert "Time to first token against context length" in first
    assert "Cached tokens against context length" in cached
    for markup in (first, cached):
        across = [x for x, _ in dots(markup, "answer")]
        assert len(across) == 3
        assert across == sorted(set(across))
        assert "prompt tokens" in markup
    heights = [y for _, y in dots(cached, "answer")]
    assert heights == sorted(heights, reverse=True), "more cached stands higher"
    assert dots(first, "answer")[0][1] < dots(first, "answer")[1][1], "what took longer stands higher"


def test_names_are_text_and_nothing_else() -> None:
    name = '<script>alert("x")</script>'
    for markup in drawn({name: [Talk().turn(10, 100, 0).observation()]}):
        assert "<script" not in markup


def test_a_chart_of_what_no_server_told_is_not_drawn() -> None:
    assert turn_charts({"a": []}).blocks == ()
    bare = Talk().turn(10, 100, 0).observation()
    without = [Observation(bare.outcome, bare.ask, None, None, (), (), turns=())]
    assert drawn({"a": without}) == []
    section = turn_charts({"a": [bare]})
    assert isinstance(section.blocks[-1], Note)
    assert section.page_only
