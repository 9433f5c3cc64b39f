"""A document as markdown for a pull request or an issue: the verdict, the tables, and the command behind them.

What people who publish figures are asked for stands in it: machine, versions, models, how much was asked, how it was
served, a row for each configuration, what to know before trusting it. Everything is escaped here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from punie_trace.analysis.gates import GateResult
from punie_trace.report.gate_lines import reading_words, verdict_words
from punie_trace.report.markdown_text import block, code, inline, items, table, text
from punie_trace.report.model import Block, Document, Facts, Items, Note, Section, Table, Tables

_MOST_ITEMS: Final = 8


def document_markdown(document: Document) -> str:
    """The whole document; gates come first, since they are what a reviewer looks for."""
    parts = [f"### {text(document.title)}"]
    if document.headline is not None:
        parts.append(f"**{text(document.headline.text)}** {text(document.headline.detail)}".rstrip())
    if document.gates:
        parts.append(_gates(document.gates))
    parts.append(_facts(document.facts))
    for section in document.sections:
        parts += _section(section)
    if document.commands:
        parts.append("Made again by:\n\n" + block("\n".join(document.commands)))
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> Iterator[str]:
    if section.page_only:
        return
    shown = [part for one in section.blocks for part in _block(one)]
    if not shown:
        return
    if section.key == "definitions":
        listed = "\n\n".join(shown)
        yield f"<details><summary>{section.title}</summary>\n\n{listed}\n\n</details>"
        return
    yield f"**{text(section.title)}**"
    yield from shown


def _block(one: Block) -> Iterator[str]:
    match one:
        case Table():
            yield _table(one)
        case Tables(tables=tables):
            yield from map(_table, tables)
        case Note(text=words):
            yield text(words)
        case Items(texts=texts):
            shown = [text(words) for words in texts[:_MOST_ITEMS]]
            if len(texts) > len(shown):
                shown.append(f"and {len(texts) - len(shown)} more")
            yield items(shown)
        case Facts():
            yield _facts(one)


def _facts(facts: Facts) -> str:
    return items([f"{text(word)}: {text(value)}" for word, value in facts.entries])


def _table(one: Table) -> str:
    titles = [inline(one.title or one.names), *(inline(column.title) for column in one.columns)]
    rows = [[code(row.name), *map(inline, row.cells)] for row in one.rows]
    return table(titles, rows, [False, *(column.numeric for column in one.columns)])


def _gates(gates: Sequence[GateResult]) -> str:
    """A row for each gate, and what each configuration showed for it."""
    rows = [
        (
            "ok" if gate.holds else "**FAILED**",
            code(gate.gate),
            verdict_words(gate),
            "<br>".join(f"{code(one.configuration)} {text(reading_words(gate, one))}" for one in gate.readings)
            or text(gate.why),
        )
        for gate in gates
    ]
    return table(("", "gate", "verdict", "reading"), rows, (False,) * 4)
