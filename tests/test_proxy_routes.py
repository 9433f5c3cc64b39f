from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.errors import ConfigurationError
from punie_trace.proxy_routes import matching_entry, proxy_variables, route_to

PROXY = {"http_proxy": "http://user:secret@proxy.example:3128", "HTTPS_PROXY": "proxy.example:3129"}


@pytest.mark.parametrize(
    ("url", "environ", "proxy", "reason"),
    [
        ("http://model.example/v1", {}, None, "no proxy is set"),
        ("http://model.example/v1", PROXY, "http://user:secret@proxy.example:3128", "http_proxy"),
        ("https://model.example/v1", PROXY, "http://proxy.example:3129", "HTTPS_PROXY"),
        ("https://model.example", {"ALL_PROXY": "https://p:1"}, "https://p:1", "ALL_PROXY"),
        ("http://model.example", {"HTTPS_PROXY": "http://p:1"}, None, "no proxy is set"),
        ("http://model.example", {"HTTP_PROXY": " "}, None, "no proxy is set"),
        ("http://127.0.0.1:8080/v1", PROXY, None, "loopback"),
        ("http://127.9.9.9", PROXY, None, "loopback"),
        ("http://[::1]:8080/v1", PROXY, None, "loopback"),
        ("http://LocalHost:1", PROXY, None, "loopback"),
        ("http://model.example:81", {**PROXY, "NO_PROXY": "other, .example"}, None, "NO_PROXY has '.example'"),
        ("http://model.example:81", {**PROXY, "no_proxy": "model.example:82"}, PROXY["http_proxy"], "http_proxy"),
        ("http://model.example:81", {**PROXY, "NO_PROXY": "*"}, None, "NO_PROXY has '*'"),
        ("http://10.1.2.3", {**PROXY, "NO_PROXY": "10.0.0.0/8"}, None, "NO_PROXY has '10.0.0.0/8'"),
        ("http://11.1.2.3", {**PROXY, "NO_PROXY": "10.0.0.0/8"}, PROXY["http_proxy"], "http_proxy"),
        ("http://[fd00::7]:80", {**PROXY, "NO_PROXY": "[fd00::7]"}, None, "NO_PROXY has '[fd00::7]'"),
        ("http://[fd00::7]:80", {**PROXY, "NO_PROXY": "[fd00::7]:81"}, PROXY["http_proxy"], "http_proxy"),
        ("http://[fd00::7]:80", {**PROXY, "NO_PROXY": "fd00::/8"}, None, "NO_PROXY has 'fd00::/8'"),
        ("http://notmodel.example", {**PROXY, "NO_PROXY": "model.example"}, PROXY["http_proxy"], "http_proxy"),
    ],
)
def test_a_route_is_decided_by_the_environment(
    url: str, environ: dict[str, str], proxy: str | None, reason: str
) -> None:
    route = route_to(url, environ)
    assert (route.proxy, route.reason) == (proxy, reason)
    assert "secret" not in route.describe()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            "ftp://proxy:1",
            r"http_proxy names a proxy of the kind 'ftp', which is unknown; known are http, https, socks5",
        ),
        ("http://", "http_proxy is no proxy's address"),
        ("http://[::1", "http_proxy is no proxy's address"),
        ("http://p:port", "http_proxy is no proxy's address"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_bad_input(value: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        route_to("http://model.example", {"http_proxy": value})
    assert caught.value.exit_code == 2


def test_socks_without_its_package_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"all_proxy": "socks5h://127.0.0.1:1080"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "socksio" else object())
    with pytest.raises(ConfigurationError, match="the package socksio is missing; install it"):
        route_to("http://model.example", environ)
    assert route_to("http://127.0.0.1", environ).proxy is None
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    assert route_to("http://model.example", environ).socks


def test_whose_certificates_are_believed() -> None:
    assert route_to("http://model.example", {}).certificates({}) is None
    loopback = route_to("https://127.0.0.1:8443", {"SSL_CERT_FILE": "/none"}).certificates({})
    assert loopback is not None
    assert (loopback.verify_mode, loopback.check_hostname) == (ssl.CERT_NONE, False)
    elsewhere = route_to("https://model.example", {})
    system = elsewhere.certificates({})
    assert system is not None
    assert system.verify_mode == ssl.CERT_REQUIRED
    named = {"SSL_CERT_FILE": "/no/such/file.pem"}
    assert route_to("https://model.example", named).trust == "file"
    with pytest.raises(ConfigurationError, match=r"the certificates in /no/such/file\.pem cannot be used"):
        elsewhere.certificates(named)


def test_what_is_shown_of_the_environment_holds_no_secret() -> None:
    shown = proxy_variables({**PROXY, "NO_PROXY": "a,b", "SSL_CERT_FILE": "/c.pem", "HOME": "/h"})
    assert shown == {
        "http_proxy": "http://proxy.example:3128",
        "HTTPS_PROXY": "http://proxy.example:3129",
        "NO_PROXY": "a,b",
        "SSL_CERT_FILE": "/c.pem",
    }


@given(st.text(), st.text(st.characters(codec="ascii")))
def test_any_list_of_exceptions_is_read(host: str, entries: str) -> None:
    found = matching_entry(host, 80, entries)
    assert found is None or found in entries
