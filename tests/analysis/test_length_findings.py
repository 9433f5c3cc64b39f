from __future__ import annotations

from pathlib import Path

from punie_trace.analysis.length_findings import too_long_findings
from punie_trace.analysis.observations import observe
from punie_trace.runs.reader import read_run
from tests.synthetic_run import write_run


def test_generations_longer_than_asked_for_are_told_with_how_many_and_how_long(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    observed = observe(run)
    tokens = [split.output_tokens for one in observed["baseline"] for split in one.splits]
    most = max(one for one in tokens if one is not None)
    header = run.header

    def limited(limit: int | None) -> list[str]:
        records = {
            name: record.model_copy(update={"max_tokens": limit}) for name, record in header.configurations.items()
        }
        changed = header.model_copy(update={"configurations": records})
        return [one for one in too_long_findings(changed, observed) if one.startswith("baseline: ")]

    assert limited(None) == limited(most) == []
    (finding,) = limited(most - 1)
    longer = sum(one == most for one in tokens)
    assert f"{longer} of {len(tokens)} generations have more than the {most - 1} tokens" in finding
    assert f"(up to {most})" in finding
