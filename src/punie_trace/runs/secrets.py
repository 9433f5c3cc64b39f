"""Secrets that a run was given, kept out of all that it writes: by their value wherever they turn up.

Keys have no place in a configuration (`api_key_env` names a variable), but a command line, a URL or a server's
environment can hold one, and a server may repeat the key that it refuses. So two things are done. What is called like
a secret (`--api-key X`, `?token=X`, `user:X@`, `Authorization: Bearer X`) is hidden at its own place; and each value
found so, or in a variable that is called like one, is hidden everywhere: in the header, in outcomes, spans and logs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import quote, quote_plus, unquote

from pydantic import JsonValue

from punie_trace.records import Outcome
from punie_trace.spans.span import AttributeValue, Span

HIDDEN: Final = "***"
SHORTEST: Final = 8
"""Characters of a value that is hidden wherever it turns up: a shorter one may be a word like any other."""
_WORDS: Final = "api_?-?key|apikey|key|token|secret|passw(?:or)?d|passphrase|credentials?|signature|pat"
_NAME: Final = rf"(?:[\w.-]{{0,60}}[_.-])?(?:{_WORDS})"
_IS_SECRET: Final = re.compile(rf"(?i)--?{_NAME}|{_NAME}")
_NO_SECRET: Final = re.compile(
    r"(?i)-*(?:[\w.-]{0,60}[_.-])?(?:eos|bos|pad|unk|sep|cls|mask|stop|image|audio)[_-]?token"
)
_ASSIGNED: Final = re.compile(rf"(?is)(--?{_NAME}|{_NAME})=(.*)")
_USER_INFO: Final = re.compile(r"(?<=://)([^/@\s]+)@")
_QUERY: Final = re.compile(rf"(?i)([?&;]{_NAME}=)([^&;\s#]+)")
_HEADER: Final = re.compile(
    rf"(?i)((?:proxy-)?authorization\s*[:=]\s*(?:(?:bearer|basic|token)\s+)?|x-{_NAME}\s*[:=]\s*|bearer\s+)([^\s,;\"']+)"
)


class Secrets:
    """The values to be hidden. Without any, everything passes as it is, at no cost."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        found: set[str] = set()
        for value in values:
            if len(value.strip()) >= SHORTEST:
                plain = value.strip()
                escaped = json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1]
                found |= {plain, quote(plain, safe=""), quote_plus(plain), *escaped}
        self.values: Final = tuple(sorted(found, key=len, reverse=True))
        """In every form in which they may turn up; the longest first, as one may hold another."""
        self._pattern = re.compile("|".join(map(re.escape, self.values))) if found else None

    def __bool__(self) -> bool:
        return self._pattern is not None

    def hide(self, text: str) -> str:
        """`text` without them; it may hold JSON, or a URL."""
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)

    def hide_in(self, value: JsonValue) -> JsonValue:
        """`value` without them, in keys as in values."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, dict):
            return {self.hide(key): self.hide_in(item) for key, item in value.items()}
        return [self.hide_in(item) for item in value] if isinstance(value, list | tuple) else value

    def hide_in_outcome(self, outcome: Outcome) -> Outcome:
        """The outcome without them: in the answer, the error, and the tool calls."""
        if self._pattern is None:
            return outcome
        calls = tuple(
            replace(
                call,
                name=self.hide(call.name),
                arguments={self.hide(key): self.hide_in(value) for key, value in call.arguments.items()},
                refused=None if call.refused is None else self.hide(call.refused),
            )
            for call in outcome.tool_calls
        )
        error = None if outcome.error is None else self.hide(outcome.error)
        return replace(outcome, answer=self.hide(outcome.answer), error=error, tool_calls=calls)

    def hide_in_span(self, span: Span) -> Span:
        """The span without them: in its name, its error, its attributes and those of its events."""
        if self._pattern is None or not any(self._pattern.search(text) for text in _texts(span)):
            return span
        return replace(
            span,
            name=self.hide(span.name),
            attributes=self._hide_in(span.attributes),
            events=tuple(replace(event, attributes=self._hide_in(event.attributes)) for event in span.events),
            error=None if span.error is None else self.hide(span.error),
        )

    def _hide_in(self, attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
        return {key: self._hide_in_value(value) for key, value in attributes.items()}

    def _hide_in_value(self, value: AttributeValue) -> AttributeValue:
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, tuple):
            return tuple(self.hide(one) if isinstance(one, str) else one for one in value)
        return value


def _texts(span: Span) -> Iterator[str]:
    yield span.name
    if span.error is not None:
        yield span.error
    for attributes in (span.attributes, *(event.attributes for event in span.events)):
        for value in attributes.values():
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, str):
                    yield one


def is_secret_name(name: str) -> bool:
    """Whether a flag, a variable or a parameter is called like a secret."""
    return _IS_SECRET.fullmatch(name) is not None and _NO_SECRET.fullmatch(name) is None


def secrets_in_environment(environ: Mapping[str, str]) -> set[str]:
    """The values of variables that are called like a secret, and what OTLP headers and Logfire's token hold."""
    found = {value for name, value in environ.items() if is_secret_name(name) and not value.startswith("/")}
    for name, value in environ.items():
        if name.startswith("OTEL_EXPORTER_OTLP") and name.endswith("HEADERS"):
            for pair in value.split(","):
                held = unquote(pair.partition("=")[2].strip())
                found |= {held, held.rpartition(" ")[2]}
        elif name == "LOGFIRE_TOKEN":
            found |= set(value.split(","))
    return found


def secrets_in_words(words: Sequence[str]) -> set[str]:
    """The values that a command line holds: after and within flags called like a secret, in URLs and in headers."""
    found: set[str] = set()
    for word, after in zip(words, [*words[1:], ""], strict=False):
        if word.startswith("-") and is_secret_name(word) and not after.startswith("--"):
            found.add(after)
        elif (assigned := _assigned(word)) is not None:
            found.add(assigned[1])
        found |= {held for _, held in _QUERY.findall(word)} | {held for _, held in _HEADER.findall(word)}
        for user_info in _USER_INFO.findall(word):
            found.add(unquote(user_info.partition(":")[2] or user_info))
    return found


def redacted_words(words: Sequence[str]) -> list[str]:
    """A command line with what is called like a secret hidden at its place."""
    shown: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        follows = before.startswith("-") and is_secret_name(before) and not word.startswith("--")
        shown.append(HIDDEN if follows else without_secrets(word))
    return shown


def without_secrets(text: str) -> str:
    """One word or URL with what is called like a secret hidden at its place, and what stands before the @ of a URL."""
    if (assigned := _assigned(text)) is not None:
        return f"{assigned[0]}={HIDDEN}"
    text = _QUERY.sub(rf"\g<1>{HIDDEN}", _USER_INFO.sub(f"{HIDDEN}@", text))
    return _HEADER.sub(rf"\g<1>{HIDDEN}", text)


def redacted(value: JsonValue, key: str = "") -> JsonValue:
    """`value` with its texts cleaned; hidden are all values of an `environment`, and what has a secret's name."""
    if isinstance(value, str):
        return HIDDEN if value and is_secret_name(key) else without_secrets(value)
    if isinstance(value, Mapping):
        return {name: HIDDEN if key == "environment" else redacted(item, name) for name, item in value.items()}
    if isinstance(value, list):
        words = [item for item in value if isinstance(item, str)]
        return list(redacted_words(words)) if len(words) == len(value) else [redacted(item) for item in value]
    return value


def _assigned(word: str) -> tuple[str, str] | None:
    """(name, value) of `--api-key=value` or `API_KEY=value`."""
    found = _ASSIGNED.fullmatch(word)
    return (found[1], found[2]) if found is not None and is_secret_name(found[1]) else None
