"""Drafts that cannot be used, fail or are cut short: the answer is the plain one with the reason, the next unharmed."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from punie_trace.speculative import ModelDrafter, SuffixDrafter
from tests.serving.asking import complete, tokens
from tests.tiny_model import make_model

FIXED = {"mode": "fixed", "k": 4, "drafter": "model"}
MODES: tuple[Any, ...] = (
    FIXED,
    {**FIXED, "drafter": "suffix"},
    {**FIXED, "drafter": "hybrid", "tree": True},
    "adaptive",
)
TEXT = "One two three, one two three, one two"


def asked(client: httpx2.Client, speculation: Any, **fields: Any) -> tuple[list[int], dict[str, Any]]:
    """Tokens, and what the timings say of the drafts."""
    fields = {"max_tokens": 24, "timings": True, **fields}
    answer = complete(client, fields.pop("prompt", TEXT), speculation=speculation, **fields)
    return tokens(answer), answer["timings"].get("speculation", {})


@pytest.fixture
def others_draft(draft: Path, tmp_path: Path) -> Path:
    """A draft of as many tokens, of which two have changed places."""
    folder = Path(shutil.copytree(draft, tmp_path.resolve() / "others"))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def test_a_draft_with_other_ids(serve: Callable[..., Any], target: Path, others_draft: Path) -> None:
    with serve("--model", str(target), "--draft-model", str(others_draft)) as client:
        plain, _ = asked(client, "off")
        got, said = asked(client, FIXED)
        assert got == plain
        assert "other ids than the target's: 2 tokens differ" in said["fallback"]
        assert said["draft_n"] == 0
        for speculation in MODES[1:]:  # the drafters that need no model are still there
            assert asked(client, speculation)[0] == plain


def test_a_quantized_cache(serve: Callable[..., Any], tmp_path: Path, draft: Path) -> None:
    quantized = ("--kv-bits", "8", "--kv-group-size", "32", "--quantized-kv-start", "0")
    target = make_model(tmp_path.resolve() / "wide", layers=2, head=32)
    wide = ("--model", str(target), "--draft-model", str(draft))
    with serve(*wide, *quantized) as client:
        for turn in range(2):  # the second finds the quantized cache of the first
            plain, _ = asked(client, "off", cache_salt="plain", prompt=TEXT + "!" * turn)
            for number, speculation in enumerate(MODES):
                got, said = asked(client, speculation, cache_salt=f"{number}", prompt=TEXT + "!" * turn)
                assert got == plain
                assert said["fallback"] == "cache: the prompt cache is quantized (--kv-bits)"
                assert said["draft_n"] == 0


@pytest.fixture
def sliding(target: Path, tmp_path: Path) -> Path:
    """A target with a window of 32 tokens in one of its layers."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.models.llama import Model, ModelArgs

    folder = Path(shutil.copytree(target, tmp_path.resolve() / "sliding"))
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "llama", "sliding_window": 32, "layer_types": ["sliding_attention", "full_attention"]}
    (folder / "config.json").write_text(json.dumps(config))
    mx.random.seed(1)
    weights = dict(tree_flatten(Model(ModelArgs.from_dict(config)).parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    return folder


def test_a_cache_that_rotates_is_drafted_on_before_and_behind_its_window(
    serve: Callable[..., Any], sliding: Path, draft: Path
) -> None:
    with serve("--model", str(sliding), "--draft-model", str(draft)) as client:
        drafted = 0
        for prompt, most in ((TEXT[:20], 6), (TEXT[:20], 24), (TEXT * 3, 24)):  # before, in its midst, and behind it
            plain, _ = asked(client, "off", prompt=prompt, max_tokens=most, cache_salt="plain")
            for number, speculation in enumerate(MODES):
                got, found = asked(client, speculation, prompt=prompt, max_tokens=most, cache_salt=f"{number}")
                assert got == plain
                assert (found["fallback"] or "tree: ").startswith(("tree: ", "no gain"))
                drafted += found["draft_n"]
        assert drafted > 0


def test_a_drafter_that_raises(client: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, _ = asked(client, "off")
    propose = SuffixDrafter.propose
    failures = ["<b>gone</b>"]

    def fail_once(self: SuffixDrafter, *given: Any, **options: Any) -> Any:
        if failures:
            raise RuntimeError(failures.pop())
        return propose(self, *given, **options)

    monkeypatch.setattr(SuffixDrafter, "propose", fail_once)
    for speculation in ({**FIXED, "drafter": "suffix"}, {**FIXED, "drafter": "hybrid"}):
        failures[:] = ["<b>gone</b>"]
        got, said = asked(client, speculation)
        assert got == plain
        assert said["fallback"] == "drafter error: RuntimeError: <b>gone</b>"
        got, said = asked(client, speculation)
        assert got == plain
        assert said["draft_n"] > 0
        assert said.get("fallback") is None


@pytest.mark.parametrize("speculation", [FIXED, {**FIXED, "tree": True}], ids=["linear", "tree"])
def test_a_client_that_goes_away_between_draft_and_verify(
    client: httpx2.Client, monkeypatch: pytest.MonkeyPatch, speculation: dict[str, Any]
) -> None:
    plain, _ = asked(client, "off", prompt=TEXT + " go", cache_salt="plain")
    drafted, closed, ended = threading.Event(), threading.Event(), threading.Event()
    propose, end = ModelDrafter.propose, ModelDrafter.end
    calls = iter(range(10**6))

    def wait_after_the_third(self: ModelDrafter, *given: Any, **options: Any) -> Any:
        proposal = propose(self, *given, **options)
        if next(calls) == 2:
            drafted.set()
            assert closed.wait(30)
        return proposal

    def noted_end(self: ModelDrafter, *given: Any) -> None:
        end(self, *given)
        ended.set()

    monkeypatch.setattr(ModelDrafter, "propose", wait_after_the_third)
    monkeypatch.setattr(ModelDrafter, "end", noted_end)
    parts = urlsplit(str(client.base_url))
    assert parts.hostname is not None
    body = {"prompt": TEXT + " go", "max_tokens": 200, "speculation": speculation, "cache_salt": "left", "stream": True}
    raw = json.dumps(body).encode()
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=30) as connection:
        head = f"POST /v1/completions HTTP/1.1\r\nContent-Length: {len(raw)}\r\n\r\n"
        connection.sendall(head.encode() + raw)
        assert drafted.wait(30)
    closed.set()
    assert ended.wait(30)
    got, said = asked(client, speculation, prompt=TEXT + " go", cache_salt="left")  # from the cache that it left
    assert got == plain
    assert said["draft_n"] > 0
    assert next(calls) < 100  # it did not draft on to its 200 tokens before it noticed
