from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from punie_trace.runs.secrets import (
    HIDDEN,
    Secrets,
    redacted,
    redacted_words,
    secrets_in_environment,
    secrets_in_words,
    without_secrets,
)
from punie_trace.spans.span import Span, SpanEvent

KEY = 'sk-s3cret/with+"odd"&chars'
PLAIN = "sk-0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("--url http://me:pass@host:1/v1", f"--url http://{HIDDEN}@host:1/v1"),
        ("https://host/v1?api_key=abc&x=1", f"https://host/v1?api_key={HIDDEN}&x=1"),
        ("https://host/v1/traces?x=1&token=abc#y", f"https://host/v1/traces?x=1&token={HIDDEN}#y"),
        ("Authorization: Bearer abc", f"Authorization: Bearer {HIDDEN}"),
        ("x-api-key: abc", f"x-api-key: {HIDDEN}"),
        ("--api-key=abc", f"--api-key={HIDDEN}"),
        ("OPENAI_API_KEY=abc", f"OPENAI_API_KEY={HIDDEN}"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        ("me@host", "me@host"),
        ("--max-tokens=480", "--max-tokens=480"),
        ("--eos-token=</s>", "--eos-token=</s>"),
    ],
)
def test_what_may_be_secret_is_left_out(text: str, kept: str) -> None:
    assert without_secrets(text) == kept


@pytest.mark.parametrize(
    "words",
    [
        ["serve", "--api-key", PLAIN],
        ["serve", f"--api-key={PLAIN}"],
        ["serve", "--api_key", PLAIN, "--port", "1"],
        ["serve", "-api-key", PLAIN],
        ["serve", "--hf-token", PLAIN],
        ["env", f"VLLM_API_KEY={PLAIN}", "vllm", "serve"],
        ["serve", "--password", PLAIN],
        ["curl", "-H", f"Authorization: Bearer {PLAIN}"],
        ["curl", f"--header=Authorization: Bearer {PLAIN}"],
        ["curl", "-H", f"x-api-key: {PLAIN}"],
        ["punie-trace", "run", "--otlp", f"https://host/v1/traces?api-key={PLAIN}"],
        ["punie-trace", "run", "--otlp", f"https://me:{PLAIN}@host/v1/traces"],
        ["punie-trace", "run", "--otlp", f"https://{PLAIN}@host/v1/traces"],
    ],
)
def test_a_key_in_a_command_line_is_found_and_hidden_at_its_place(words: list[str]) -> None:
    assert PLAIN in secrets_in_words(words)
    shown = redacted_words(words)
    assert len(shown) == len(words)
    assert PLAIN not in " ".join(shown)
    assert PLAIN not in json.dumps(redacted({"command": list(words)}))


def test_what_is_no_secret_stays() -> None:
    words = ["serve", "--max-tokens", "480", "--eos-token", "</s>", "--tokenizer", "x", "--port", "{port}"]
    assert secrets_in_words(words) == set()
    assert redacted_words(words) == words


def test_the_environment_of_a_server_is_hidden_wherever_it_stands() -> None:
    value: JsonValue = {"configurations": {"a": {"environment": {"HF_TOKEN": "abc"}, "command": ["x", "http://u:p@h"]}}}
    assert redacted(value) == {
        "configurations": {"a": {"environment": {"HF_TOKEN": HIDDEN}, "command": ["x", f"http://{HIDDEN}@h"]}}
    }


def test_secrets_of_the_environment_are_those_that_are_called_so() -> None:
    environ = {
        "MY_API_KEY": PLAIN,
        "HF_TOKEN": "hf_0123456789",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20abcdefghij,x-tenant=tenant-one",
        "LOGFIRE_TOKEN": "pylf_one,pylf_two",
        "SSH_KEY": "/home/ada/.ssh/id",
        "PATH": "/usr/bin",
        "MAX_TOKENS": "48000000",
    }
    found = secrets_in_environment(environ)
    assert {PLAIN, "hf_0123456789", "abcdefghij", "pylf_one", "pylf_two"} <= found
    assert not {"/home/ada/.ssh/id", "/usr/bin", "48000000"} & found


@given(st.text())
@settings(deadline=None)
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert without_secrets(without_secrets(text)) == without_secrets(text)


@given(st.text(min_size=8).filter(lambda text: len(text.strip()) >= 8 and "*" not in text), st.text(), st.text())
@settings(deadline=None)
def test_a_value_is_hidden_wherever_it_turns_up(value: str, before: str, after: str) -> None:
    value = value.strip()
    secrets = Secrets([value])
    assert value not in secrets.hide(before + value + after)
    hidden = secrets.hide_in({"error": [before + value + after], value: 1})
    assert isinstance(hidden, dict)
    (error,) = hidden.pop("error")  # ty: ignore[not-iterable]
    assert value not in str(error)
    assert all(value not in key for key in hidden)
    assert Secrets().hide_in({"error": value}) == {"error": value}


def test_an_empty_list_stays_empty() -> None:
    assert redacted([]) == []
    assert secrets_in_words([]) == set()


def test_short_values_are_not_looked_for() -> None:
    secrets = Secrets(["none", "", "  "])
    assert not secrets
    assert secrets.hide("none of it") == "none of it"


def test_a_span_is_cleaned_in_all_its_texts() -> None:
    secrets = Secrets([KEY])
    span = Span(
        "a" * 32,
        "b" * 16,
        None,
        f"POST {KEY}",
        "CLIENT",
        1,
        2,
        {"body": f"wrong key {KEY}", "list": ("x", KEY), "n": 5},
        (SpanEvent("exception", 1, {"exception.message": json.dumps({"error": KEY})}),),
        f"401: {KEY}",
    )
    cleaned = secrets.hide_in_span(span)
    assert "s3cret" not in repr(cleaned)
    assert cleaned.attributes == {"body": f"wrong key {HIDDEN}", "list": ("x", HIDDEN), "n": 5}
    other = replace(span, name="POST", attributes={}, events=(), error=None)
    assert secrets.hide_in_span(other) is other
