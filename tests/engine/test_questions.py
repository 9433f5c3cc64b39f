from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from punie_trace.agent.toolbox import Toolbox
from punie_trace.engine.default_run import FRESH, resolved
from punie_trace.engine.experiment import Experiment
from punie_trace.engine.questions import FRESH_COUNT, Questions, questions_of
from punie_trace.errors import ConfigurationError, PunieTraceError, RunFolderError, SuiteError
from punie_trace.suite.load import load_suite, sample_workspace


def roots(questions: Questions, folder: Path) -> dict[str, Path]:
    return {name: workspace.root for name, workspace in questions.workspaces_in(folder).items()}


def test_a_shipped_suite_asks_about_the_sample_unless_told_otherwise(tmp_path: Path) -> None:
    questions = questions_of(Experiment(suite="discrimination"))
    assert (questions.suite.name, roots(questions, tmp_path)) == ("discrimination", {"": sample_workspace()})
    assert roots(questions_of(Experiment(workspace=tmp_path)), tmp_path / "run") == {"": tmp_path}


@pytest.mark.parametrize(
    "settings",
    [
        {"suite": "discrimination"},
        {"workspace": "."},
        {"only": "baseline"},
        {"agent": {"import": "theirs:agent"}},
        {"configurations": {"a": {"kind": "url", "url": "http://127.0.0.1:1/v1"}}},
        {"server": {"kind": "url", "url": "http://127.0.0.1:1/v1"}},
        {"load": {"rate": 2}},
    ],
)
def test_whoever_says_what_is_asked_of_whom_is_asked_nothing_else(settings: dict[str, Any]) -> None:
    experiment = Experiment(**settings)
    assert resolved(experiment) is experiment
    assert questions_of(experiment).suite.name == "discrimination"


def test_the_default_run_asks_fresh_questions_besides_about_a_code_base_of_their_own(tmp_path: Path) -> None:
    questions = questions_of(resolved(Experiment()))
    known, new = load_suite("discrimination").queries, [query for query in questions.suite.queries if query.once]
    assert questions.suite.queries == (new[0], *known, *new[1:])
    assert (questions.suite.name, len(new)) == (f"discrimination+fresh:{FRESH}", FRESH)
    assert len({query.name for query in questions.suite.queries}) == len(known) + FRESH
    found = questions.workspaces_in(tmp_path)
    assert found[""].root == sample_workspace()
    find = Toolbox(found[new[0].workspace]).functions()["find_definition"]
    asked = next(query for query in new if query.tools == ("find_definition",))
    assert all(text in find(asked.arguments_contain[0]) for text in asked.answer_contains)
    other = questions_of(Experiment(suite=f"discrimination+fresh:{FRESH}", seed=1))
    assert other.suite.digest != questions.suite.digest


def test_the_default_run_has_one_round_unless_more_were_asked_for() -> None:
    assert resolved(Experiment()).rounds == 1
    assert resolved(Experiment(rounds=3)).rounds == 3
    assert resolved(Experiment(until="decided")).rounds == Experiment(until="decided").rounds
    assert resolved(Experiment(only=["baseline", "adaptive"], concurrency=2)).rounds == 1
    assert Experiment(suite="discrimination").rounds == 3


def test_the_default_run_asks_twice_where_servers_are_to_remember() -> None:
    assert resolved(Experiment(server={"memory": "server"})).rounds == 2
    assert resolved(Experiment(server={"memory": "server"}, rounds=5)).rounds == 5
    assert resolved(Experiment(server={"memory": "request"})).rounds == 1


def test_where_no_fresh_question_is_short_the_suites_own_first_warms_up() -> None:
    queries = questions_of(Experiment(suite="discrimination+fresh:1")).suite.queries
    assert [query.once for query in queries] == [False] * 5 + [True]
    assert queries[0].expected == "direct"


@pytest.mark.parametrize("seed", range(4))
def test_the_warm_up_takes_a_short_fresh_question_and_leaves_the_known_ones_first_asks(seed: int) -> None:
    experiment = resolved(Experiment(seed=seed))
    first = questions_of(experiment).suite.queries[: experiment.warm_up]
    assert [(query.once, query.expected) for query in first] == [(True, "direct")]


def test_a_quick_look_at_the_shipped_model_asks_fresh_questions_of_which_the_warm_up_takes_a_short_one() -> None:
    questions = questions_of(resolved(Experiment(quick=True)))
    queries = questions.suite.queries
    assert (len(queries), questions.of) == (5, FRESH + 5)
    assert all(query.once for query in queries)
    assert queries[0].expected == "direct"
    assert [query.expected for query in queries].count("tool") >= 2


def test_what_may_hold_secrets_is_read_where_the_experiment_says_so(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TOKEN=order\n")
    file = tmp_path / "punie.toml"
    for text, starts in (("", "error: '.env' may hold secrets"), ("allow_secrets = true\n", ".env, 1 line\nTOKEN=")):
        file.write_text(text)
        workspace = questions_of(Experiment.from_file(file, workspace=tmp_path)).workspaces_in(tmp_path / "run")[""]
        assert Toolbox(workspace).read_file(".env").startswith(starts)


def test_fresh_questions_of_several_calls_have_a_code_base_of_their_own_too(tmp_path: Path) -> None:
    alone = questions_of(Experiment(suite="fresh-multi-tool:8", seed=7))
    assert {query.category for query in alone.suite.queries} <= {
        f"{n} calls" for n in ("two", "three", "four", "five", "six")
    }
    assert any(path.endswith("config/settings.py") for path in alone.files)
    joined = questions_of(Experiment(suite="discrimination+fresh-multi-tool:3", seed=7))
    assert sum(query.once for query in joined.suite.queries) == 3
    assert len(joined.workspaces_in(tmp_path)) == 2


def test_fresh_questions_are_made_by_seed_and_number_with_their_code_base(tmp_path: Path) -> None:
    first, again = (questions_of(Experiment(suite="fresh:12", seed=7)) for _ in range(2))
    other = questions_of(Experiment(suite="fresh:12", seed=8))
    assert first.suite.digest == again.suite.digest != other.suite.digest
    assert len(first.suite.queries) == 12
    assert len(questions_of(Experiment(suite="fresh")).suite.queries) == FRESH_COUNT
    workspace = first.workspaces_in(tmp_path)[""]
    assert workspace.root == tmp_path / "workspace"
    find = Toolbox(workspace).functions()["find_definition"]
    asked = next(query for query in first.suite.queries if query.tools == ("find_definition",))
    assert all(text in find(asked.arguments_contain[0]) for text in asked.answer_contains)


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"suite": "fresh:many"}, SuiteError, "names no number of questions; write fresh:60"),
        ({"suite": "fresh:"}, SuiteError, "names no number"),
        ({"suite": "fresh:0"}, SuiteError, "1 to 1000"),
        ({"suite": "fresh-multi-tool:x"}, SuiteError, "write fresh-multi-tool:60"),
        ({"suite": "fresh-multi-tool:0"}, SuiteError, "fresh-multi-tool:40 for forty"),
        ({"suite": "fresh:99999"}, SuiteError, "1 to 1000"),
        ({"suite": "discrimination+fresh:x"}, SuiteError, "names no number"),
        ({"suite": "fresh:2+discrimination"}, SuiteError, "names no number"),
        ({"suite": "nothing+fresh:2"}, SuiteError, "there is no suite 'nothing'"),
        ({"suite": "fresh", "workspace": "."}, ConfigurationError, "leave the workspace out"),
    ],
)
def test_what_cannot_be_made_is_refused(settings: dict[str, Any], error: type[PunieTraceError], says: str) -> None:
    with pytest.raises(error, match=says):
        questions_of(Experiment(**settings))


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "workspace").write_text("in the way")
    with pytest.raises(RunFolderError, match="cannot be written"):
        questions_of(Experiment(suite="fresh:3")).workspaces_in(tmp_path)
