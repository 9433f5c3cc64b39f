"""The overlap check finds what is planted and leaves the rest alone."""

from __future__ import annotations

import pytest

from recipes.overlap import OverlapCheck, words

CHECK = OverlapCheck(["Which handlers listen for the payment signal?", "What is idempotency?"])


@pytest.mark.parametrize(
    "text",
    [
        "which handlers listen for the payment signal",  # the same words
        "Tell me now which handlers listen for the invoices",  # five words in a row
        "what is IDEMPOTENCY",
        "What is idempotency!",
    ],
)
def test_near_texts_are_found(text: str):
    assert CHECK.near(text)


@pytest.mark.parametrize("text", ["What is recursion?", "Find all handlers", "", "Which files listen for the end?"])
def test_other_texts_are_not(text: str):
    assert not CHECK.near(text)


def test_identifiers_stay_whole():
    assert words("Where is order_total used?") == ("where", "is", "order_total", "used")
