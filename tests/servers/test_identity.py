"""Which answers are those of the model that was asked for: names as servers write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.errors import IdentityError
from punie_trace.records import Generation
from punie_trace.servers.identity import ServedIdentity, check_generation, identified, same_model
from punie_trace.servers.kinds import MlxLmConfig, UrlConfig
from punie_trace.servers.probe import FirstToken

SAME = [
    ("gpt-4o", "gpt-4o-2024-08-06"),
    ("gpt-4", "gpt-4-0613"),
    ("claude", "claude-20250101"),
    ("qwen3:latest", "qwen3"),
    ("Qwen/Qwen3-4B", "Qwen3-4B"),
    ("qwen3-4b", "/models/Qwen3-4B"),
    ("Qwen3-4B", "Qwen3-4B-Q4_K_M.gguf"),
    ("Qwen3-4B", "Qwen3-4B.Q8_0.gguf"),
    ("qwen3-4b", "C:\\models\\qwen3-4b.gguf"),
    ("Qwen3-4B", "mlx-community/Qwen3-4B-4bit"),
    ("llama3", "llama3:q4_0"),
    ("Qwen3-4B", "Qwen3-4B-GGUF"),
    ("X", "X@main"),
    ("org/X", "org/X@8f1c2"),
    ("Qwen3-4B", "Qwen3-4B-AWQ"),
    ("Llama-3-8B", "Llama-3-8B-FP8"),
    ("m", "m-BF16"),
]
OTHER = [
    ("qwen3", "qwen2"),
    ("Qwen3-4B", "Qwen3-4B-Thinking"),
    ("Qwen3-4B", "Qwen3-8B"),
    ("a/x", "b/x"),
    ("gpt-4o", "gpt-4o-mini"),
    ("fast", "qwen3-30b"),
    ("m", "m2"),
    ("m", ""),
]


@pytest.mark.parametrize(("asked", "answered"), SAME)
def test_one_model_under_two_names(asked: str, answered: str) -> None:
    assert same_model(asked, answered)
    assert same_model(answered, asked)


@pytest.mark.parametrize(("asked", "answered"), OTHER)
def test_two_models(asked: str, answered: str) -> None:
    assert not same_model(asked, answered)
    assert not same_model(answered, asked)


@given(st.text(min_size=1), st.text())
def test_any_names_compare_the_same_both_ways(one: str, two: str) -> None:
    assert same_model(one, one)
    assert same_model(one, two) == same_model(two, one)


def url(**fields: object) -> UrlConfig:
    return UrlConfig.model_validate({"url": "http://x", **fields})


def test_a_variant_is_expected_from_then_on() -> None:
    expected, note = identified(url(), "Qwen3-4B", FirstToken("Qwen3-4B-Q4_K_M.gguf", None), None)
    assert note is None
    expected.check("Qwen3-4B-Q4_K_M.gguf", "Qwen3-4B")
    expected.check("Qwen3-4B", "Qwen3-4B")
    with pytest.raises(IdentityError, match="'Qwen3-4B' was asked and 'Qwen3-8B' answered"):
        expected.check("Qwen3-8B", "Qwen3-4B")


def test_an_alias_that_the_server_lists_is_taken_and_said() -> None:
    expected, note = identified(url(), "fast", FirstToken("qwen3-30b", None), ["fast"])
    assert note is not None
    assert "'fast' under the name 'qwen3-30b'" in note
    assert "served_model = 'qwen3-30b'" in note
    expected.check("qwen3-30b", "fast")
    with pytest.raises(IdentityError):
        expected.check("llama", "fast")


@pytest.mark.parametrize("listed", [None, ["qwen3-30b"], ["fast", "qwen3-30b"]])
def test_another_model_of_the_server_is_no_alias(listed: list[str] | None) -> None:
    with pytest.raises(
        IdentityError, match=r"'fast' was asked and 'qwen3-30b' answered\. .*served_model.*check_identity"
    ):
        identified(url(), "fast", FirstToken("qwen3-30b", None), listed)


def test_a_name_that_was_announced_is_the_one_to_answer() -> None:
    expected, note = identified(url(served_model="qwen3-30b"), "fast", FirstToken("qwen3-30b", None), None)
    assert note is None
    expected.check("qwen3-30b", "fast")
    with pytest.raises(IdentityError, match="served_model says which name to expect"):
        identified(url(served_model="qwen3-30b"), "fast", FirstToken("fast", None), None)


def test_whatever_answers_is_measured_on_request_and_the_report_says_so() -> None:
    expected, note = identified(url(check_identity=False), "m", FirstToken("other", None), None)
    assert note == "which model answers was not checked (check_identity = false)"
    expected.check("a third", "m")
    expected.check(None, "m")


def test_a_server_that_names_no_model_is_measured_with_a_note() -> None:
    expected, note = identified(url(), "m", FirstToken(None, None), None)
    assert note == "the server does not name the model that answers; 'm' was asked for"
    expected.check(None, "m")


def test_mlx_lm_must_name_what_it_was_asked_for() -> None:
    config = MlxLmConfig(model_path="p")
    expected, _ = identified(config, "default_model", FirstToken("default_model", None), None)
    with pytest.raises(IdentityError, match="does not say which model made it"):
        expected.check(None, "default_model")
    with pytest.raises(IdentityError, match="'default_model-4bit' answered"):
        identified(config, "default_model", FirstToken("default_model-4bit", None), None)


def test_a_failed_generation_is_not_judged_by_its_name() -> None:
    identity = ServedIdentity("mlx_lm", "p", fingerprint="f")
    expected, _ = identified(MlxLmConfig(model_path="p"), "default_model", FirstToken("default_model", "f"), None)
    failed = Generation(sent_ns=0, done_ns=1, status=500, error="500")
    check_generation(identity, "default_model", expected, failed)
    with pytest.raises(IdentityError, match="fingerprint changed from 'f' to 'g'"):
        check_generation(
            identity,
            "default_model",
            expected,
            Generation(sent_ns=0, done_ns=1, status=200, served_model="default_model", fingerprint="g"),
        )
