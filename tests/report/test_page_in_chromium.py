"""The page in a real browser, where one is installed: its script runs, draws, and obeys no hostile text."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from punie_trace.analysis.summary import summarize
from punie_trace.records import Verdict
from punie_trace.report.page import html_report
from punie_trace.runs.reader import RunRecord, read_run
from tests.report.test_page import HOSTILE, hostile_run
from tests.synthetic_run import ARMS, write_run

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=5000 --dump-dom"
)

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
    assert BROWSER is not None
    page = folder / "page.html"
    written = html_report(run, summarize(run)) + appended
    page.write_text(written if guarded else re.sub(r"<meta http-equiv[^>]*>", "", written))
    command = [BROWSER, *FLAGS.split(), f"--user-data-dir={folder / 'profile'}", page.as_uri()]
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
