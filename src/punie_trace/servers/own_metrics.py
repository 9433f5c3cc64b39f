"""What a foreign server counts of itself at `/metrics`, before and after a run: drafts, prefix cache, mean times.

Counters are of the whole server: all its configurations, the warm-up, and whoever else asked it meanwhile. So they are
told for a server and not for a configuration, with their source. A server without them is none the worse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from punie_trace.errors import ConfigurationError, ServerError
from punie_trace.http_clients import async_client
from punie_trace.servers.families import FAMILIES, CounterNames
from punie_trace.servers.probe import NotYetError, small_answer

_LIMIT_S: Final = 5.0
_MOST_LINES: Final = 50_000


@dataclass(frozen=True, slots=True)
class Counters:
    """What stood at `/metrics`, summed over labels, under the family's own names."""

    family: str
    names: CounterNames
    values: Mapping[str, float]

    def since(self, before: Counters | None) -> str | None:
        """What happened between two readings, in words; None where nothing did, or the server was begun anew."""
        if before is None or before.family != self.family:
            return None
        grown = {name: value - before.values.get(name, 0.0) for name, value in self.values.items()}
        if any(value < 0 for value in grown.values()):
            return None
        names = self.names
        drafted, accepted = _of(grown, names.drafted), _of(grown, names.accepted)
        parts = []
        if drafted:
            rounds = _of(grown, names.drafts)
            length = f", mean length {1 + accepted / rounds:.2f}" if rounds else ""
            parts.append(f"{accepted / drafted:.0%} of {drafted:.0f} drafted tokens were accepted{length}")
        if asked := _of(grown, names.cache_asked):
            parts.append(f"{_of(grown, names.cache_hits) / asked:.0%} of prompt tokens came from its prefix cache")
        for what, name in (("queue", names.queue_s), ("prefill", names.prefill_s), ("decode", names.decode_s)):
            count = grown.get(f"{name}_count", 0.0) if name else 0.0
            if count:
                parts.append(f"mean {what} {1000 * grown.get(f'{name}_sum', 0.0) / count:.0f} ms")
            elif name and (seconds := _of(grown, name)):
                parts.append(f"{what} {seconds:.1f} s in all")
        return f"{self.family} counted itself (its /metrics, warm-up included): {', '.join(parts)}" if parts else None


async def read_counters(base_url: str, key: str | None) -> Counters | None:
    """The counters of the server at `base_url`; None where it has none that are known here. Takes 5 s at most."""
    parts = urlsplit(base_url)
    address = urlunsplit((parts.scheme, parts.netloc, "/metrics", "", ""))
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with async_client(f"{base_url}/", headers=headers, timeout=_LIMIT_S) as client:
            answer = await small_answer(client, "GET", address, limit_s=_LIMIT_S)
    except (NotYetError, ServerError, ConfigurationError):
        return None
    return parse_counters(answer.body.decode("utf-8", "replace")) if answer.status == 200 else None


def parse_counters(text: str) -> Counters | None:
    """The counters in Prometheus' text form, those of the first family whose prefix stands there."""
    for family in FAMILIES:
        names = family.counters
        if names is not None and names.prefix in text:
            return Counters(family.name, names, _summed(text, names.prefix))
    return None


def _summed(text: str, prefix: str) -> dict[str, float]:
    values: dict[str, float] = {}
    for line in text.splitlines()[:_MOST_LINES]:
        if not line.startswith(prefix):
            continue
        name = line.partition("{")[0].partition(" ")[0].removesuffix("_total")
        try:
            value = float(line.rpartition("}")[2].split()[0] if "}" in line else line.split()[1])
        except (ValueError, IndexError):
            continue
        if math.isfinite(value):
            values[name] = values.get(name, 0.0) + value
    return values


def _of(grown: Mapping[str, float], name: str) -> float:
    return grown.get(name, 0.0) if name else 0.0
