"""The page in a real browser, where one is installed: its script runs, draws, and obeys no hostile text.

And it is held against axe, Deque's rules for who uses a keyboard or a screen reader, where npm can be asked for it, and
measured with a large run on it, as wide as a desk's screen and as narrow as a phone's.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from punie_trace.analysis.summary import summarize
from punie_trace.records import Verdict
from punie_trace.report.page import html_report
from punie_trace.runs.reader import RunRecord, read_run
from tests.report.test_page import HOSTILE, hostile_run
from tests.synthetic_run import ARMS, QUERIES, Arm, write_run

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=5000 --dump-dom"
)
DARK = "--blink-settings=preferredColorScheme=0"
AXE = "node_modules/axe-core/axe.min.js"

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")


class Opened(HTMLParser):
    """The page after its script ran."""

    def __init__(self, dom: str, console: list[str]) -> None:
        super().__init__()
        self.dom = dom
        self.console = console
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(dom)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def part(self, first: str, last: str) -> str:
        return self.dom[self.dom.index(first) : self.dom.index(last)]


def opened(run: RunRecord, folder: Path, *, appended: str = "", guarded: bool = True) -> Opened:
    """The page of `run` in the browser; not `guarded`: without its policy, so that a test may press its buttons."""
    return shown(html_report(run, summarize(run)), folder, appended=appended, guarded=guarded)


def shown(written: str, folder: Path, *flags: str, appended: str = "", guarded: bool = False) -> Opened:
    page = folder / "page.html"
    written += appended
    page.write_text(written if guarded else re.sub(r"<meta http-equiv[^>]*>", "", written))
    return browsed(page, *flags)


FRAME = """<!doctype html><script>
addEventListener("message", ({ data: [name, value] }) => document.documentElement.setAttribute("data-" + name, value));
</script>"""


def measured(written: str, folder: Path, width: int, script: str, *flags: str) -> dict[str, Any]:
    """What `script`, run in the page, gave to `keep`. In a frame: no window is less than 500 wide."""
    keep = """const keep = (name, value) => parent.postMessage([name, JSON.stringify(value)], "*");"""
    (folder / "inner.html").write_text(
        re.sub(r"<meta http-equiv[^>]*>", "", written) + f"<script>{keep}\n{script}</script>"
    )
    outer = folder / "outer.html"
    outer.write_text(f'{FRAME}<iframe src="inner.html" width="{width}" height="900" style="border: 0"></iframe>')
    page = browsed(outer, "--window-size=1400,1000", "--hide-scrollbars", *flags)
    assert page.console == []
    root = next(attributes for tag, attributes in page.elements if tag == "html")
    return {name.removeprefix("data-"): json.loads(value or "") for name, value in root.items()}


def browsed(page: Path, *flags: str) -> Opened:
    assert BROWSER is not None
    command = [BROWSER, *FLAGS.split(), *flags, f"--user-data-dir={page.parent / 'profile'}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Opened(done.stdout, console)


def test_the_script_fills_table_and_waterfalls(tmp_path: Path) -> None:
    page = opened(read_run(write_run(tmp_path / "r")), tmp_path)
    assert page.console == []
    root = next(attributes for tag, attributes in page.elements if tag == "html")
    assert int(root["data-ready"] or "") < 5_000
    table = page.part('id="table"', 'id="more"')
    assert table.count("<tr>") == 1 + 60
    assert table.count('aria-sort="descending"') == 1
    assert "not observable" in table
    sides = page.part('id="sides"', 'id="queries"')
    assert sides.count('class="side"') == 2
    assert sides.count('<rect class="generation"') >= 4
    assert sides.count("<pre>") >= 2
    assert sides.count('<rect class="path"') >= 8
    assert "of it on the critical path" in sides
    assert "The same tool calls, the same answer to the letter." in page.dom
    assert len(re.findall(r"<option", page.part('id="pick-query"', 'id="pick-round"'))) == 5


def test_hostile_texts_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    page = opened(hostile_run(tmp_path / "r"), tmp_path)
    assert page.console == []
    tags = [tag for tag, _ in page.elements]
    assert "img" not in tags
    assert tags.count("script") == 3
    assert not [at for _, at in page.elements if at.get("id") == "pwned" or {"onload", "onerror"} & at.keys()]
    assert "<title>pwned" not in page.dom
    sides = page.part('id="sides"', 'id="queries"')
    assert HOSTILE[0].replace("<", "&lt;").replace(">", "&gt;") in sides
    assert "\u202e" not in page.part('id="table"', 'id="more"')


def test_a_script_that_is_not_the_pages_own_is_refused(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "r", first=4))
    page = opened(run, tmp_path, appended="<script>document.title = 'pwned'</script>")
    assert "<title>pwned" not in page.dom
    assert any("Content Security Policy" in line for line in page.console)


PRESSES = """<script>
const say = (name, value) => document.documentElement.setAttribute("data-" + name, JSON.stringify(value));
const cells = (n) => [...document.querySelectorAll("#table tbody tr")].map((row) => row.cells[n].textContent);
const title = (text) => [...document.querySelectorAll("#table th button")].find((one) => one.textContent === text);
const choose = (id, text) => {
  const select = document.getElementById(id);
  select.value = [...select.options].find((one) => one.textContent === text).value;
  select.dispatchEvent(new Event("change"));
};
title("seq").click(); title("seq").click();
say("seq", cells(16));
title("TTFT").click();
say("ttft", cells(9));
choose("only-configuration", "speculative-2");
choose("only-verdict", "all but correct");
say("wrong", cells(0));
document.querySelector("#table tbody button").click();
const picked = (id) => document.getElementById(id).selectedOptions[0].textContent;
say("picked", ["pick-query", "pick-round", "pick-a"].map(picked));
choose("pick-b", "speculative-3");
say("sides", [...document.querySelectorAll("#sides h3")].map((one) => one.textContent));
say("same", document.getElementById("same").textContent);
choose("only-verdict", "all");
document.getElementById("find").value = "READ";
document.getElementById("find").dispatchEvent(new Event("input"));
say("found", cells(0));
</script>"""


def test_it_sorts_filters_and_opens_queries(tmp_path: Path) -> None:
    arm = replace(ARMS["speculative-2"], verdicts={("async-await", 1): Verdict.BAD_ARGUMENTS})
    run = read_run(write_run(tmp_path / "r", {**ARMS, "speculative-2": arm}))
    page = opened(run, tmp_path, appended=PRESSES, guarded=False)
    assert page.console == []
    root = next(attributes for tag, attributes in page.elements if tag == "html")
    page_data = {name: json.loads(value or "") for name, value in root.items() if name.startswith("data-")}
    assert page_data["data-seq"] == [str(outcome.seq) for outcome in run.outcomes]
    unseen = page_data["data-ttft"].count("not observable")
    assert unseen
    assert page_data["data-ttft"][-unseen:] == ["not observable"] * unseen
    assert page_data["data-wrong"] == ["async-await"]
    assert page_data["data-picked"] == ["async-await", "1", "speculative-2"]
    assert page_data["data-sides"] == ["speculative-2", "speculative-3"]
    assert page_data["data-same"] == "The same tool calls; the answers first differ after 0 characters."
    assert page_data["data-found"] == ["user-serializer"] * 3


def test_a_run_of_nothing_opens(tmp_path: Path) -> None:
    page = opened(read_run(write_run(tmp_path / "r", {})), tmp_path)
    assert page.console == []
    assert "Nothing was measured." in page.dom


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its source: from the project's own node_modules, else from npm."""
    root = Path(__file__).parents[2]
    if not (root / AXE).exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("axe-core is not here, and no npm to ask for it")
        root = tmp_path_factory.mktemp("axe")
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(root), "axe-core@4"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip("npm did not bring axe-core within 60 s")
        if done.returncode != 0:
            pytest.skip(f"npm could not bring axe-core: {done.stderr.strip()[-200:]}")
    return (root / AXE).read_text(encoding="utf-8")


CHECKS = """
axe.run(document, { resultTypes: ["violations"] }).then((found) => {
  const parts = (one) => one.nodes.map((node) => node.html.slice(0, 200));
  const violations = found.violations.map((one) => [one.id, one.help, parts(one)]);
  const passed = found.passes.map((one) => one.id);
  keep("violations", violations);
  keep("passed", passed);
});
"""


@pytest.mark.parametrize(("width", "flags"), [(1280, []), (390, [DARK])], ids=["desk, light", "phone, dark"])
def test_axe_finds_nothing_against_keyboards_and_screen_readers(
    axe: str, tmp_path: Path, width: int, flags: list[str]
) -> None:
    """All of its rules, best practices too; a phone's page has wide tables to scroll."""
    queries = tuple(replace(query, category=f"{query.category} {n}") for n in range(4) for query in QUERIES)
    run = read_run(write_run(tmp_path / "r", queries=queries, rounds=1, failures={"broken": "no weights"}))
    found = measured(html_report(run, summarize(run)), tmp_path, width, f"{axe}\n{CHECKS}", *flags)
    assert found["violations"] == []
    looked_at = {
        "color-contrast",
        "button-name",
        "label",
        "select-name",
        "svg-img-alt",
        "heading-order",
        "list",
        "region",
    }
    assert looked_at | {"scrollable-region-focusable"} <= set(found["passed"])


MEASURES = """
const root = document.documentElement;
const box = (one) => one.getBoundingClientRect();
const inside = (one) => box(one).left >= 0 && box(one).right <= root.clientWidth + 1;
const visible = (one) => one.checkVisibility() && box(one).height > 0;
const all = (selector) => [...document.querySelectorAll(selector)].filter(visible);
keep("wide", [root.scrollWidth, root.clientWidth]);
const size = (one) => parseFloat(getComputedStyle(one).fontSize);
keep("legends", all(".legend li").map((one) => [one.textContent, inside(one), size(one)]));
const cut = all("svg text, .line p, .row b, .row span").filter((one) => !inside(one));
keep("words", cut.map((one) => one.textContent));
keep("narrow", all(".chart").filter((one) => box(one).width < 100).length);
const headed = (one) => one.tHead && [...one.tHead.rows[0].cells].slice(1).every((cell) => cell.scope === "col");
keep("headless", all("table").filter((one) => !headed(one)).length);
const scrolling = all(".scroll").filter((one) => one.scrollWidth > one.clientWidth);
keep("scrolling", scrolling.map((one) => [one.tabIndex, one.getAttribute("aria-label")]));
for (const one of scrolling) one.scrollLeft = 1e6;
const lost = scrolling.flatMap((one) => [...one.querySelectorAll("tbody tr")]).filter((row) => !inside(row.cells[0]));
keep("lost", lost.map((row) => row.cells[0].textContent));
keep("answer", all("#speed-up circle").length);
document.querySelector("#table tbody button").click();
keep("focus", document.activeElement.textContent);
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of 200 queries in 8 categories under 12 configurations, one of them with a long name."""
    queries = tuple(replace(QUERIES[n % 5], name=f"query-{n:03}", category=f"category {n % 8}") for n in range(200))
    arms = {f"speculative-{k}": Arm(speed=1 + k / 10, noise=0.1, draft=True, progress=False) for k in range(1, 11)}
    arms = {"baseline": Arm(), **arms, "adaptive-with-rather-a-long-name-q4": Arm(speed=2.4, noise=0.2)}
    run = read_run(write_run(tmp_path_factory.mktemp("large") / "r", arms, queries=queries, rounds=1))
    return html_report(run, summarize(run))


@pytest.mark.parametrize("width", [1280, 390])
def test_a_run_of_200_queries_and_12_configurations_reads_well(large: str, tmp_path: Path, width: int) -> None:
    seen = measured(large, tmp_path, width, MEASURES)
    assert seen["wide"] == [width, width]  # the page itself never scrolls sideways
    assert {"generation", "tool", "framework", "right"} <= {word for word, _, _ in seen["legends"]}
    assert all(within and size >= 12 for _, within, size in seen["legends"])
    assert seen["words"] == []  # no word of a picture is cut off at the edge
    assert seen["narrow"] == seen["headless"] == 0
    assert seen["scrolling"]
    assert all(place == 0 and label for place, label in seen["scrolling"])
    assert seen["lost"] == []  # a row's name stays in sight however far its table is scrolled
    assert seen["answer"] == 11  # one line for each configuration: those by category are folded away
    assert seen["focus"] == "One query, side by side"
