"""Addresses as a person writes them, checked and read: a bare host, and a server's URL.

Pure. What is wrong is said by a ValueError, whose message stands in a configuration's error.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from punie_trace.servers import ports

_LONGEST: Final = 2000
_SHOWN: Final = 80
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def check_host(host: str) -> str:
    """`host` if it is a name or an address to listen on. Raises ValueError."""
    if not host or "/" in host or any(c.isspace() or not c.isprintable() for c in host):
        msg = f"host {shortened(host)!r} must be a bare name or address such as 127.0.0.1; a full address goes into url"
        raise ValueError(msg)
    return host


def check_url(url: str) -> str:
    """`url` without blanks around it, if it is the address of a server. Raises ValueError."""
    url = url.strip()
    if len(url) > _LONGEST:
        msg = f"url has {len(url)} characters, beginning with {shortened(url)!r}; write only the server's base address"
        raise ValueError(msg)
    if any(c.isspace() or not c.isprintable() for c in url):
        msg = f"url {shortened(url)!r} holds blanks or control characters; write it like http://127.0.0.1:8080/v1"
        raise ValueError(msg)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        msg = f"url does not parse ({error}); write it like http://127.0.0.1:8080/v1"
        raise ValueError(msg) from None
    if parts.username or parts.password:
        msg = "url must not hold a user name or password; put the key into a variable that api_key_env names"
        raise ValueError(msg)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = (
            f"url {shortened(url)!r} must start with http:// or https:// and name a host, like http://127.0.0.1:8080/v1"
        )
        raise ValueError(msg)
    if parts.query or parts.fragment:
        msg = "url must not hold a query or fragment; write only the base address, like http://127.0.0.1:8080/v1"
        raise ValueError(msg)
    return url


def shortened(text: str) -> str:
    """The beginning of what a person wrote, fit to be repeated to them."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def base_url(host: str, port: int) -> str:
    """'http://host:port/v1' of a server that was started to listen on `host`."""
    address = ports.reachable(host)
    return f"http://{f'[{address}]' if ':' in address else address}:{port}/v1"


def base_url_of(url: str) -> str:
    """The address under which a server's API stands, whatever of it was written; without a slash at the end."""
    url = url.rstrip("/").removesuffix("/chat/completions")
    return url if urlsplit(url).path else f"{url}/v1"


def is_local(url: str) -> bool:
    """Whether `url` is this machine's own loopback."""
    return urlsplit(url).hostname in _LOCAL
