"""A run's document as one page that needs no network: figures as markup, each query on demand by a small script.

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
from string import Template
from typing import Final

from punie_trace.analysis.figures import Summary
from punie_trace.analysis.observations import Observation, observe
from punie_trace.errors import RunFolderError
from punie_trace.report import svg
from punie_trace.report.html_data import embed
from punie_trace.report.html_text import contents, items, note, pairs, table, tag, text, unbroken
from punie_trace.report.html_text import section as html_section
from punie_trace.report.model import (
    Block,
    Document,
    Facts,
    Items,
    Note,
    Picture,
    Section,
    StackedBars,
    Table,
    Tables,
)
from punie_trace.report.pictures import page_sections
from punie_trace.report.run_document import LEDGER_LINES, run_document
from punie_trace.runs.reader import RunRecord

HTML_FILE: Final = "report.html"


def html_report(run: RunRecord, summary: Summary, observed: Mapping[str, Sequence[Observation]] | None = None) -> str:
    """The whole page, in ASCII. `summary` is that of `run`; `observed` what `observe(run)` gives, if it is at hand."""
    observed = observe(run) if observed is None else observed
    embedded = embed(run, observed)
    document = run_document(summary, pictures=page_sections(run, summary, observed, embedded))
    style, script = _asset("report.css"), _asset("report.js")
    page = Template(_asset("page.html")).substitute(
        policy=_policy(style, script),
        title=text(f"{summary.run.suite}, {summary.run.id}: punie_trace"),
        style=style,
        script=script,
        body=_body(document, summary),
        rows=embedded.rows,
        details=embedded.details,
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


def _body(document: Document, summary: Summary) -> str:
    about = html_section("run", "About this run", pairs((*document.facts.entries, *_made_with(document))))
    shown = [(one, _section(one)) for one in document.sections]
    links = [(one.key, one.title) for one, markup in shown if markup] + [("run", "About this run")]
    return _header(document, summary) + contents(links) + "".join(markup for _, markup in shown) + about


def _header(document: Document, summary: Summary) -> str:
    run, verdict = summary.run, document.headline
    brand = tag("p", f"{tag('b', 'punie_trace')} {text(run.id)}", "brand")
    facts = tag("p", text(f"{run.started:%Y-%m-%d %H:%M %Z}".rstrip() + f", {run.status}. {document.title}"), "note")
    if verdict is None:
        return tag("header", brand + facts)
    heading = tag("h1", unbroken(text(verdict.text)), verdict.tone)
    return tag("header", brand + facts + heading + (tag("p", text(verdict.detail), "detail") if verdict.detail else ""))


def _made_with(document: Document) -> list[tuple[str, str]]:
    return [("made with", command) for command in document.commands]


def _section(one: Section) -> str:
    return html_section(one.key, one.title, *map(_block, one.blocks))


def _block(one: Block) -> str:
    match one:
        case Table():
            return _table(one)
        case Tables(tables=tables):
            return "".join(tag("h3", text(table.title)) + _table(table) for table in tables)
        case Note(text=words):
            return note(words)
        case Items(texts=texts):
            return items(texts, "findings")
        case Facts(entries=entries):
            return pairs(entries)
        case StackedBars():
            return _bars(one)
        case Picture(draw=draw):
            return draw()


def _table(one: Table) -> str:
    columns = [(column.title, column.numeric) for column in one.columns]
    return table(one.names, columns, [(row.name, row.cells, row.tone) for row in one.rows])


def _bars(figure: StackedBars) -> str:
    """A stacked bar for each on one scale, with what it is made of below it."""
    rows = []
    for bar in figure.bars:
        if bar.name:
            rows.append(tag("p", tag("b", text(bar.name)) + tag("span", text(f"mean {bar.total}")), "row"))
        parts = [(part.kind.replace("_", "-"), part.value) for part in bar.parts]
        rows.append(svg.stacked_bar(parts, figure.longest, bar.detail) + note(bar.detail))
    legend = "".join(tag("li", f'<i class="key {line.replace("_", "-")}"></i>{word}') for line, word in LEDGER_LINES)
    return tag("ul", legend, "legend") + tag("div", "".join(rows), "plot")


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode("ascii")).digest()).decode("ascii")


def _asset(name: str) -> str:
    return files("punie_trace.report").joinpath(name).read_text(encoding="ascii")
