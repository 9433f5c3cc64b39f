from __future__ import annotations

import time
from collections.abc import Callable

import httpx2
import pytest

from punie_trace.serving import prompts
from punie_trace.serving.time_limit import time_limit


def spin(seconds: float) -> int:
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try:
            count += 1
        except Exception:  # as templates' engines have it
            count = 0
    return count


def test_a_loop_ends_when_its_time_is_over() -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=r"longer than 0.05 s"), time_limit(0.05):
        spin(60)
    assert time.monotonic() - begun < 30


def test_what_is_done_in_time_is_left_alone() -> None:
    with time_limit(60):
        assert spin(0.01) > 0
    with pytest.raises(ValueError, match="its own"), time_limit(60):
        raise ValueError("its own")


def test_nothing_is_interrupted_after_its_end() -> None:
    """The limit falls now before the end, now after it, and now upon it."""
    ended = 0
    for seconds in (
        *(0.0015 + 0.000005 * number for number in range(200)),
        0.3,
    ):  # the last is interrupted on any machine
        try:
            with time_limit(0.002):
                spin(seconds)
        except TimeoutError:
            ended += 1
        spin(0.0005)  # an interrupt that came late would be raised here
    assert 0 < ended < 201


QUADRATIC = (
    "{% set ns = namespace(text='') %}{% for m in messages %}{% for o in messages %}{% if o.content == m.content %}"
    "{% set ns.text = m.content %}{% endif %}{% endfor %}{% endfor %}{{ ns.text }}"
)


def test_a_template_that_takes_the_square_of_the_messages_costs_its_own_request_only(
    serve: Callable[..., object], target: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("punie_trace.serving.generator.RENDER_S", 0.3)
    flags = ("--model", str(target), "--chat-template", QUADRATIC, "--max-tokens", "2")
    with serve(*flags) as client:  # ty: ignore[invalid-context-manager]
        assert isinstance(client, httpx2.Client)
        many = [{"role": "user", "content": str(number % 10)} for number in range(4096)]
        begun = time.monotonic()
        answer = client.post("/v1/chat/completions", json={"messages": many})
        assert answer.status_code == 400
        assert "took longer than 0.3 s for this conversation" in answer.json()["error"]
        assert time.monotonic() - begun < 10
        assert client.post("/v1/chat/completions", json={"messages": many[:2]}).status_code == 200


def test_small_requests_need_no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    class Request:
        prompt = None
        tools = None
        messages = ({"content": "short"},)

    def refuse(seconds: float) -> object:
        raise AssertionError

    monkeypatch.setattr(prompts, "time_limit", refuse)
    with prompts.render_limit(Request(), 1.0, arguments=False):  # ty: ignore[invalid-argument-type]
        pass
    with pytest.raises(AssertionError), prompts.render_limit(Request(), 1.0, arguments=True):  # ty: ignore[invalid-argument-type]
        pass
