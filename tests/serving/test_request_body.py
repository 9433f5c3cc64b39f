"""Whatever JSON a body holds, it is taken or refused with a status and words; nothing else is raised."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from punie_trace.records import JsonValue
from punie_trace.serving.refusal import RefusedError
from punie_trace.serving.request_body import CHAT_PATHS, TEXT_PATHS, Body, check_body, parse_body
from punie_trace.serving.speculation import requested
from punie_trace.speculative.request import OFF

FIELDS = ("messages", "prompt", "tools", "stop", "stream", "stream_options", "n", "best_of", "seed", "max_tokens",
          "temperature", "top_k", "top_logprobs", "xtc_probability", "logit_bias", "chat_template_kwargs",
          "role_mapping", "model", "adapters", "cache_salt", "timings", "speculation", "num_draft_tokens")  # fmt: skip
KEYS = ("role", "content", "type", "text", "image_url", "url", "function", "name", "arguments", "tool_calls", "5")
TEXTS = ("user", "assistant", "text", "image_url", "data:x", "{", "[1]", "", "adaptive")
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.just(10**400) | st.sampled_from(TEXTS) | st.text()
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=4),
    max_leaves=12,
)
message = st.dictionaries(st.sampled_from(KEYS), values, max_size=5)
bodies = st.dictionaries(st.sampled_from(FIELDS), values, max_size=8)
USER: list[JsonValue] = [{"role": "user", "content": "x"}]


def outcome(body: Body, path: str) -> str:
    try:
        checked = check_body(body, path)
        requested(checked, OFF, has_draft_model=False)
    except RefusedError as error:
        return f"{error.status} {len(str(error)) < 1000}"
    return "taken"


@given(bodies, st.sampled_from([*CHAT_PATHS, *TEXT_PATHS]))
@example({"messages": USER, "temperature": float("inf")}, CHAT_PATHS[0])
@example({"messages": USER, "speculation": {"x" * 5000: 1}}, CHAT_PATHS[0])
@example({"messages": [{"role": "x" * 5000}]}, CHAT_PATHS[0])
@example({"messages": USER, "top_k": 10**400}, CHAT_PATHS[0])
def test_any_body_is_taken_or_refused_in_words(body: Body, path: str) -> None:
    assert outcome(body, path) in ("taken", "400 True")


@given(st.dictionaries(st.sampled_from(FIELDS), values, max_size=3), st.lists(message, max_size=3))
def test_so_is_any_conversation(body: Body, messages: list[dict[str, JsonValue]]) -> None:
    whole: Body = {**body, "messages": [*USER, *messages]}
    assert outcome(whole, CHAT_PATHS[0]) in ("taken", "400 True")


@given(st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_object_or_refused(raw: bytes) -> None:
    try:
        body = parse_body(raw)
    except RefusedError:
        return
    assert isinstance(body, dict)


def test_a_body_that_is_taken_is_taken_as_it_is() -> None:
    body: Body = {"messages": USER, "max_tokens": 5, "stop": "x", "seed": None}
    assert check_body(body, CHAT_PATHS[0]) == {"messages": USER, "max_tokens": 5, "stop": ["x"]}
