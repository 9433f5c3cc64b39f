"""The pictures of README and docs: each is made by the script, and the script works."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from docs.pictures import make
from punie_trace.analysis.summary import summarize
from punie_trace.report.page import html_report
from punie_trace.runs.reader import read_run
from tests.docs.test_pages import PAGES, ROOT
from tests.report.test_page_in_chromium import BROWSER
from tests.synthetic_run import write_run


def size_of(file: Path) -> tuple[int, int]:
    """Width and height, by the PNG's first chunk."""
    return struct.unpack(">II", file.read_bytes()[16:24])


def test_every_picture_is_made_by_the_script_and_shown_somewhere() -> None:
    made = {part.file for part in make.PARTS} | {make.TRACE}
    shown = {name for page in PAGES for name in re.findall(r"pictures/([\w-]+\.png)", page.read_text("utf-8"))}
    assert made == shown == {file.name for file in (ROOT / "docs" / "pictures").glob("*.png")}
    for part in make.PARTS:
        assert size_of(ROOT / "docs" / "pictures" / part.file)[0] == make.WIDTH


def test_a_picture_shows_the_parts_that_it_names(tmp_path: Path) -> None:
    if BROWSER is None:
        pytest.skip("no Chromium is installed here")
    run = read_run(write_run(tmp_path / "run", first=8))
    camera = make.Camera(BROWSER, tmp_path)
    make.picture(camera, html_report(run, summarize(run)), make.PARTS[-1], tmp_path / "pictures")
    width, height = size_of(tmp_path / "pictures" / "costs.png")
    assert width == make.WIDTH
    assert 200 < height < 1000  # the whole page is several thousand high


def test_a_jaeger_that_is_not_there_is_said_and_its_picture_is_left(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", first=8))
    line = make.trace(make.Camera("no-browser", tmp_path), run, "http://127.0.0.1:9", tmp_path / make.TRACE)
    assert "left as it is, since http://127.0.0.1:9 has no trace of this run" in line
    assert not (tmp_path / make.TRACE).exists()


@pytest.mark.parametrize("page", [make.README, make.TUTORIAL], ids=["README", "tutorial"])
def test_what_a_run_prints_takes_the_place_of_what_stood_there(page: Path) -> None:
    before = page.read_text("utf-8")
    screen = "b is 2x as fast.\n\nConfigurations\na 5/5\nb 5/5\n"
    after = make.with_screen(before, screen)
    assert f"```\n{screen}```\n" in after
    assert make.with_screen(after, screen) == after
    (block,) = make.PRINTED.findall(before)  # one a page, and nothing around it changes
    assert after == before.replace(block, screen)


def test_a_page_without_such_a_block_is_not_touched() -> None:
    with pytest.raises(ValueError, match="no block of what a run prints"):
        make.with_screen("```sh\npunie-trace run\n```\n", "x\n")


def test_without_a_browser_it_says_what_to_do(tmp_path: Path) -> None:
    script = ROOT / "docs" / "pictures" / "make.py"
    command = [sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert "there is no Chromium here" in done.stderr
