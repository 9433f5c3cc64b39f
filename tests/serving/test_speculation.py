from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.records import JsonValue
from punie_trace.serving.refusal import RefusedError
from punie_trace.serving.speculation import requested, server_default
from punie_trace.speculative.request import OFF, Speculation

FIXED = Speculation("fixed", 3, "model")
REQUEST = Speculation("off", memory="request")


@pytest.mark.parametrize(
    ("body", "default", "meant"),
    [
        ({}, FIXED, FIXED),
        ({}, OFF, OFF),
        ({"speculation": None}, FIXED, FIXED),
        ({"num_draft_tokens": 0}, FIXED, OFF),
        ({"num_draft_tokens": 5}, OFF, Speculation("fixed", 5, "model")),
        ({"num_draft_tokens": 5}, FIXED, Speculation("fixed", 5, "model")),
        ({"speculation": "off"}, FIXED, OFF),
        ({"speculation": "adaptive"}, OFF, Speculation("adaptive", None, "hybrid")),
        ({"speculation": {"drafter": "ngram"}}, OFF, Speculation("adaptive", None, "ngram")),
        ({"speculation": {"mode": "fixed"}}, OFF, Speculation("fixed", None, "model")),
        ({"speculation": {"mode": "fixed", "k": 7}, "num_draft_tokens": 1}, FIXED, Speculation("fixed", 7, "model")),
        ({"speculation": {"min_acceptance": 0.9}}, FIXED, Speculation("fixed", 3, "model", 0.9)),
        ({"speculation": "adaptive"}, REQUEST, Speculation("adaptive", None, "hybrid", memory="request")),
        ({"num_draft_tokens": 5}, REQUEST, Speculation("fixed", 5, "model", memory="request")),
        ({"speculation": {"memory": "server"}}, REQUEST, Speculation("adaptive", None, "hybrid", memory="server")),
        ({"cache_salt": "a"}, FIXED, Speculation("fixed", 3, "model", salt="a")),
        ({"cache_salt": "a", "speculation": "off"}, FIXED, OFF),
        ({"speculation": {"mode": "fixed", "tree": True}}, OFF, Speculation("fixed", None, "model", tree=True)),
    ],
)
def test_what_a_request_means(body: dict[str, JsonValue], default: Speculation, meant: Speculation) -> None:
    assert requested(body, default, has_draft_model=True) == meant


def test_without_a_draft_model_what_was_said_drafts() -> None:
    assert requested({"speculation": "adaptive"}, OFF, has_draft_model=False) == Speculation("adaptive", None, "suffix")
    with pytest.raises(RefusedError, match="'hybrid' needs a draft model"):
        requested({"speculation": {"drafter": "hybrid"}}, OFF, has_draft_model=False)


@pytest.mark.parametrize(
    ("drafter", "adaptive", "tokens", "model", "mode"),
    [
        (None, False, 3, False, "off"),
        (None, False, 3, True, "fixed"),
        (None, False, 0, True, "off"),
        ("ngram", False, 3, False, "fixed"),
        (None, True, 3, False, "adaptive"),
        ("suffix", True, 3, True, "adaptive"),
    ],
)
def test_the_default_of_a_server(drafter: object, adaptive: bool, tokens: int, model: bool, mode: str) -> None:
    default = server_default(
        drafter=drafter,  # ty: ignore[invalid-argument-type]
        adaptive=adaptive,
        num_draft_tokens=tokens,
        has_draft_model=model,
        memory="conversation",
    )
    assert (default.mode, default.memory) == (mode, "conversation")
    assert drafter is None or default.drafter == drafter


values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3)
asked = st.dictionaries(st.sampled_from(["mode", "k", "drafter", "min_acceptance", "tree", "memory", "x"]), values)


@given(asked | values, st.booleans())
def test_anything_is_a_speculation_or_a_refusal(value: JsonValue, has_draft_model: bool) -> None:
    default = FIXED if has_draft_model else OFF
    with contextlib.suppress(RefusedError):
        assert isinstance(requested({"speculation": value}, default, has_draft_model=has_draft_model), Speculation)
