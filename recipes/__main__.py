"""`python -m recipes FOLDER`: makes the shipped model again, away from the questions of the shipped suites.

What it writes (tokenizer, target, draft) takes hours on two CPU cores; a call that was interrupted goes on from the
checkpoints in FOLDER/work.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from punie_trace.servers.blas import variables_for
from punie_trace.suite.load import load_suite, shipped_suites


def main() -> None:
    """Read the arguments, put OpenBLAS in front where it is installed, and train."""
    parser = argparse.ArgumentParser(prog="python -m recipes", description="Make the shipped model again.")
    parser.add_argument("out", type=Path, help="where tokenizer, target and draft are written")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same data and first weights")
    parser.add_argument("--minutes", type=float, help="stop training after so long: a shorter, weaker recipe")
    parser.add_argument("--more", type=Path, help="train this target on instead, for several calls and for code")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    added = variables_for(os.environ)
    if "LD_PRELOAD" in added:  # a library can only be put in front at the start of a process
        os.environ.update(added)
        os.execv(sys.executable, [sys.executable, "-m", "recipes", *sys.argv[1:]])  # noqa: S606
    from recipes.demo import train_demo, train_more

    suites = [name for name in shipped_suites() if given.more is None or name != "multi-tool"]
    questions = [query.text for name in suites for query in load_suite(name).queries]
    if given.more is not None:
        target = train_more(given.more, given.out, minutes=given.minutes or 60, seed=given.seed, forbidden=questions)
        print(f"measure it: python -m punie_trace run --suite multi-tool --model {target}", file=sys.stderr)
        return
    target, draft = train_demo(given.out, seed=given.seed, minutes=given.minutes, forbidden=questions)
    print(f"measure them: python -m punie_trace run --model {target} --draft-model {draft}", file=sys.stderr)


if __name__ == "__main__":
    main()
