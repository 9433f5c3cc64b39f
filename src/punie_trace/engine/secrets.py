"""What of a command line and a configuration may be written into a run folder: all but what may be secret.

Keys have no place in either (`api_key_env` names a variable), but a URL can carry a password, and a server's
environment anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import JsonValue

HIDDEN = "***"
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY_SECRET = re.compile(r"(?i)([?&](?:[\w-]*(?:key|token|secret|password|signature))=)[^&\s]+")


def without_secrets(text: str) -> str:
    """`text` with what stands before the @ of a URL, and parameters that are called like a secret, left out."""
    return _QUERY_SECRET.sub(rf"\g<1>{HIDDEN}", _USER_INFO.sub(f"{HIDDEN}@", text))


def redacted(value: JsonValue, key: str = "") -> JsonValue:
    """`value` with the texts in it cleaned, and all values of an `environment` hidden."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {name: HIDDEN if key == "environment" else redacted(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [redacted(item) for item in value]
    return value
