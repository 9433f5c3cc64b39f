from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from punie_trace.analysis.observations import observe
from punie_trace.analysis.summary import summarize
from punie_trace.errors import RunFolderError
from punie_trace.records import MachineSample, Outcome, Query, ToolCall, Verdict
from punie_trace.report import html_data
from punie_trace.report.html_data import data_block, embed, select
from punie_trace.report.page import html_report, write_html
from punie_trace.runs.outcome_line import encode_outcome
from punie_trace.runs.reader import RunRecord, read_run
from punie_trace.spans import names
from punie_trace.spans.codec import to_line
from punie_trace.spans.span import Span
from tests.synthetic_run import ARMS, QUERIES, Arm, write_run

HOSTILE = (
    "</script><script id=pwned>document.title='pwned'</script>",
    "</style></title><img src=x onerror=\"document.title='pwned'\">",
    "\"'><svg/onload=document.title='pwned'>&lt;script&gt;",
    "<!--<script>\u2028\u2029\x00\x1b[2J\u202egnp.exe",
    "half a pair: \ud83d, the other: \ude00",
    "{{constructor.constructor('alert(1)')()}} ${alert(1)} javascript:alert(1)",
)


class Page(HTMLParser):
    """What a browser would make of it: elements with their attributes, and what stands in scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: dict[str, str] = {}
        self.text = ""
        self._block: str | None = None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._block = dict(attrs).get("id") or tag if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:
        self._block = None

    def handle_data(self, data: str) -> None:
        if self._block is None:
            self.text += data
        else:
            self.blocks[self._block] = self.blocks.get(self._block, "") + data

    def data(self, block: str) -> Any:
        return json.loads(self.blocks[block])


def page_of(run: RunRecord) -> str:
    return html_report(run, summarize(run))


def hostile_run(folder: Path) -> RunRecord:
    """A run in which every text that others write is hostile, span names and results of tools included."""
    queries = tuple(
        Query(f"{text} {index}", text, "tool", (text,), category=text) for index, text in enumerate(HOSTILE)
    )
    verdicts = {(queries[0].name, 0): Verdict.ERROR}
    arm = Arm(verdicts=verdicts, errors={(queries[0].name, 0): "\n".join(HOSTILE)})
    arms = {HOSTILE[0]: arm, HOSTILE[1]: replace(arm, speed=2.0)}
    failures = {HOSTILE[2]: HOSTILE[3]}
    write_run(folder, arms, queries=queries, failures=failures, rounds=2)
    run = read_run(folder)
    outcomes = [_hostile(outcome) for outcome in run.outcomes]
    (folder / "outcomes.jsonl").write_bytes(b"".join(map(encode_outcome, outcomes)))
    spans = run.spans
    with (folder / "spans.jsonl").open("wb") as file:
        for row in spans:
            attributes = dict(row.attributes)
            if attributes.get(names.GEN_AI_OPERATION) == names.OPERATION_EXECUTE_TOOL:
                attributes |= {names.GEN_AI_TOOL_NAME: HOSTILE[0], names.GEN_AI_TOOL_RESULT: "".join(HOSTILE)}
            hostile = replace(row, name=HOSTILE[row.start_ns % 6], attributes=attributes, error=HOSTILE[1])
            file.write(to_line(hostile))
    return read_run(folder)


def _hostile(outcome: Outcome) -> Outcome:
    call = ToolCall(HOSTILE[0], {text: [text, {text: text}] for text in HOSTILE}, ok=False)
    return replace(outcome, answer="".join(HOSTILE), tool_calls=(call,), served_model=HOSTILE[1])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    arms: Mapping[str, Arm] = {
        **ARMS,
        "speculative-2": replace(ARMS["speculative-2"], verdicts={("async-await", 1): Verdict.BAD_ARGUMENTS}),
    }
    return read_run(write_run(tmp_path_factory.mktemp("runs") / "r", arms, failures={"broken": "no weights"}))


@pytest.fixture(scope="module")
def page(run: RunRecord) -> Page:
    return Page(page_of(run))


def test_it_shows_all_configurations_figures_and_definitions(run: RunRecord, page: Page) -> None:
    summary = summarize(run)
    for name in summary.configurations:
        assert name in page.text
    for text in (*summary.findings, *summary.definitions, *summary.definitions.values(), *summary.run.versions):
        assert text in page.text
    for text in (
        "speculative-3 is 1.",
        "as fast as baseline",
        "cannot tell",
        "failed",
        "broken failed: no weights",
        "5/5 (57-100%)",
        "'always a tool' could get 3/5 right",
        "median (95 %)",
        "speed-up (95 %)",
        "not observable",
        "server queue not observable: only the server knows",
        "tok/s (eff.)",
        "312 MiB*",
        "bad-arguments 1/3",
        "Each vertical line is where a round begins",
        "punie-trace run",
    ):
        assert text in page.text


def test_the_verdict_is_the_first_title(page: Page) -> None:
    tags = [tag for tag, _ in page.elements]
    assert tags.index("h1") < tags.index("h2")
    assert tags.count("h1") == 1


def test_nothing_in_it_is_loaded_from_anywhere(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form", "use", "image")
        assert tag == "a" or "href" not in attributes
        assert not {"src", "xlink:href", "action", "srcset", "style"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import", page.blocks["style"])
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|eval|Function|innerHTML|WebSocket)\b", page.blocks["script"])
    addresses = re.findall(r"https?://[^\"' <]*", page.blocks["style"] + page.blocks["script"])
    assert addresses == ["http://www.w3.org/2000/svg"]  # the name of a namespace, which nobody fetches


def test_its_links_lead_to_its_own_parts_and_to_all_of_them(page: Page) -> None:
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    parts = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    assert links == [f"#{part}" for part in parts]
    assert {"speed-up", "ledger", "query", "distributions", "time", "costs"} <= set(parts)  # what is asked first


def test_many_categories_are_folded_away_below_the_answer(tmp_path: Path, page: Page) -> None:
    assert "details" not in [tag for tag, _ in page.elements]
    queries = tuple(replace(QUERIES[0], name=f"q{n}", category=f"kind {n % 6}") for n in range(12))
    many = Page(page_of(read_run(write_run(tmp_path / "r", ARMS, queries=queries, rounds=1))))
    tags = [tag for tag, _ in many.elements]
    assert tags.count("details") == 1
    answers = [at["class"] for tag, at in many.elements[: tags.index("details")] if tag == "circle"]
    assert len(answers) == len(ARMS) - 1


def test_green_and_red_stand_beside_the_verdict_and_nowhere_else(tmp_path: Path) -> None:
    page = Page(page_of(read_run(write_run(tmp_path / "r"))))
    toned: dict[str, set[str | None]] = {}
    part = ""
    for tag, attributes in page.elements:
        part = (attributes["id"] or "") if tag == "section" else part
        if tag == "table":
            toned[f"{part} {len(toned)}"] = set()
        if tag == "tr":
            toned[list(toned)[-1]].add(attributes.get("class"))
    verdicts = page_of(read_run(tmp_path / "r")).count(">verdict</th>")
    assert [kinds for kinds in toned.values() if kinds != {None}] == [{None, "good"}] * verdicts
    assert len(toned) > verdicts > 1


def contrast(one: str, other: str) -> float:
    """WCAG 2.2: (lighter + 0.05) / (darker + 0.05), of relative luminances of sRGB."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_its_colours_can_be_told_from_what_is_behind_them(page: Page, scheme: int) -> None:
    """WCAG 2.2, 1.4.3 and 1.4.11: 4.5 for texts, 3 for what pictures are drawn with."""
    blocks = re.findall(r":root \{(.*?)\}", page.blocks["style"], re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6});", blocks[scheme]))
    for text in ("ink", "soft", "link", "good", "bad"):
        assert contrast(colours[text], colours["panel"]) >= 4.5, text
        assert contrast(colours[text], colours["page"]) >= 4.5, text
    for drawn in ("queue", "generation", "tool", "framework", "other", "dot", "good", "bad"):
        assert contrast(colours[drawn], colours["panel"]) >= 3, drawn


def test_only_its_own_script_and_style_may_run(page: Page) -> None:
    policy = next(at["content"] for tag, at in page.elements if at.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    scripts = [attributes for tag, attributes in page.elements if tag == "script"]
    assert [attributes.get("type") for attributes in scripts] == ["application/json", "application/json", None]


def test_every_query_has_a_row_and_its_texts(run: RunRecord, page: Page) -> None:
    rows, details = page.data("rows"), page.data("details")
    assert {len(column) for column in rows["columns"].values()} == {len(run.outcomes)}
    first = run.outcomes[0]
    assert rows["columns"]["wall"][0] == round(first.wall_ns / 1000)
    assert rows["queries"][rows["columns"]["query"][0]] == first.query
    lines = ("queue", "generation", "tool", "framework")
    total = sum(rows["columns"][line][0] for line in lines)
    assert abs(total - rows["columns"]["wall"][0]) <= len(lines)
    assert set(details["of"]) == {str(outcome.seq) for outcome in run.outcomes}
    shown = details["of"][str(first.seq)]
    assert shown["answer"] == first.answer
    assert len(shown["spans"]) == len(run.traces[first.trace_id])
    assert details["questions"][str(rows["columns"]["query"][0])] == QUERIES[0].text


def test_hostile_texts_are_texts(tmp_path: Path) -> None:
    run = hostile_run(tmp_path / "r")
    written = page_of(run)
    assert written.isascii()
    page = Page(written)
    scripts = [attributes for tag, attributes in page.elements if tag == "script"]
    assert len(scripts) == 3
    assert not {tag for tag, _ in page.elements} & {"img", "iframe"}
    assert not [one for _, one in page.elements if one.get("id") == "pwned" or "onload" in one or "onerror" in one]
    assert [attributes for tag, attributes in page.elements if tag == "svg" and "onload" in attributes] == []
    assert "\x00" not in written
    assert "\x1b" not in written
    assert HOSTILE[0] in page.text
    details = page.data("details")
    detail = details["of"]["0"]
    assert detail["answer"] == re.sub("[\ud800-\udfff]", "\ufffd", "".join(HOSTILE))
    assert detail["calls"][0][0] == HOSTILE[0]
    assert detail["calls"][0][3].startswith(HOSTILE[0])
    assert HOSTILE[4].encode("utf-8", "replace").decode() in details["names"]


def test_data_blocks_hold_nothing_that_ends_them() -> None:
    texts = ["</script>", "<!--", "]]>", "&amp;", "\u2028", "\U0001f600", "\\ud800", "\\\\udc00"]
    block = data_block([*texts, "\ud800", "\udc00.\ud800"])
    assert not set("<>&\u2028") & set(block)
    assert json.loads(block) == [*texts, "\ufffd", "\ufffd.\ufffd"]


def test_a_run_of_nothing_and_a_run_cut_off_have_a_page(tmp_path: Path) -> None:
    assert "Nothing was measured." in Page(page_of(read_run(write_run(tmp_path / "none", {})))).text
    folder = write_run(tmp_path / "cut", first=7)
    (folder / "spans.jsonl").unlink()
    page = Page(page_of(read_run(folder)))
    assert "killed" in page.text
    assert page.data("rows")["columns"]["generation"] == [None] * 7


def test_a_large_run_keeps_what_matters_with_its_partners(tmp_path: Path) -> None:
    queries = tuple(replace(QUERIES[0], name=f"q{n}") for n in range(60))
    wrong = {("q7", 0): Verdict.WRONG_ANSWER}
    run = read_run(write_run(tmp_path / "r", {"a": Arm(), "b": Arm(verdicts=wrong)}, queries=queries, rounds=1))
    chosen = select(run.outcomes, 20)
    assert len(chosen) == 20
    kept = {outcome.query for outcome in chosen}
    assert "q7" in kept
    assert max(run.outcomes, key=lambda one: one.wall_ns).query in kept
    assert {len([one for one in chosen if one.query == query]) for query in kept} == {2}
    assert [one.seq for one in chosen] == sorted(one.seq for one in chosen)
    embedded = embed(run, observe(run), most_rows=40, most_details=20)
    assert (embedded.rows_held, embedded.details_held, embedded.of) == (40, 20, 120)


def test_of_a_run_of_which_not_all_spans_were_read_it_shows_those_that_were(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", {"a": Arm(), "b": Arm()})
    whole = read_run(folder)
    kept = {one.trace_id: str(one.seq) for one in whole.outcomes if one.round == 1}
    rows = [to_line(span) for span in whole.spans if span.trace_id in kept]
    (folder / "spans.jsonl").write_bytes(b"".join(rows))
    run = read_run(folder)
    details = json.loads(embed(run, observe(run), most_details=12).details)
    assert len(details["of"]) == 12
    assert set(kept.values()) <= set(details["of"])
    page = Page(page_of(run))
    assert "a, b: 10 of 15 queries without spans" in page.text


def test_a_page_that_holds_a_part_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html_data, "MOST_TEXT", 3_000)
    page = Page(page_of(read_run(write_run(tmp_path / "r", {"a": Arm()}))))
    assert re.search(r"spans and texts of \d+ of 15 queries", page.text)


def test_long_texts_and_traces_are_cut_and_say_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", {"a": Arm(answers={QUERIES[0].name: "x" * 100_000})})
    trace = read_run(folder).outcomes[0].trace_id
    with (folder / "spans.jsonl").open("ab") as file:
        for n in range(300):
            row = Span(trace, f"{n + 1000:016x}", None, "more", "INTERNAL", 1, 2)
            file.write(to_line(row))
    detail = Page(page_of(read_run(folder))).data("details")["of"]["0"]
    assert detail["answer"].endswith("[... 94000 more characters]")
    assert len(detail["spans"]) == 200
    assert detail["left_out"] > 100


def test_the_critical_path_names_the_spans_that_were_waited_for(run: RunRecord, page: Page) -> None:
    details = page.data("details")
    assert "critical path: what the query waited for" in page.text
    for outcome in run.outcomes[:4]:
        detail = details["of"][str(outcome.seq)]
        path = detail["path"]
        stretches = list(zip(path[::3], path[1::3], path[2::3], strict=True))
        assert abs(sum(length for _, _, length in stretches) - outcome.wall_ns / 1000) <= len(stretches)
        assert [start for _, start, _ in stretches] == sorted(start for _, start, _ in stretches)
        for place, start, length in stretches:  # each lies within the bar that it names
            _, _, _, bar_start, bar_length, *_ = detail["spans"][place]
            assert bar_start - 1 <= start
            assert start + length <= bar_start + bar_length + 2


def test_a_tool_that_ran_beside_a_longer_one_is_not_on_the_path(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", {"a": Arm()}, rounds=1)
    run = read_run(folder)
    outcome = run.outcomes[0]
    tool = next(one for one in run.traces[outcome.trace_id] if one.name == "execute_tool")
    beside = replace(tool, span_id="f" * 16, name="beside", start_ns=tool.start_ns + 1000, end_ns=tool.end_ns - 1000)
    with (folder / "spans.jsonl").open("ab") as file:
        file.write(to_line(beside))
    details = Page(page_of(read_run(folder))).data("details")
    detail = details["of"][str(outcome.seq)]
    on_path = {details["names"][detail["spans"][place][0]] for place in detail["path"][::3]}
    assert "execute_tool" in on_path
    assert "beside" in details["names"]
    assert "beside" not in on_path


def test_disturbed_rounds_are_shaded_over_time_and_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r")
    whole = read_run(folder)
    assert 'class="disturbed"' not in page_of(whole)
    second = [one for one in whole.outcomes if one.round == 1]
    sample = MachineSample(second[0].due_ns, second[-1].done_ns, other_cpu=0.5)
    (folder / "conditions.jsonl").write_text(json.dumps(asdict(sample)) + "\n")
    page = Page(page_of(read_run(folder)))
    bands = [at for tag, at in page.elements if tag == "rect" and at.get("class") == "disturbed"]
    assert len(bands) == len(ARMS)  # one in each configuration's chart
    begin = whole.outcomes[0].due_ns
    last = whole.outcomes[-1].due_ns
    place = (second[0].due_ns - begin) / (last - begin) * 100
    assert float((bands[0]["x"] or "").rstrip("%")) == pytest.approx(place, abs=0.01)
    assert 20 < float((bands[0]["width"] or "").rstrip("%")) < 50
    assert "Shaded: round 1 is disturbed" in page.text


def test_the_same_run_makes_the_same_page(run: RunRecord) -> None:
    assert page_of(run) == page_of(read_run(run.folder))


def test_answers_that_differ_beyond_the_cut_are_not_called_the_same(tmp_path: Path) -> None:
    start = "x" * 10_000
    arms = {"a": Arm(answers={QUERIES[0].name: start + "1"}), "b": Arm(answers={QUERIES[0].name: start + "2"})}
    run = read_run(write_run(tmp_path / "r", arms, rounds=1))
    one, other = (Page(page_of(run)).data("details")["of"][seq] for seq in ("0", "1"))
    assert one["answer"] == other["answer"]
    assert one["digests"][0] == other["digests"][0]
    assert one["digests"][1] != other["digests"][1]


def test_a_model_that_is_a_path_does_not_tell_where_home_is(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", {"a": Arm()}, rounds=1)
    names_of = ("/home/ann/.cache/models/1f/target", "org/model", "/models/m")
    outcomes = [replace(one, served_model=name) for one, name in zip(read_run(folder).outcomes, names_of, strict=False)]
    (folder / "outcomes.jsonl").write_bytes(b"".join(map(encode_outcome, outcomes)))
    details = Page(page_of(read_run(folder))).data("details")["of"]
    assert [details[str(seq)]["model"] for seq in range(3)] == [".../1f/target", "org/model", "/models/m"]


def test_it_is_written_whole_or_the_error_is_clear(run: RunRecord, tmp_path: Path) -> None:
    path = write_html(tmp_path, "<p>")
    assert path.read_text() == "<p>"
    assert not list(tmp_path.glob(".*.tmp"))
    with pytest.raises(RunFolderError, match="--format html' makes the page again"):
        write_html(tmp_path / "gone", "<p>")
