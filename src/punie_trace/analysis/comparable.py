"""What two runs differ in besides what is compared: fields of their headers, each with what it does to a comparison.

Queries that both runs know by name must ask the same, else there is nothing to pair: that is refused. All else is said
and left to the reader. It looks at headers only, never at times.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Final

from pydantic import JsonValue

from punie_trace.analysis.figure_kinds import Figures
from punie_trace.analysis.served_by import settings_of
from punie_trace.errors import ConfigurationError
from punie_trace.runs.header import ConfigurationRecord, RunHeader, ServerRecord, unique

_MOST_NAMES: Final = 3
_SETTINGS: Final = ("workspace", "warm_up", "agent")
"""Of the resolved configuration: what a query's work or its first round depends on."""
_LIMITS: Final = ("max_tokens", "tool_output_chars")
_IDENTITY: Final = ("weights_digest", "draft_digest", "version", "fingerprint", "device")
"""Of a server's identity: which weights, and by what they are computed; never where it ran (pid, port)."""
_WHO: Final = ("kind", "command", "url", "version")
"""Fields in which two servers differ that are not the same program."""
_ABSENT: Final = "not recorded"


class Difference(Figures):
    """A field in which two runs differ, with both values as text. `configuration` is '' for the run as a whole."""

    field: str
    first: str
    second: str
    configuration: str = ""


def shared_queries(first: RunHeader, second: RunHeader) -> frozenset[str]:
    """Names of the queries that both runs asked, word for word and judged alike.

    Raises `ConfigurationError` where a name stands for another query in the second run, or no name is in both.
    """
    before = {query.name: query for query in first.suite.queries}
    after = {query.name: query for query in second.suite.queries}
    shared = [name for name in before if name in after]
    runs = f"{first.id} and {second.id}"
    if not shared:
        raise ConfigurationError(
            f"the runs {runs} have no query in common (suites {first.suite.name!r} and {second.suite.name!r}): "
            "compare runs of one suite"
        )
    changed = [name for name in shared if before[name] != after[name]]
    if changed:
        fields = unique(
            field
            for name in changed
            for field, value in asdict(before[name]).items()
            if value != asdict(after[name])[field]
        )
        raise ConfigurationError(
            f"the runs {runs} asked different things under the same name: {_some(changed)} "
            f"(differing in {', '.join(fields)}). Times of different queries are no pairs: run one suite twice"
        )
    return frozenset(shared)


def header_differences(first: RunHeader, second: RunHeader, pairs: Sequence[tuple[str, str]]) -> tuple[Difference, ...]:
    """In what the runs differ: as wholes, then in each pair of configurations (the first run's, the second's).

    Not among them are what always differs: ids, times, clocks, process ids.
    """
    whole = [
        Difference(field=field, first=before, second=after)
        for field, before, after in _paired(_run_fields(first), _run_fields(second))
    ]
    return (*whole, *configuration_differences(first, second, pairs))


def configuration_differences(
    first: RunHeader, second: RunHeader, pairs: Sequence[tuple[str, str]]
) -> tuple[Difference, ...]:
    """In what each pair of configurations differs: everything that was configured, and who then answered."""
    return tuple(
        Difference(field=field, first=before, second=after, configuration=other)
        for name, other in pairs
        for field, before, after in _paired(_configuration_fields(first, name), _configuration_fields(second, other))
    )


def another_server(differences: Sequence[Difference], name: str, partner: str) -> str:
    """That `name`, which is compared with its namesake, is another program there; '' where it is not."""
    found = [one for one in differences if one.configuration == name and one.field in _WHO]
    if not found or name != partner:
        return ""
    changes = ", ".join(f"{one.field} {one.first} -> {one.second}" for one in found)
    return f"{name} is another server in the second run: {changes}"


def _paired(first: Mapping[str, str], second: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for field in unique([*first, *second]):
        before, after = first.get(field, _ABSENT), second.get(field, _ABSENT)
        if before != after:
            yield field, before, after


def _run_fields(header: RunHeader) -> dict[str, str]:
    fields: dict[str, JsonValue] = {
        "suite": header.suite.name,
        "suite digest": header.suite.digest,
        "queries": len(header.suite.queries),
        "rounds": header.rounds,
        "concurrency": header.concurrency,
        "load": header.load,
        "seed": header.seed,
        **{f"machine {name}": value for name, value in header.machine.model_dump(mode="json").items()},
        **{f"version of {name}": version for name, version in header.versions.items()},
        "status": header.status,
    }
    for name in _SETTINGS:
        value = header.configuration.get(name)
        if isinstance(value, dict):
            fields |= {f"{name}.{key}": item for key, item in value.items()}
        else:
            fields[name] = value
    return _texts(fields)


def _configuration_fields(header: RunHeader, name: str) -> dict[str, str]:
    record = header.configurations.get(name)
    if record is None:
        return {}
    server = header.servers.get(record.server or "", ServerRecord())
    fields: dict[str, JsonValue] = {
        **settings_of(header, name),
        **record.model_dump(mode="json", exclude={"server"}),
        **{field: _limit(header, record, field) for field in _LIMITS},
        **{field: server.identity.get(field) for field in _IDENTITY},
        "blas": server.blas,
        "batched": server.batched,
    }
    return _texts({field.replace("_", " "): value for field, value in fields.items()})


def _limit(header: RunHeader, record: ConfigurationRecord, field: str) -> JsonValue:
    """As it was in force; of runs by versions that noted it for the whole run only, as it stood there."""
    own: JsonValue = getattr(record, field)
    return header.configuration.get(field) if own is None else own


def _texts(fields: Mapping[str, JsonValue]) -> dict[str, str]:
    """What was recorded, as text; what was not is left out."""
    return {
        field: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for field, value in fields.items()
        if value is not None
    }


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
