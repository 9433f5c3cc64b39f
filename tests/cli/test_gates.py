"""Gates of a configuration file: read before anything starts, checked at the end of a run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from punie_trace.testing import Script
from tests.cli.conftest import GOOD, Bench

OneServer = Callable[[Script], str]


def test_a_run_whose_gates_hold_ends_with_them_and_code_0(bench: Bench, one_server: OneServer) -> None:
    result = bench.run(f'gates = ["accuracy == 1", "wall.mean < 10s"]\n{one_server(GOOD)}')
    assert result.exit_code == 0, result.output
    assert "2 of 2 gates hold" in result.output


def test_a_gate_that_fails_is_code_1_and_the_run_is_kept(bench: Bench, one_server: OneServer) -> None:
    result = bench.run(f'gates = ["accuracy == 1", "wall.mean < 1us"]\n{one_server(GOOD)}')
    assert result.exit_code == 1, result.output
    assert "FAILED wall.mean < 1us" in result.output
    again = bench.invoke("compare", str(bench.out), "--gate", "wall.mean < 1us")
    assert again.exit_code == 1


def test_something_worse_keeps_its_own_code(bench: Bench) -> None:
    good, bad = bench.server(GOOD, "good"), bench.server(Script(startup="exit"), "bad")
    toml = f'gates = ["accuracy == 1"]\n[configurations.good]\n{good}\n[configurations.bad]\n{bad}'
    result = bench.run(toml)
    assert result.exit_code == 4, result.output
    assert "bad failed: nothing was measured" in result.output


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ("accuracy = 1", "cannot be read"),
        ("wall.p59 < 1s", "did you mean 'wall.p95'?"),
        ("basline.accuracy == 1", "did you mean 'baseline'?"),
        ("preset:interactiv", "did you mean 'interactive'?"),
    ],
)
def test_a_gate_that_cannot_be_is_refused_before_anything_starts(
    bench: Bench, one_server: OneServer, gate: str, says: str
) -> None:
    result = bench.run(f'gates = ["{gate}"]\n{one_server(GOOD)}')
    assert result.exit_code == 2, result.output
    assert says in result.output
    assert not bench.out.exists()


def test_a_gate_about_what_only_leaves_out_is_not_checked_and_said(bench: Bench) -> None:
    server = bench.server(GOOD)
    gates = '["a.accuracy == 1", "b.accuracy == 1"]'
    result = bench.run(f"gates = {gates}\n[configurations.a]\n{server}\n[configurations.b]\n{server}", "--only", "a")
    assert result.exit_code == 0, result.output
    assert "1 of 1 gate holds" in result.output
    assert "'b.accuracy == 1' was not checked" in " ".join(result.output.split())
