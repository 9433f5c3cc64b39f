"""The rules that make answers shorter: what each takes away, what it leaves, and that a right answer stays right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.training.cuts import CUTS, Context, concise

SEARCH = "3 matches in 2 files\na.md\nloans/views.py\n9: class LoanListView\naccounts/apps.py\n3: from django"


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ("opening", "Sure! The fine is 25 cents.", "The fine is 25 cents."),
        ("opening", "Here is what I found:\nclass Loan", "class Loan"),
        ("opening", "Based on the code, it is 25.", "it is 25."),
        ("opening", "Suresh wrote it.", "Suresh wrote it."),
        ("opening", "Okayama is a city.", "Okayama is a city."),
        ("closing", "It is 25. Let me know if you need more!", "It is 25."),
        ("closing", "It is 25.\nI hope this helps.", "It is 25."),
        ("closing", "It tells you. If x is set, it stays.", "It tells you. If x is set, it stays."),
        ("repeated lines", "a\nb\na\n\nb\nc", "a\nb\n\nc"),
    ],
)
def test_a_rule_takes_away_its_own_and_nothing_else(rule: str, before: str, after: str) -> None:
    (cut,) = [one for one in CUTS if one.name == rule]
    assert cut.apply(before, Context()) == after


def test_of_a_repeated_result_stays_what_the_question_is_about() -> None:
    (cut,) = [one for one in CUTS if one.name == "repeated results"]
    text = f"Two files:\n{SEARCH}"
    context = Context("Where are the views?", (SEARCH,), ("apps.py",))
    assert cut.apply(text, context) == ("Two files:\na.md\nloans/views.py\n9: class LoanListView\naccounts/apps.py")
    whole = "class Loan:\n    copy = 1\n    due_on = 2"
    assert cut.apply(whole, Context("Show the Loan", (whole,))) == whole


def test_a_cut_that_makes_an_answer_wrong_is_not_made() -> None:
    text = "Sure, 25 cents. Let me know if 25 is too much."
    shorter = concise(text, Context(), lambda one: "too much" in one)
    assert shorter == ("25 cents. Let me know if 25 is too much.", ("opening",))
    assert concise(text, Context(), lambda _: False) == (text, ())


@given(st.text(max_size=300), st.lists(st.text(max_size=60), max_size=3), st.text(max_size=60))
def test_any_text_stays_right_and_grows_in_no_case(text: str, results: list[str], question: str) -> None:
    wanted = text[:4]
    shorter, cuts = concise(text, Context(question, tuple(results), (wanted,)), lambda one: wanted.strip() in one)
    assert len(shorter) <= len(text)
    assert wanted.strip() in shorter
    assert cuts or shorter == text.strip()
