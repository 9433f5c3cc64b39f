"""What a server remembers between requests, by the memory that is asked for, and that it can be made to forget."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest

from punie_trace.serving.prompt_caches import ExactPromptCaches
from tests.serving.asking import chunks, complete, tokens
from tests.serving.test_prompt_caches import cache_of

# An answer without a repetition: what is drafted right of it was remembered.
UNREPEATED: dict[str, Any] = {"repetition_penalty": 100.0, "repetition_context_size": 1000, "max_tokens": 40}


def asked(client: httpx2.Client, prompt: str, memory: str, salt: str = "") -> tuple[list[int], int]:
    """Tokens, and how many of them were drafted right."""
    speculation = {"mode": "fixed", "k": 4, "drafter": "suffix", "memory": memory}
    answer = complete(client, prompt, speculation=speculation, timings=True, cache_salt=salt, **UNREPEATED)
    return tokens(answer), answer["timings"]["speculation"]["draft_n_accepted"]


def cached(client: httpx2.Client, prompt: str, **fields: Any) -> int:
    answer = complete(client, prompt, max_tokens=1, **fields)
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


@pytest.mark.parametrize(("memory", "remembers"), [("request", False), ("conversation", False), ("server", True)])
def test_the_same_question_again_is_drafted_from_its_answer_only_in_the_servers_memory(
    client: httpx2.Client, memory: str, remembers: bool
) -> None:
    client.post("/forget")
    first, early = asked(client, "What is this?", memory)
    again, late = asked(client, "What is this?", memory)
    assert first == again
    assert early < 8
    assert (late >= 24) == remembers


def test_a_conversation_knows_its_own_earlier_answers(client: httpx2.Client) -> None:
    client.post("/forget")
    prompt = "Tell me once."
    answer = complete(client, prompt, speculation={"drafter": "suffix", "memory": "conversation"}, **UNREPEATED)
    longer = prompt + answer["choices"][0]["text"] + " And again: " + prompt
    for memory, knows in (("conversation", True), ("server", True)):
        speculation = {"mode": "fixed", "k": 4, "drafter": "suffix", "memory": memory}
        got = complete(client, longer, speculation=speculation, max_tokens=30, timings=True)
        plain = complete(client, longer, speculation="off", max_tokens=30)
        assert tokens(got) == tokens(plain)
        assert (got["timings"]["speculation"]["draft_n"] > 0) == knows


def test_stores_are_kept_apart_by_salt(client: httpx2.Client) -> None:
    client.post("/forget")
    _, early = asked(client, "Salted?", "server", "one")
    _, other = asked(client, "Salted?", "server", "two")
    _, same = asked(client, "Salted?", "server", "one")
    assert max(early, other) < 8 <= 24 <= same


def test_forgetting_empties_stores_and_prompt_caches(client: httpx2.Client) -> None:
    asked(client, "Remember me", "server")
    assert asked(client, "Remember me", "server")[1] >= 24
    complete(client, "And the batch's cache", speculation="off", max_tokens=4)
    assert cached(client, "And the batch's cache", speculation="off") > 0
    answer = client.post("/forget")
    assert (answer.status_code, answer.json()) == (200, {"forgotten": True, "open_requests": 0})
    assert cached(client, "And the batch's cache", speculation="off") == 0
    assert cached(client, "Remember me", speculation={"drafter": "suffix"}) == 0
    assert asked(client, "Remember me", "server")[1] < 8


@pytest.mark.parametrize("speculation", ["off", {"mode": "fixed", "k": 2, "drafter": "suffix"}])
def test_a_request_that_is_open_goes_on_and_leaves_nothing(client: httpx2.Client, speculation: Any) -> None:
    body = {"messages": [{"role": "user", "content": "Go on and on"}], "max_tokens": 400, "speculation": speculation}
    stream = chunks(client, {**body, "timings": True})
    begun = [next(stream)]
    forgotten: list[httpx2.Response] = []
    thread = threading.Thread(target=lambda: forgotten.append(client.post("/forget")))
    thread.start()
    whole = begun + list(stream)
    thread.join(60)
    assert forgotten[0].json()["forgotten"]
    assert whole[-1]["choices"][0]["finish_reason"] == "length"
    assert whole[-1]["timings"]["predicted_n"] == 400
    again = client.post("/v1/chat/completions", json={**body, "max_tokens": 1}).json()
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    third = client.post("/v1/chat/completions", json={**body, "max_tokens": 1}).json()
    assert third["usage"]["prompt_tokens_details"]["cached_tokens"] > 0  # caches are kept again


def test_caches_that_keep_nothing() -> None:
    caches = ExactPromptCaches(4)
    caches.insert_cache("m", [1, 2, 3], cache_of(3))
    caches.forget()
    assert (len(caches), caches.nbytes) == (0, 0)
    caches.keeps = False
    caches.insert_cache("m", [1, 2, 3], cache_of(3))
    assert len(caches) == 0


def test_the_memory_of_a_server_is_that_of_its_requests(serve: Any, target: Path) -> None:
    with serve("--model", str(target), adaptive=True, memory="server") as client:
        fields = {"timings": True, "speculation": {"mode": "fixed", "k": 4}, **UNREPEATED}
        complete(client, "By default", **fields)
        assert complete(client, "By default", **fields)["timings"]["speculation"]["draft_n_accepted"] >= 24


def test_no_memory_of_another_name(client: httpx2.Client) -> None:
    answer = client.post("/v1/completions", json={"prompt": "x", "speculation": {"memory": "servre"}})
    assert answer.status_code == 400
    assert "speculation.memory is 'servre'; did you mean 'server'?" in answer.json()["error"]
