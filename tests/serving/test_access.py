"""Who may ask: hosts, origins and models, as rules and on a server in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.serving.access import Access, access, check_local, host_name
from punie_trace.serving.refusal import RefusedError
from tests.serving.asking import chat, complete
from tests.serving.process import ServeProcess, serve_process

PATHS = ("/health", "/metrics", "/identity", "/v1/models", f"/spans?trace_id={'a' * 32}")
BAD_HOSTS = ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "",
             "127.0.0.1:x", "[::1", "user@127.0.0.1")  # fmt: skip
GOOD_HOSTS = ("127.0.0.1", "localhost", "LOCALHOST:80", "127.8.8.8:1", "[::1]:8080", "app.localhost", "localhost.")


def may(rules: Access, host: str | None, origin: str | None = None) -> bool:
    try:
        rules.check(host, origin)
    except RefusedError as error:
        return error.status != 403
    return True


def test_loopback_names_may_be_asked_for_and_no_others() -> None:
    rules = access("127.0.0.1", (), ())
    assert [host for host in GOOD_HOSTS if not may(rules, host)] == []
    assert [host for host in BAD_HOSTS if may(rules, host)] == []


def test_what_the_operator_names_may_be_asked_for() -> None:
    rules = access("192.168.1.5", ("Box.Local",), ())
    for host in ("192.168.1.5:8080", "box.local", "BOX.LOCAL.:80", "127.0.0.1"):
        assert may(rules, host)
    assert not may(rules, "192.168.1.6")
    everywhere = access("0.0.0.0", (), ())
    assert may(everywhere, "192.168.1.6:8080")
    assert may(everywhere, "[fe80::1]")
    assert not may(everywhere, "evil.example")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:3000", "file://", ""])
def test_no_page_may_ask_unless_it_is_named(origin: str) -> None:
    assert not may(access("127.0.0.1", (), ()), "127.0.0.1", origin)
    assert not may(access("127.0.0.1", (), ("https://chat.example",)), "127.0.0.1", origin)
    assert may(access("127.0.0.1", (), ("*",)), "127.0.0.1", origin)


@pytest.mark.parametrize(
    ("client", "here"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("192.168.1.5", False),
     ("::ffff:10.0.0.1", False), ("fe80::1%eth0", False), ("", False), ("localhost", False)],
)  # fmt: skip
def test_only_a_program_on_this_machine_may_have_the_server_forget(client: str, here: bool) -> None:
    if here:
        check_local(client)
        return
    with pytest.raises(RefusedError) as refused:
        check_local(client)
    assert refused.value.status == 403


@given(st.text())
def test_any_header_is_a_host_or_none(header: str) -> None:
    name = host_name(header)
    assert name is None or name == name.lower()
    may(access("127.0.0.1", (), ()), header, header)


@pytest.fixture(scope="module")
def server(target: Path, draft: Path) -> Generator[ServeProcess]:
    with serve_process("--model", target, "--draft-model", draft, "--max-tokens", "8") as running:
        yield running


@pytest.fixture(scope="module")
def open_server(target: Path, draft: Path) -> Generator[ServeProcess]:
    """One whose operator allows a name, an origin and a model."""
    flags = ("--allow-host", "box.local", "--allowed-origins", "https://chat.example", "--allow-model", draft)
    with serve_process("--model", target, "--max-tokens", "8", *flags) as running:
        yield running


@pytest.mark.parametrize("path", PATHS)
def test_every_address_asks_who_asks(server: ServeProcess, path: str) -> None:
    assert server.get(path, Host="localhost") == 200
    assert server.get(path) == 200  # a client of HTTP/1.0 names no host
    assert server.get(path, Host="evil.example") == 403
    assert server.get(path, Host="localhost", Origin="https://evil.example") == 403
    assert server.get(path, Host="localhost", Origin="null") == 403
    answer = server.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"Access-Control-Allow-Origin" not in answer


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/forget"])
def test_posts_ask_who_asks(server: ServeProcess, path: str) -> None:
    for headers in ("Host: evil.example", "Host: localhost\r\nOrigin: https://evil.example"):
        answer = server.raw(f"POST {path} HTTP/1.1\r\n{headers}\r\nContent-Length: 2\r\n\r\n{{}}")
        assert answer.split()[1] == b"403"
    preflight = "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n"
    assert server.raw(preflight).split()[1] == b"403"


def test_the_address_may_name_the_host_as_well(server: ServeProcess) -> None:
    assert server.get("http://evil.example/metrics", Host="localhost") == 403
    assert server.get(f"http://127.0.0.1:{server.port}/health", Host="localhost") == 200


def test_a_page_that_is_allowed_may_ask_and_read(open_server: ServeProcess) -> None:
    page = "Host: box.local\r\nOrigin: https://chat.example"
    preflight = open_server.raw(f"OPTIONS /v1/chat/completions HTTP/1.1\r\n{page}\r\n\r\n")
    assert b" 204 " in preflight.splitlines()[0]
    assert b"Access-Control-Allow-Origin: https://chat.example\r\n" in preflight
    body = json.dumps({"messages": [{"role": "user", "content": "x"}], "stream": True})
    answer = open_server.raw(
        f"POST /v1/chat/completions HTTP/1.1\r\n{page}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    assert b"Access-Control-Allow-Origin: https://chat.example\r\n" in answer
    assert answer.endswith(b"data: [DONE]\n\n")
    assert open_server.get("/metrics", Host="localhost", Origin="https://evil.example") == 403


@pytest.mark.parametrize("field", ["model", "draft_model", "adapters"])
def test_a_request_loads_nothing_unless_the_operator_said_so(server: ServeProcess, draft: Path, field: str) -> None:
    for name in (str(draft), "org/name", "/etc", "~", "no-such-folder", "x" * 5000, "a\0b"):
        if field == "draft_model" and name == str(draft):
            continue  # it is the server's own
        answer = chat(server.client, **{field: name})
        assert answer.status_code == 404, answer.text
        assert f"there is no model {name[:200]!r}" in answer.json()["error"]
        assert "--allow-model" in answer.json()["error"]
    assert chat(server.client, max_tokens=1).status_code == 200


def test_the_served_model_has_its_own_names(server: ServeProcess, target: Path, draft: Path) -> None:
    for fields in ({"model": str(target)}, {"model": "default_model"}, {"draft_model": str(draft)}, {}):
        answer = chat(server.client, **fields)
        assert answer.status_code == 200
        assert answer.json()["model"] == fields.get("model", "default_model")


def test_a_model_that_the_operator_allows_is_loaded(open_server: ServeProcess, target: Path, draft: Path) -> None:
    answers = [complete(open_server.client, "Hello", model=str(one)) for one in (target, draft, target)]
    likely = [one["choices"][0]["logprobs"]["content"][0]["logprob"] for one in answers]
    assert likely[0] == pytest.approx(likely[2], abs=1e-4)
    assert likely[0] != pytest.approx(likely[1], abs=1e-3)
    assert chat(open_server.client, adapters=str(target)).status_code == 404
