"""Addresses of OTLP receivers: which one is meant, whether it is one, and how it may be shown.

It reads the environment and may try a port; nothing is sent.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit, urlunsplit

from punie_trace.errors import ConfigurationError

DEFAULT_ENDPOINT: Final = "http://127.0.0.1:4318/v1/traces"
TRACES_PATH: Final = "/v1/traces"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def endpoint_for(mode: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Where to send spans by `--otlp MODE`: None for 'off'; for 'auto' what the environment says, else the usual port.

    A URL without a path gets `/v1/traces`. Raises ConfigurationError where MODE is none of these.
    """
    if mode == "off":
        return None
    if mode == "auto":
        if of_traces := environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
            return of_traces  # the specification: taken as it is
        base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        return base.rstrip("/").removesuffix(TRACES_PATH) + TRACES_PATH if base else DEFAULT_ENDPOINT
    parts = split_url(mode)
    if parts is None:
        raise ConfigurationError(f"--otlp {mode!r} is neither 'auto', 'off' nor a URL such as http://127.0.0.1:4318.")
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith(TRACES_PATH) else path + TRACES_PATH))


def split_url(url: str) -> SplitResult | None:
    """The parts of an address with http:// or https:// and a host; None for anything else."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme in _DEFAULT_PORTS and parts.hostname is not None and (parts.port is None or parts.port > 0)
    except ValueError:  # brackets that do not close, a port that is no number
        return None
    return parts if whole else None


def port_is_open(endpoint: str, timeout_s: float) -> bool:
    """Whether anything takes connections where `endpoint` says; a closed port of this machine says no at once."""
    try:
        parts = urlsplit(endpoint)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
        if parts.hostname is None or port is None:
            return False
        socket.create_connection((parts.hostname, port), timeout_s).close()
    except (OSError, ValueError):
        return False
    return True


def shown(endpoint: str) -> str:
    """An endpoint without what may be secret in it: user, password, query."""
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return "an address that cannot be read"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return urlunsplit((parts.scheme, host if port is None else f"{host}:{port}", parts.path, "", ""))
