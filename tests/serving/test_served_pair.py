from __future__ import annotations

import pytest

from punie_trace.errors import ConfigurationError
from punie_trace.serving.served_pair import ServedPair, served_pair


def test_what_was_given_is_served() -> None:
    assert served_pair("target", "draft", "model") == ServedPair("target", "draft")
    assert served_pair("target", None, "ngram") == ServedPair("target", None)


def test_without_a_model_the_shipped_pair_is_served_and_a_draft_model_of_ones_own_kept() -> None:
    shipped = served_pair(None, None, None)
    assert shipped.draft_model is not None
    assert served_pair(None, "draft", None) == ServedPair(shipped.model, "draft")


def test_a_drafter_that_cannot_be_is_refused_with_what_can() -> None:
    with pytest.raises(ConfigurationError, match=r"--drafter 'ngran': .*did you mean 'ngram'"):
        served_pair("target", None, "ngran")
    with pytest.raises(ConfigurationError, match=r"--drafter model needs --draft-model; or choose 'ngram' or 'suffix'"):
        served_pair("target", None, "model")
