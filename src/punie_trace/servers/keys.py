"""The key that a server wants: read from the variable that `api_key_env` names, at the moment of use, kept nowhere."""

from __future__ import annotations

import os
from collections.abc import Mapping

from punie_trace.errors import ConfigurationError
from punie_trace.servers.config import ServerConfig, UrlConfig


def api_key(config: ServerConfig, environ: Mapping[str, str] = os.environ) -> str | None:
    """The key, None where none is wanted. Raises ConfigurationError where the variable is not set."""
    if config.api_key_env is None:
        return None
    own = {} if isinstance(config, UrlConfig) else config.environment
    key = (own.get(config.api_key_env) or environ.get(config.api_key_env) or "").strip()
    if not key:
        msg = f"api_key_env names {config.api_key_env}, which is not set; export it and run again"
        raise ConfigurationError(msg)
    if not key.isascii() or not key.isprintable():
        msg = f"the key in {config.api_key_env} holds characters that no HTTP header can; export it again"
        raise ConfigurationError(msg)
    return key
