"""Which tool calls a request brings the results of, read from its messages.

A framework whose tools make no spans shows by this alone that it ran them. Pure; it raises nothing.
"""

from __future__ import annotations

import json
from typing import Final

import httpx2

from punie_trace.records import JsonValue
from punie_trace.spans.families import texts_of

ERROR_PREFIX: Final = "error: "
"""What the result of a tool begins with that failed and told the model so."""

_MOST: Final = 512


def answered_calls(request: httpx2.Request) -> str | None:
    """JSON: a list of each call's `id` and whether its result was `ok`; None where the request has no results."""
    try:
        body = json.loads(request.content)
    except (ValueError, RecursionError, httpx2.RequestNotRead):
        return None
    messages = body.get("messages") if isinstance(body, dict) else None
    found: list[JsonValue] = []
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") == "tool" and len(found) < _MOST:
            result = texts_of(message.get("content"))[0]
            found.append({"id": str(message.get("tool_call_id")), "ok": not result.startswith(ERROR_PREFIX)})
    return json.dumps(found) if found else None
