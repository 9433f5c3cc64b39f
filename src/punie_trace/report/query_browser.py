"""The parts of the page that its script fills: one query beside another, and the table of all queries.

This is the markup around them; what the script shows comes from the data blocks of `html_data`.
"""

from __future__ import annotations

from typing import Final

from punie_trace.report.html_data import Embedded
from punie_trace.report.html_text import tag
from punie_trace.report.model import Note, Picture, Section, section

_WITHOUT_SCRIPT: Final = (
    '<noscript><p class="note">This part is drawn by a script, which is switched off here.</p></noscript>'
)
_CHOSEN: Final = "the slowest, the fastest, those that are not right, and their partners"


def one_query(embedded: Embedded) -> tuple[Section, ...]:
    """The spans and texts of one query, beside its partner in another configuration."""
    if not embedded.details_held:
        return ()
    selects = "".join(
        f'<label>{word}<select id="{name}"></select></label>'
        for name, word in (("pick-query", "query"), ("pick-round", "round"), ("pick-a", "left"), ("pick-b", "right"))
    )
    legend = "".join(
        tag("li", f'<i class="key {kind}"></i>{word}')
        for kind, word in (
            ("generation", "generation"),
            ("tool", "tool"),
            ("other", "other spans"),
            ("path", "critical path: what the query waited for"),
        )
    )
    markup = (
        _WITHOUT_SCRIPT
        + tag("div", selects, "picks")
        + tag("ul", legend, "legend")
        + '<p id="question"></p><p id="same" class="note" aria-live="polite"></p><div id="sides"></div>'
    )
    explained = (
        "One row a span, from due to done, on one time scale for both sides. Small marks within a generation: "
        "first byte, end of prefill, first and last chunk, where they were seen. The line below a bar is the part "
        "of the critical path that is this span's own; a span without one ran beside what was waited for, or has "
        "spans below it that take all its time."
    )
    held = (
        f"This page holds the spans and texts of {embedded.details_held} of {embedded.of} queries: {_CHOSEN}; the "
        "run's folder holds all."
    )
    left_out = Note(held if embedded.details_held < embedded.of else "")
    shown = Picture(lambda: markup), Note(explained), left_out
    return (section("query", "One query, side by side", *shown, page_only=True),)


def all_queries(embedded: Embedded) -> tuple[Section, ...]:
    """A table of every query, to be sorted and filtered."""
    if not embedded.rows_held:
        return ()
    filters = (
        '<label>configuration<select id="only-configuration"></select></label>'
        '<label>verdict<select id="only-verdict"></select></label>'
        '<label>category<select id="only-category"></select></label>'
        '<label>find<input id="find" type="search" placeholder="query or category"></label>'
    )
    markup = (
        _WITHOUT_SCRIPT
        + tag("div", filters, "picks")
        + '<p id="count" class="note" aria-live="polite"></p>'
        + '<div class="scroll"><table id="table"><thead><tr></tr></thead><tbody></tbody></table></div>'
        + '<button id="more" type="button" hidden>show more</button>'
    )
    explained = "A click on a title sorts; a click on a query shows it above, side by side with its partner."
    held = f"This page lists {embedded.rows_held} of {embedded.of} queries: {_CHOSEN}; outcomes.jsonl lists all."
    left_out = Note(held if embedded.rows_held < embedded.of else "")
    return (section("queries", "All queries", Picture(lambda: markup), Note(explained), left_out, page_only=True),)
