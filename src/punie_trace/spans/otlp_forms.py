"""What the lines of spans have in common that differ in numbers alone, so that most are read by their numbers.

A run writes tens of thousands of spans with the same attributes and events in the same places: the text around the
numbers is looked up whole, and what it stands for was worked out once. A text that is not known here is read in full,
which is `otlp_json`'s part; so is what makes a line one of these.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from punie_trace.spans.span import AttributeValue, SpanEvent

_NUMBER: Final = re.compile(r'":"(?<!stringValue":")(-?\d+)"')
_MARK: Final = "\0"
"""Stands for a number; no JSON holds it as it is."""
_MOST: Final = 1024
_LONGEST: Final = 2048
"""Characters of a text that is worth keeping: longer ones hold texts of a model, and do not come again."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a text stands for. `attributes` hold some number where `integers` take their place, in the order in which
    they are written; `events` are names and attributes of the events, whose times are the numbers after those.
    """

    attributes: dict[str, AttributeValue]
    integers: tuple[str, ...]
    events: tuple[tuple[str, dict[str, AttributeValue]], ...]

    def filled(self, numbers: Sequence[str]) -> tuple[dict[str, AttributeValue], tuple[SpanEvent, ...]]:
        """Attributes and events with these numbers. Raises ValueError where they are too few or too many."""
        values = list(map(int, numbers))
        attributes = self.attributes.copy()
        attributes.update(zip(self.integers, values, strict=False))  # the rest of the numbers are times
        timed = zip(self.events, values[len(self.integers) :], strict=True)
        return attributes, tuple([SpanEvent(name, at, more) for (name, more), at in timed])


FORMS: Final[dict[str, Form]] = {}
"""The forms that are known, by their text."""


def without_numbers(text: str) -> tuple[str, list[str]]:
    """`text` (of a span, from its first attribute on) with a mark in the place of each number, and the numbers.

    ('', []) for a text so long that it is not worth it.
    """
    if len(text) > _LONGEST:
        return "", []
    parts = _NUMBER.split(text)
    return _MARK.join(parts[::2]), parts[1::2]


def remember(
    static: str, numbers: Sequence[str], attributes: dict[str, AttributeValue], events: Sequence[SpanEvent]
) -> None:
    """Keeps what the text `static` stands for, if filling it with `numbers` gives what was read of it in full."""
    integers = tuple(key for key, value in attributes.items() if type(value) is int)
    if len(numbers) != len(integers) + len(events):
        return
    form = Form(attributes.copy(), integers, tuple((event.name, event.attributes) for event in events))
    if form.filled(numbers) != (attributes, tuple(events)):
        return
    if len(FORMS) >= _MOST:
        FORMS.clear()
    FORMS[static] = form
