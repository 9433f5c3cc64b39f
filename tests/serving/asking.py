"""Requests to a server under test, as its clients write them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


def chat(client: httpx2.Client, text: str = "Hello", **fields: Any) -> httpx2.Response:
    headers = fields.pop("headers", {})
    body = {"messages": [{"role": "user", "content": text}], **fields}
    return client.post("/v1/chat/completions", json=body, headers=headers)


def complete(client: httpx2.Client, prompt: str, **fields: Any) -> dict[str, Any]:
    """A text completion, with its tokens."""
    answer = client.post("/v1/completions", json={"prompt": prompt, "logprobs": True, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def tokens(answer: dict[str, Any]) -> list[int]:
    return [entry["id"] for entry in answer["choices"][0]["logprobs"]["content"]]


def chunks(client: httpx2.Client, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    with client.stream("POST", "/v1/chat/completions", json={"stream": True, **body}) as response:
        assert response.status_code == 200
        for line in response.iter_lines():
            if line.startswith("data: {"):
                yield json.loads(line.removeprefix("data: "))


def sample(text: str, name: str) -> float:
    """The sum of a metric's samples, whatever their labels."""
    lines = [line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def spans_by_name(lines: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for line in lines.splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                found.update({span["name"]: span for span in scope["spans"]})
    return found


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {entry["key"]: next(iter(entry["value"].values())) for entry in span["attributes"]}


def conversation(texts: Sequence[str]) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
