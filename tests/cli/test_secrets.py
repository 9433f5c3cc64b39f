"""A key that a run is given stands in nothing that it leaves behind, though the server repeats it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from punie_trace.runs.reader import read_run
from punie_trace.testing import Reply, Rule, Script, Text
from tests.cli.conftest import CALL, Bench

KEY = "sk-proj-0123456789/abc"
OTHER = "hf_abcdefghijklmnop"


def places(folder: Path, secret: str) -> list[str]:
    """The files below that hold the secret."""
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and secret.encode() in path.read_bytes()
    ]


def test_a_key_that_a_server_repeats_is_kept_nowhere(
    bench: Bench, one_server: Callable[[Script], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVER_KEY", KEY)
    refusal = Reply(status=401, error=f"Incorrect API key provided: {KEY}")
    says = Reply(steps=(Text(text=f"Your key is {KEY}. It is in accounts/permissions.py."),))
    rules = (
        Rule(contains="IsLibrarian", turn=0, reply=CALL),
        Rule(contains="IsLibrarian", turn=1, reply=says),
        Rule(contains="REST", reply=refusal),
    )
    toml = (
        one_server(Script(rules=rules)) + f'api_key_env = "MY_SERVER_KEY"\nenvironment = {{ HF_TOKEN = "{OTHER}" }}\n'
    )
    shown = bench.run(toml, "--rounds", "1").output
    assert "Incorrect API key provided: ***" in " ".join(shown.split())
    assert KEY not in shown
    run = read_run(bench.out)
    assert any("Incorrect API key provided: ***" in (outcome.error or "") for outcome in run.outcomes)
    assert any("Your key is ***." in outcome.answer for outcome in run.outcomes)
    assert places(bench.out, KEY) == places(bench.out, OTHER) == []
    for log in (bench.out / "servers").iterdir():
        assert KEY not in log.read_text()


@pytest.mark.parametrize("fault", ["refused", "not there", "misconfigured"])
def test_a_key_is_not_printed_where_no_server_comes_up(
    fault: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVER_AUTH", KEY)
    refusal = Reply(status=401, error=f"Incorrect API key provided: {KEY}")
    toml = f"[configurations.baseline]\n{bench.server(Script(probe=refusal))}" + 'api_key_env = "MY_SERVER_AUTH"\n'
    if fault == "not there":
        toml = f'[configurations.baseline]\nkind = "command"\ncommand = ["false", "--api-key", "{KEY}", "{{port}}"]\n'
    elif fault == "misconfigured":
        toml = f'[configurations.baseline]\nkind = "url"\nurl = "ftp://x/?token={KEY}"\n'
    done = bench.run(toml)
    assert done.exit_code == (2 if fault == "misconfigured" else 3)
    assert "error: " in done.output
    assert KEY not in done.output
    assert not bench.out.exists() or places(bench.out, KEY) == []
