"""One definition of answer, reasoning and call: what each family of servers writes is told apart alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.records import JsonValue
from punie_trace.spans.families import (
    CALL_MARKS,
    FAMILIES,
    THINKING_TAGS,
    answer_of,
    family_rows,
    reasoning_of,
    split_reasoning,
    texts_of,
    unparsed_mark,
)


@pytest.mark.parametrize(("opening", "closing"), THINKING_TAGS)
def test_what_stands_between_the_tags_of_any_family_is_reasoning(opening: str, closing: str) -> None:
    assert split_reasoning(f"{opening}hm{closing}\n\nyes") == ("hm", "yes")
    assert split_reasoning(f"hm{closing}yes") == ("hm", "yes"), "the template had opened it"
    assert split_reasoning(f"\n{opening}hm") == ("hm", ""), "it was cut off while it thought"
    assert split_reasoning(f"{opening}a{closing}{opening}b{closing}yes") == ("a\nb", "yes")


def test_a_call_within_reasoning_is_no_call() -> None:
    assert unparsed_mark(answer_of("<think><tool_call>{}</tool_call></think>It is here.")) is None
    assert unparsed_mark(answer_of("<tool_call>{}</tool_call>")) == "<tool_call>"
    assert all(unparsed_mark(f"so: {mark}") == mark for mark in CALL_MARKS)


@given(st.text())
def test_an_answer_has_no_reasoning_left(text: str) -> None:
    assert answer_of(answer_of(text)) == answer_of(text)
    if not any(tag in text for tags in THINKING_TAGS for tag in tags):
        assert split_reasoning(text) == ("", text)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("text", ("text", "")),
        (None, ("", "")),
        (42, ("42", "")),
        (True, ("", "")),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], ("ab", "")),
        (
            [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}],
            ("a", "hm"),
        ),
        ({"type": "text", "text": "a"}, ("a", "")),
        (["a", None, 1], ("a1", "")),
    ],
)
def test_content_of_any_form_is_text_or_reasoning(content: JsonValue, expected: tuple[str, str]) -> None:
    assert texts_of(content) == expected


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_each_familys_own_key_holds_its_reasoning(family: object) -> None:
    for key in getattr(family, "reasoning_keys", ()):
        assert reasoning_of({key: "hm"}) == "hm"
    assert reasoning_of({"content": "x"}) == ""


def test_the_page_about_servers_shows_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "servers.md").read_text(encoding="utf-8")
    for row in family_rows():
        assert f"| {' | '.join(row)} |" in page, row[0]
