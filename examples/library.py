"""Measure two configurations from Python, and say which is faster and by how much.

    uv run python examples/library.py [FOLDER]

The model in the package is asked the five questions of the suite `discrimination`, by two servers that are started and
stopped here: `mlx_lm`'s own, and the one in the package. The run is kept in FOLDER (`runs/<id>` without it).
"""

from __future__ import annotations

import sys

from punie_trace import Experiment, PunieTraceError, QueryEnded, measure


def main() -> int:
    """Measure, print, and return an exit code."""
    experiment = Experiment(suite="discrimination", rounds=1, only=("baseline", "adaptive"))

    def progress(event: object) -> None:
        if isinstance(event, QueryEnded):
            one = event.outcome
            print(f"{one.configuration:10} {one.query:24} {one.verdict.value:16} {one.wall_ns / 1e9:.2f} s")

    try:
        run = measure(experiment, out=sys.argv[1] if len(sys.argv) > 1 else None, progress=progress, otlp="off")
    except PunieTraceError as error:  # what a user can mend, in words
        print(error, file=sys.stderr)
        return error.exit_code
    speedup = run.compare("adaptive").speedup
    print(f"\nadaptive: {speedup.estimate:.2f}x ({speedup.low:.2f} to {speedup.high:.2f}), {speedup.verdict}")
    for name, figures in run.configurations.items():
        print(f"{name}: {figures.correct} of {figures.queries} right")
    print("the page:", run.write_report())
    return run.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
