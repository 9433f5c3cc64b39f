"""Makes the pictures of README and docs from a real run: parts of its page in headless Chromium, one trace in Jaeger.

What the run printed at its end stands in README and tutorial as text, and is put in there too, as 80 columns have it.

    uv run python docs/pictures/make.py [RUN] [--into FOLDER] [--jaeger URL]

Without a run folder it measures the default run first, which takes minutes. The trace is taken where a Jaeger answers;
else its picture is left as it is, and a line says so. It measures nothing itself and draws nothing: what is not on the
page is in no picture.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import httpx2

from punie_trace.analysis.summary import summarize
from punie_trace.report.page import html_report
from punie_trace.runs.reader import RunRecord, read_run

HERE = Path(__file__).parent
PRINTED = re.compile(r"(?<=^```\n)(?:(?!^```)[^\n]*\n)*?Configurations\n(?:(?!^```)[^\n]*\n)*", re.MULTILINE)
"""A block that holds what a run prints at its end."""
WIDTH = 1120
JAEGER = "http://127.0.0.1:16686"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --force-device-scale-factor=1"
)
BROWSER_S = 120


@dataclass(frozen=True)
class Part:
    """A picture of some parts of the page, by their anchors; '' is its head."""

    file: str
    anchors: tuple[str, ...]


PARTS = (
    Part("report.png", ("", "configurations", "speed-up", "ledger", "findings")),
    Part("one-query.png", ("query",)),
    Part("spread.png", ("distributions",)),
    Part("over-time.png", ("time",)),
    Part("costs.png", ("costs",)),
)
TRACE = "jaeger-trace.png"
README = HERE.parents[1] / "README.md"
TUTORIAL = HERE.parent / "tutorial.md"


def main() -> int:
    """Make all of them; 1 where there is no browser to do it with."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("run", nargs="?", type=Path, help="a run folder; without it the default run is measured")
    options.add_argument("--into", type=Path, default=HERE, help="where the pictures go")
    options.add_argument("--jaeger", default=JAEGER, help="where a Jaeger may be")
    given = options.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"there is no Chromium here (none of {', '.join(BROWSERS)}): install one", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        camera = Camera(browser, Path(scratch))
        folder = given.run or measured(Path(scratch))
        run = read_run(folder)
        page = html_report(run, summarize(run))
        for part in PARTS:
            picture(camera, page, part, given.into)
            print(f"{given.into / part.file}: of {run.header.id}")
        print(trace(camera, run, given.jaeger, given.into / TRACE))
        if given.into == HERE:
            screen = printed(folder, run.header.id)
            for page_of_docs, shown in ((README, screen.partition("\n\nAdvice\n")[0] + "\n"), (TUTORIAL, screen)):
                page_of_docs.write_text(with_screen(page_of_docs.read_text("utf-8"), shown), "utf-8")
                print(f"{page_of_docs}: what {run.header.id} printed")
    return 0


@dataclass(frozen=True)
class Camera:
    """A browser without a window, and a folder for what it needs."""

    browser: str
    scratch: Path

    def take(self, address: str, file: Path, height: int) -> None:
        """Raises `subprocess.SubprocessError` where the browser fails, or does not end in time."""
        # Chromium writes where it stands, and a picture that was begun is no picture.
        unfinished = self.scratch / "taken.png"
        self.open(address, f"--window-size={WIDTH},{height}", f"--screenshot={unfinished}")
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(unfinished, file)

    def open(self, address: str, *flags: str) -> str:
        """What the browser prints of it."""
        command = [self.browser, *FLAGS.split(), f"--user-data-dir={self.scratch / 'profile'}"]
        command += ["--virtual-time-budget=10000", *flags, address]
        return subprocess.run(command, capture_output=True, text=True, timeout=BROWSER_S, check=True).stdout


def measured(scratch: Path) -> Path:
    """The folder of a default run that is measured now."""
    folder = scratch / "run"
    subprocess.run([sys.executable, "-m", "punie_trace", "run", "--out", str(folder)], check=True)
    return folder


def printed(folder: Path, run_id: str) -> str:
    """What `report` prints of a run, which is what `run` printed at its end, on a terminal of 80 columns."""
    command = [sys.executable, "-m", "punie_trace", "report", str(folder)]
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.replace(str(folder), "runs/<id>").replace(run_id, "<id>").strip("\n") + "\n"


def with_screen(page: str, screen: str) -> str:
    """The page with that in place of what its first block of a run's output holds. Raises `ValueError` without one."""
    if PRINTED.search(page) is None:
        raise ValueError(
            "there is no block of what a run prints, which begins with ``` and has a line 'Configurations'"
        )
    return PRINTED.sub(lambda _: screen, page, count=1)


def picture(camera: Camera, page: str, part: Part, into: Path) -> None:
    """The page with these parts alone, as high as they are."""
    wanted = ", ".join(f"main > #{anchor}" if anchor else "main > header" for anchor in part.anchors)
    style = f"<style>main > * {{ display: none }} {wanted} {{ display: block }} main {{ padding-bottom: 24px }}</style>"
    # Its policy lets no style in but its own.
    open_page = re.sub(r"<meta http-equiv[^>]*>", "", page)
    measure = "<script>document.documentElement.dataset.high = Math.ceil(document.body.scrollHeight)</script>"
    file = camera.scratch / "page.html"
    file.write_text(open_page.replace("</head>", f"{style}</head>").replace("</body>", f"{measure}</body>"), "ascii")
    # The smallest of windows, as a body is never lower than its window in some modes.
    printed = camera.open(file.as_uri(), f"--window-size={WIDTH},100", "--dump-dom")
    height = re.search(r'data-high="(\d+)"', printed)
    if height is None:
        raise SystemExit(f"{part.file}: the browser did not say how high the page is")
    camera.take(file.as_uri(), into / part.file, int(height[1]))


def trace(camera: Camera, run: RunRecord, jaeger: str, file: Path) -> str:
    """One query of the last configuration with the most spans, as Jaeger shows it; what became of that, in a line."""
    last = list(run.header.configurations)[-1]
    asked = [one for one in run.outcomes if one.configuration == last and one.trace_id in run.traces]
    if not asked:
        return f"{file}: left as it is, since {run.folder} has no spans of {last}"
    most = max(asked, key=lambda one: len(run.traces[one.trace_id]))
    try:
        httpx2.get(f"{jaeger}/api/v3/traces/{most.trace_id}", timeout=10).raise_for_status()
    except httpx2.HTTPError as error:
        return f"{file}: left as it is, since {jaeger} has no trace of this run ({error}): 'punie-trace export' first"
    camera.take(f"{jaeger}/trace/{most.trace_id}", file, 760)
    return f"{file}: {most.query} in {last}"


if __name__ == "__main__":
    sys.exit(main())
