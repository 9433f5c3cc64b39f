"""A running server of a tiny pair: what it answers, how it ends, what it says of itself."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from punie_trace.models.weights_digest import weights_digest
from punie_trace.serving.generator import GENERATION_THREAD
from tests.serving.asking import PARENT, TRACE, attributes, chat, chunks, complete, sample, spans_by_name, tokens
from tests.tiny_model import make_model

LONG = 400


def test_health_identity_and_models(client: httpx2.Client, target: Path, draft: Path) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    identity = client.get("/identity").json()
    digest = weights_digest([target / "model.safetensors"])
    assert digest is not None
    assert (identity["kind"], identity["weights_digest"], identity["digest_kind"]) == ("punie", digest.hex, "whole")
    assert identity["draft_model"] == str(draft)
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == [str(target)]


def test_plain_and_drafted_answers_are_the_same(client: httpx2.Client) -> None:
    plain = complete(client, "One two three", speculation="off", max_tokens=24)
    for speculation in ("adaptive", {"mode": "fixed", "k": 3}, {"mode": "fixed", "k": 2, "drafter": "ngram"}):
        assert tokens(complete(client, "One two three", speculation=speculation, max_tokens=24)) == tokens(plain)


def test_timings_where_they_are_asked_for(client: httpx2.Client) -> None:
    assert "timings" not in chat(client).json()
    said = chat(client, timings=True, speculation="off").json()["timings"]
    assert said["predicted_n"] == 8
    assert {"queue_ms", "tokenize_ms", "prompt_ms", "predicted_ms", "cache_n", "prompt_n"} <= said.keys()
    assert "speculation" not in said
    body = {"messages": [{"role": "user", "content": "Hi"}], "timings": True, "speculation": "adaptive"}
    last = [chunk for chunk in chunks(client, body) if chunk["choices"][0]["finish_reason"]]
    assert last[0]["timings"]["speculation"]["mode"] == "adaptive"


def test_usage_comes_only_where_the_stream_is_asked_for_it(client: httpx2.Client) -> None:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "stream_options": {}}
    assert not any("usage" in chunk for chunk in chunks(client, body))
    body["stream_options"] = {"include_usage": True}
    assert list(chunks(client, body))[-1]["usage"]["completion_tokens"] == 8


@pytest.mark.parametrize("speculation", ["off", "adaptive", {"mode": "fixed", "k": 3}])
def test_a_conversation_goes_on_as_from_a_fresh_prefill(client: httpx2.Client, speculation: object) -> None:
    """mlx_lm's own cache is one token off after such a turn; here the key is what the cache has read."""
    salt = f"conversation {speculation}"
    text = "The quick brown fox."
    for turn in range(4):
        # Lengths that end a turn within a draft and after one.
        asked = {"max_tokens": 5 + turn, "speculation": speculation}
        warm = complete(client, text, cache_salt=salt, **asked)
        fresh = complete(client, text, cache_salt=f"{salt} fresh {turn}", **asked)
        assert tokens(warm) == tokens(fresh)
        for one, other in zip(*(a["choices"][0]["logprobs"]["content"] for a in (warm, fresh)), strict=True):
            assert one["logprob"] == pytest.approx(other["logprob"], abs=1e-4)
        if turn:
            assert warm["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
        assert fresh["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
        text += warm["choices"][0]["text"] + f" And turn {turn}?"


def test_a_prompt_that_was_read_whole_before(client: httpx2.Client) -> None:
    """An answer that is sent back as the next prompt leaves nothing to read: its last token is read again."""
    first = complete(client, "abcabcabc", max_tokens=6, speculation="off", cache_salt="whole")
    longer = "abcabcabc" + first["choices"][0]["text"]
    warm = complete(client, longer, max_tokens=6, speculation="off", cache_salt="whole")
    assert tokens(warm) == tokens(complete(client, longer, max_tokens=6, speculation="off", cache_salt="whole 2"))


@pytest.mark.parametrize("most", [1, 2])
def test_the_fewest_tokens(client: httpx2.Client, most: int) -> None:
    for speculation in ("off", "adaptive"):
        answer = chat(client, max_tokens=most, speculation=speculation).json()
        assert answer["usage"]["completion_tokens"] == most
        assert answer["choices"][0]["finish_reason"] == "length"


def test_an_answer_ends_where_the_context_does(client: httpx2.Client) -> None:
    for speculation in ("off", {"mode": "fixed", "k": 5}):
        answer = complete(client, "x" * 500, max_tokens=400, speculation=speculation)
        assert answer["usage"]["total_tokens"] == 512
        assert answer["choices"][0]["finish_reason"] == "length"


def test_stop_sequences_end_an_answer_alike(client: httpx2.Client) -> None:
    whole = complete(client, "Some words", max_tokens=30, speculation="off")["choices"][0]["text"]
    stop = whole[12:14]
    ends = [
        complete(client, "Some words", max_tokens=30, stop=[stop], speculation=speculation)["choices"][0]
        for speculation in ("off", {"mode": "fixed", "k": 5}, "adaptive")
    ]
    assert ends[0]["finish_reason"] == "stop"
    assert [end["text"] for end in ends] == [ends[0]["text"]] * 3


def test_a_seed_and_a_temperature(client: httpx2.Client) -> None:
    asked = {"max_tokens": 12, "temperature": 1.0, "seed": 7, "speculation": "off"}
    assert tokens(complete(client, "Dice", **asked)) == tokens(complete(client, "Dice", **asked))
    assert chat(client, temperature=0.8, top_p=0.9, speculation="adaptive").status_code == 200


@pytest.mark.parametrize("speculation", ["off", "adaptive", {"mode": "fixed", "k": 3}])
def test_several_at_once(client: httpx2.Client, speculation: object) -> None:
    prompts = [f"{letter} and more of {letter * 5}" for letter in "abcdef"]
    alone = [tokens(complete(client, prompt, max_tokens=16, speculation="off")) for prompt in prompts]
    found: dict[int, list[int]] = {}

    def ask(number: int) -> None:
        mixed = speculation if number % 2 else "off"
        found[number] = tokens(complete(client, prompts[number], max_tokens=16, speculation=mixed))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [found[number] for number in range(len(prompts))] == alone


def aborted(client: httpx2.Client) -> float:
    text = client.get("/metrics").text
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("vllm:request_success_total") and 'finished_reason="abort"' in line
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("speculation", ["off", "adaptive", {"mode": "fixed", "k": 3}])
def test_a_client_that_goes_away_ends_its_generation(client: httpx2.Client, speculation: object, stream: bool) -> None:
    before, made = aborted(client), sample(client.get("/metrics").text, "vllm:generation_tokens_total")
    parts = urlsplit(str(client.base_url))
    assert parts.hostname is not None
    asked = {"messages": [{"role": "user", "content": "Go"}], "max_tokens": LONG}
    body = json.dumps({**asked, "stream": stream, "speculation": speculation}).encode()
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
        )
        if stream:
            connection.recv(100)  # it has begun
    deadline = time.monotonic() + 20
    while aborted(client) == before:
        assert time.monotonic() < deadline, "the generation went on without a reader"
        time.sleep(0.02)
    assert sample(client.get("/metrics").text, "vllm:generation_tokens_total") - made < LONG
    assert chat(client).status_code == 200


def test_spans_go_to_whoever_sent_the_request(client: httpx2.Client) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    chat(client, "Trace me", headers=headers, speculation="adaptive", max_tokens=6, cache_salt="spans")
    fetched = client.get(f"/spans?trace_id={TRACE}")
    wall, monotonic = (int(part) for part in fetched.headers["Punie-Clock"].split(","))
    spans = spans_by_name(fetched.text)
    assert {"server chat", "queue", "tokenize", "prefill", "decode", "speculation"} == spans.keys()
    server = spans["server chat"]
    assert (server["parentSpanId"], server["kind"]) == (PARENT, 2)
    assert all(span["traceId"] == TRACE for span in spans.values())
    assert all(span["parentSpanId"] == server["spanId"] for name, span in spans.items() if name != "server chat")
    edges = [int(spans[name][edge]) for name in ("tokenize", "queue", "prefill", "decode") for edge in TIMES]
    assert edges == sorted(edges)
    assert abs(int(server["endTimeUnixNano"]) - wall - (time.monotonic_ns() - monotonic)) < 60e9
    assert attributes(spans["prefill"])["gen_ai.usage.cache_read.input_tokens"] == "0"
    assert attributes(spans["decode"])["gen_ai.usage.output_tokens"] == "6"
    assert attributes(spans["speculation"])["punie.speculation.mode"] == "adaptive"
    assert client.get(f"/spans?trace_id={TRACE}").text == ""  # they are handed over once


TIMES = ("startTimeUnixNano", "endTimeUnixNano")


def test_a_failed_request_has_a_failed_span(client: httpx2.Client) -> None:
    chat(client, "x" * 600, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    server = spans_by_name(client.get(f"/spans?trace_id={TRACE}").text)["server chat"]
    assert server["status"]["code"] == 2
    assert "the model takes 512" in server["status"]["message"]
    assert attributes(server)["http.response.status_code"] == "400"


def test_metrics_count_what_was_done(client: httpx2.Client) -> None:
    def read() -> dict[str, float]:
        text = client.get("/metrics").text
        names = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:e2e_request_latency_seconds_count")
        return {name: sample(text, name) for name in names}

    before = read()
    usage = chat(client, "Count").json()["usage"]
    after = read()
    assert [after[name] - before[name] for name in before] == [usage["prompt_tokens"], usage["completion_tokens"], 1]
    assert sample(client.get("/metrics").text, "vllm:num_requests_running") == 0


def test_more_requests_than_may_be_open(serve: Callable[..., Any], target: Path) -> None:
    with serve("--model", str(target), max_requests=1, max_body_bytes=2048) as client:
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(chat(client, max_tokens=LONG).status_code)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(set(answers)) in ([200, 503], [200])
        assert 200 in answers
        assert chat(client, max_tokens=1).status_code == 200
        assert chat(client, "x" * 3000).status_code == 413
        refused = chat(client, speculation={"mode": "fixed", "drafter": "model"})
        assert refused.status_code == 400
        assert "this server has none" in refused.json()["error"]


def test_a_batch_that_fails_costs_its_own_requests_only(client: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """In mlx_lm it ends the thread that generates, and with it every later request."""
    import mlx_lm.server as stock

    step = stock.BatchGenerator.next
    failures = ["no memory"]

    def fail_once(self: Any) -> Any:
        if failures:
            raise MemoryError(failures.pop())
        return step(self)

    monkeypatch.setattr(stock.BatchGenerator, "next", fail_once)
    failed = chat(client, speculation="off")
    assert failed.status_code == 500
    assert "no memory" in failed.json()["error"]
    assert chat(client, speculation="off").status_code == 200
    assert client.get("/health").status_code == 200


def test_logits_that_are_no_numbers_are_an_error_that_says_so(serve: Callable[..., Any], tmp_path: Path) -> None:
    import mlx.core as mx

    broken = make_model(tmp_path.resolve() / "broken", layers=1)
    weights = dict(mx.load(str(broken / "model.safetensors")))  # ty: ignore[no-matching-overload]
    weights["model.norm.weight"] = weights["model.norm.weight"] * float("nan")
    mx.save_safetensors(str(broken / "model.safetensors"), weights, metadata={"format": "mlx"})
    with serve("--model", str(broken)) as client:
        for speculation in ("off", "adaptive"):
            answer = chat(client, speculation=speculation)
            assert answer.status_code == 500
            assert "NaN" in answer.json()["error"] or "not numbers" in answer.json()["error"]
        body = {"messages": [{"role": "user", "content": "x"}], "speculation": "adaptive"}
        assert "error" in list(chunks(client, body))[-1]
        assert client.get("/health").status_code == 200


def test_a_draft_that_cannot_be_used_leaves_plain_decoding_with_its_reason(
    serve: Callable[..., Any], target: Path, draft: Path
) -> None:
    with serve("--model", str(target), "--draft-model", str(draft), max_draft_memory=1000) as client:
        said = chat(client, speculation={"mode": "fixed", "k": 2, "drafter": "model"}, timings=True).json()["timings"]
        assert said["speculation"]["draft_n"] == 0
        assert "MB are allowed" in said["speculation"]["fallback"]
        assert sample(client.get("/metrics").text, "punie_trace_spec_fallbacks_total") >= 1


def test_a_quantized_cache_is_decoded_plainly(serve: Callable[..., Any], target: Path) -> None:
    with serve("--model", str(target), "--kv-bits", "8", "--kv-group-size", "32") as client:
        said = chat(client, speculation="adaptive", timings=True, max_tokens=4).json()["timings"]["speculation"]
        assert "quantized" in said["fallback"]


def test_a_model_that_cannot_be_loaded_ends_the_server(target: Path, tmp_path: Path) -> None:
    import shutil

    from punie_trace.errors import ServerError
    from punie_trace.serving.serve import ServeOptions
    from punie_trace.serving.serve import serve as run_server

    broken = Path(shutil.copytree(target, tmp_path / "broken"))
    config = json.loads((broken / "config.json").read_text()) | {"hidden_size": 48}
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(ServerError, match="the model cannot be served: ValueError"):
        run_server(["--model", str(broken), "--port", "0", "--log-level", "CRITICAL"], ServeOptions(otlp="off"))


def test_the_thread_that_computed_lets_go_of_its_streams(
    serve: Callable[..., Any], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a process may be aborted at its end; that happens now and then only, so it is not waited for here."""
    threads: list[str] = []
    monkeypatch.setattr("mlx.core.clear_streams", lambda: threads.append(threading.current_thread().name))
    with serve("--model", str(target)):
        assert threads == []
    assert threads == [GENERATION_THREAD]
