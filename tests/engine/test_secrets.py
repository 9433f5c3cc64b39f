from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from punie_trace.engine.secrets import HIDDEN, redacted, without_secrets


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("--url http://me:pass@host:1/v1", f"--url http://{HIDDEN}@host:1/v1"),
        ("https://host/v1?api_key=abc&x=1", f"https://host/v1?api_key={HIDDEN}&x=1"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        ("me@host", "me@host"),
    ],
)
def test_what_may_be_secret_is_left_out(text: str, kept: str) -> None:
    assert without_secrets(text) == kept


def test_the_environment_of_a_server_is_hidden_wherever_it_stands() -> None:
    value: JsonValue = {"configurations": {"a": {"environment": {"HF_TOKEN": "abc"}, "command": ["x", "http://u:p@h"]}}}
    assert redacted(value) == {
        "configurations": {"a": {"environment": {"HF_TOKEN": HIDDEN}, "command": ["x", f"http://{HIDDEN}@h"]}}
    }


@given(st.text())
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert without_secrets(without_secrets(text)) == without_secrets(text)
