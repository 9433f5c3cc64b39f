"""How requests to an address go: directly or through which proxy, and whose certificates are believed.

One decision for everything that this package sends, so that what a probe reaches, queries and telemetry reach too. It
reads `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` (in lower case first), `SSL_CERT_FILE` and `SSL_CERT_DIR`.
It sends nothing; `http_clients` makes clients of it.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit, urlunsplit

from punie_trace.errors import ConfigurationError

Trust: TypeAlias = Literal["system", "file", "any"]

PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
_PORTS: Final = {"http": 80, "https": 443}
_CERTIFICATES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True, slots=True)
class Route:
    """The way to one address, and why it is that one."""

    origin: str
    """'http://host:port' of the address."""
    proxy: str | None
    """The proxy's URL with its credentials, None for a direct connection."""
    reason: str
    """Which variable or rule decided, fit to be shown."""
    trust: Trust = "system"
    """`file`: the certificates that a variable names. `any`: not checked, which is so on loopback only."""

    @property
    def socks(self) -> bool:
        """Whether the proxy speaks SOCKS."""
        return self.proxy is not None and self.proxy.startswith("socks")

    def certificates(self, environ: Mapping[str, str] = os.environ) -> ssl.SSLContext | None:
        """Whose certificates to believe; None for an address without TLS.

        Raises ConfigurationError where the file that the environment names cannot be used.
        """
        if not self.origin.startswith("https:"):
            return None
        if self.trust == "any":
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        file, folder = (environ.get(name) or None for name in _CERTIFICATES)
        try:
            return ssl.create_default_context(cafile=file, capath=folder)
        except OSError as error:  # ssl.SSLError is one
            msg = (
                f"the certificates in {file or folder} cannot be used ({error}); correct SSL_CERT_FILE or SSL_CERT_DIR"
            )
            raise ConfigurationError(msg) from None

    def describe(self) -> str:
        """The decision in words, without credentials."""
        way = "directly" if self.proxy is None else f"through {without_credentials(self.proxy)}"
        trusted = {
            "system": "",
            "file": "; certificates: those that SSL_CERT_FILE or SSL_CERT_DIR names",
            "any": "; certificates on loopback are not checked",
        }[self.trust]
        return f"{way} ({self.reason}){trusted}"


def route_to(url: str, environ: Mapping[str, str] = os.environ) -> Route:
    """The route to the address `url` (http or https).

    Loopback is always asked directly. Raises ConfigurationError where the environment names a proxy that cannot be
    used: an unknown scheme, an address that is none, or SOCKS without the package for it.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    port = parts.port or _PORTS.get(parts.scheme, 80)
    shown = f"[{host}]" if ":" in host else host
    origin = f"{parts.scheme}://{shown}:{port}"
    if is_loopback(host):
        return Route(origin, None, "loopback", "any" if parts.scheme == "https" else "system")
    trust: Trust = "file" if parts.scheme == "https" and any(map(environ.get, _CERTIFICATES)) else "system"
    name, proxy = _proxy(parts.scheme, environ)
    if proxy is None:
        return Route(origin, None, "no proxy is set", trust)
    excluded = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if (entry := matching_entry(host, port, excluded)) is not None:
        return Route(origin, None, f"NO_PROXY has {entry!r}", trust)
    return Route(origin, _checked_proxy(name, proxy), name, trust)


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine's own: 'localhost', or an address of 127.0.0.0/8 or ::1."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def matching_entry(host: str, port: int, no_proxy: str) -> str | None:
    """The entry of a NO_PROXY list that `host` falls under; None where none does.

    Entries: '*', a name (itself and all below it), an address (IPv6 with or without brackets), a network
    ('10.0.0.0/8'); each but a network may end in ':port'.
    """
    address = _address(host)
    for entry in no_proxy.replace(",", " ").split():
        name, wanted = _without_port(entry.lower())
        if wanted not in (None, port):
            continue
        if name == "*":
            return entry
        if "/" in name:
            if address is not None and _in_network(address, name):
                return entry
        elif (one := _address(name)) is not None:
            if address == one:
                return entry
        else:
            name = name.removeprefix("*").strip(".")
            if name and (host == name or host.endswith(f".{name}")):
                return entry
    return None


def without_credentials(url: str) -> str:
    """A proxy's URL without user and password; 'an address that cannot be read' where it is none."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        return urlunsplit(SplitResult(parts.scheme, host if parts.port is None else f"{host}:{parts.port}", "", "", ""))
    except ValueError:
        return "an address that cannot be read"


def _proxy(scheme: str, environ: Mapping[str, str]) -> tuple[str, str | None]:
    for name in (f"{scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if value := environ.get(variable, "").strip():
                return variable, value
    return "", None


def _checked_proxy(variable: str, value: str) -> str:
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
        parts = urlsplit("")
    if not whole:
        raise ConfigurationError(
            f"{variable} is no proxy's address; write it like http://proxy.example:3128, or unset it"
        )
    if parts.scheme not in PROXY_SCHEMES:
        raise ConfigurationError(
            f"{variable} names a proxy of the kind {parts.scheme!r}, which is unknown; known are "
            f"{', '.join(PROXY_SCHEMES)}. Correct it, or put the server's host into NO_PROXY"
        )
    if parts.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise ConfigurationError(
            f"{variable} names a SOCKS proxy, for which the package socksio is missing; install it "
            "(pip install 'punie-trace[socks]'), or put the server's host into NO_PROXY"
        )
    return url


def _without_port(entry: str) -> tuple[str, int | None]:
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name + (rest if rest.startswith("/") else ""), int(rest[1:]) if rest[1:].isdigit() else None
    name, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and ":" not in name:
        return name, int(port)
    return entry, None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _in_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def proxy_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the environment says of proxies and certificates, without credentials; for `doctor`."""
    names = [f"{kind}_proxy" for kind in ("http", "https", "all")]
    found = {n: without_credentials(v) for name in names for n in (name, name.upper()) if (v := environ.get(n))}
    found |= {name: value for name in ("no_proxy", "NO_PROXY", *_CERTIFICATES) if (value := environ.get(name))}
    return found
