"""Who may ask this server: by which names it is reached, from which web pages, and for which models. Pure.

A web page can make a browser send requests to a server on the same machine. It cannot forge two headers: `Host` names
the address that the page used (a page that has its own name resolve to 127.0.0.1 sends that name), and `Origin` names
the page. So both are checked on every request, whatever it asks for. A client that is no browser sends no `Origin`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from punie_trace.serving.refusal import RefusedError

ANY: Final = "*"
WILDCARDS: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, never bound
_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Access:
    """`hosts` are the names beside loopback's by which the server may be reached, in lower case.

    `by_address` lets any address in figures pass as a host: for a server that listens on all interfaces. `origins` are
    web origins ('https://chat.example'), '*' for all.
    """

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    by_address: bool = False

    def check(self, host: str | None, origin: str | None) -> None:
        """Raises `RefusedError` (403) for a `Host` or an `Origin` header that may not ask. Absent ones may."""
        if host is not None and not self._reached_by(host):
            raise RefusedError(
                403,
                f"this server does not answer to the host {host[:_SHOWN]!r}; ask for 127.0.0.1 or localhost, or start "
                "it with --allow-host NAME",
            )
        if origin is not None and not self.readable_by(origin):
            raise RefusedError(
                403,
                f"pages of {origin[:_SHOWN]!r} may not ask this server; start it with --allowed-origins "
                "'https://page.example' to let them",
            )

    def readable_by(self, origin: str | None) -> bool:
        """Whether a page of that origin may ask and read the answers."""
        return origin is not None and (ANY in self.origins or origin.lower() in self.origins)

    def _reached_by(self, host: str) -> bool:
        name = host_name(host)
        if name is None:
            return False
        address = _address(name)
        if address is not None and (address.is_loopback or self.by_address):
            return True
        return name == "localhost" or name.endswith(".localhost") or name in self.hosts or ANY in self.hosts


def access(bound: str, hosts: Iterable[str], origins: Iterable[str]) -> Access:
    """The rules of a server that listens on `bound`, with the names and origins that its operator added."""
    named = {name.lower().rstrip(".") for name in (bound, *hosts) if name not in WILDCARDS}
    return Access(frozenset(named), frozenset(one.strip().lower().rstrip("/") for one in origins), bound in WILDCARDS)


def check_local(client: str) -> None:
    """Raises `RefusedError` (403) for a client whose address is not this machine's own loopback."""
    address = _address(client.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address is None or not address.is_loopback:
        raise RefusedError(403, "only a program on this machine may ask for this")


def host_name(header: str) -> str | None:
    """The name in a `Host` header, in lower case and without port and brackets; None where it is none."""
    header = header.strip().lower()
    if header.startswith("["):
        name, bracket, port = header[1:].partition("]")
        port = port.removeprefix(":") if bracket else "?"
    else:
        name, _, port = header.partition(":")
    if not name or (port and not port.isascii()) or (port and not port.isdigit()):
        return None
    return name.rstrip(".")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
