"""The report as one page that needs no network: figures and charts as markup, each query on demand by a small script.

What a model, a server or a suite wrote is text in it and nothing else: markup goes through `html_text`, data is JSON in
blocks that are never run, and a content security policy lets only this page's own script and style in, by their
digests. Figures come from the summary; nothing is computed here.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

from punie_trace.analysis.disturbances import round_spans
from punie_trace.analysis.figures import Summary
from punie_trace.analysis.observations import Observation, observe
from punie_trace.analysis.waterfall import warm_ups
from punie_trace.errors import RunFolderError
from punie_trace.report.html_charts import distributions, over_time
from punie_trace.report.html_data import Embedded, embed
from punie_trace.report.html_figures import (
    all_figures,
    definitions,
    first_screen,
    speed_ups,
    what_to_know,
    where_answers_part,
    work_factors,
)
from punie_trace.report.html_text import note, section, tag, text
from punie_trace.report.html_time import slowest_path, where_time_goes
from punie_trace.runs.reader import RunRecord

HTML_FILE: Final = "report.html"


def html_report(run: RunRecord, summary: Summary, observed: Mapping[str, Sequence[Observation]] | None = None) -> str:
    """The whole page, in ASCII. `summary` is that of `run`; `observed` what `observe(run)` gives, if it is at hand."""
    observed = observe(run) if observed is None else observed
    embedded = embed(run, observed)
    style, script = _asset("report.css"), _asset("report.js")
    body = "".join(
        [
            first_screen(summary),
            what_to_know(summary),
            speed_ups(summary),
            work_factors(summary),
            where_time_goes(summary),
            distributions(summary, observed),
            over_time(observed, warm_ups(run.spans), _disturbed(run, summary)),
            slowest_path(summary),
            _one_query(embedded),
            where_answers_part(summary),
            _all_queries(embedded),
            all_figures(summary),
            definitions(summary),
        ]
    )
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(style, script)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(f'{summary.run.suite}, {summary.run.id}: punie_trace')}</title>\n"
        f"<style>{style}</style>\n</head>\n<body>\n<main>{body}</main>\n"
        f'<script type="application/json" id="rows">{embedded.rows}</script>\n'
        f'<script type="application/json" id="details">{embedded.details}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )
    # In ASCII a page reads the same whatever encoding is assumed, and half a surrogate pair has a form.
    return page.encode("ascii", "xmlcharrefreplace").decode("ascii")


def write_html(run_folder: Path, page: str) -> Path:
    """Write `report.html` whole, or leave the one that is there; returns its path. Raises `RunFolderError`."""
    path = run_folder / HTML_FILE
    unfinished = run_folder / f".{HTML_FILE}.tmp"
    try:
        unfinished.write_text(page, encoding="ascii", newline="\n")
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise RunFolderError(
            f"{path}: cannot be written ({error.strerror}). The run itself is kept: make space or the folder writable, "
            f"then 'punie-trace report {run_folder} --format html' makes the page again"
        ) from error
    return path


def _disturbed(run: RunRecord, summary: Summary) -> list[tuple[int, int, int]]:
    """Each disturbed round with its beginning and end, in ns on the run's clock, those asked again too."""
    if not summary.disturbed_rounds:
        return []
    spans = round_spans(run.outcomes)
    return [(number, *spans[number]) for number in summary.disturbed_rounds if number in spans]


def _one_query(embedded: Embedded) -> str:
    if not embedded.details_held:
        return ""
    held = (
        ""
        if embedded.details_held == embedded.of
        else f"This page holds the spans and texts of {embedded.details_held} of {embedded.of} queries: the slowest, "
        "the fastest, those that are not right, and their partners; the run's folder holds all."
    )
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
    return section(
        "query",
        "One query, side by side",
        '<noscript><p class="note">This part is drawn by a script, which is switched off here.</p></noscript>',
        tag("div", selects, "picks"),
        tag("ul", legend, "legend"),
        '<p id="question"></p><p id="same" class="note"></p><div id="sides"></div>',
        note(
            "One row a span, from due to done, on one time scale for both sides. Small marks within a generation: "
            "first byte, end of prefill, first and last chunk, where they were seen. The line below a bar is the part "
            "of the critical path that is this span's own; a span without one ran beside what was waited for, or has "
            "spans below it that take all its time."
        ),
        note(held),
    )


def _all_queries(embedded: Embedded) -> str:
    if not embedded.rows_held:
        return ""
    held = (
        ""
        if embedded.rows_held == embedded.of
        else f"This page lists {embedded.rows_held} of {embedded.of} queries: the slowest, the fastest, those that are "
        "not right, and their partners; outcomes.jsonl lists all."
    )
    filters = (
        '<label>configuration<select id="only-configuration"></select></label>'
        '<label>verdict<select id="only-verdict"></select></label>'
        '<label>category<select id="only-category"></select></label>'
        '<label>find<input id="find" type="search" placeholder="query or category"></label>'
    )
    return section(
        "queries",
        "All queries",
        '<noscript><p class="note">This part is drawn by a script, which is switched off here.</p></noscript>',
        tag("div", filters, "picks"),
        '<p id="count" class="note" aria-live="polite"></p>',
        '<div class="scroll"><table id="table"><thead><tr></tr></thead><tbody></tbody></table></div>',
        '<button id="more" type="button" hidden>show more</button>',
        note("A click on a title sorts; a click on a query shows it above, side by side with its partner."),
        note(held),
    )


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode("ascii")).digest()).decode("ascii")


def _asset(name: str) -> str:
    return files("punie_trace.report").joinpath(name).read_text(encoding="ascii")
