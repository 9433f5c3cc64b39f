"""The main path, end to end, with a scripted server: every layer is the real one but the model."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from punie_trace.records import Verdict
from punie_trace.runs.reader import read_run
from punie_trace.testing import Cut, Die, Hang, Raw, Reply, Rule, Script, Text
from tests.cli.conftest import CALL, DIRECT, FOUND, GOOD, Bench

OneServer = Callable[[Script], str]


def test_a_run_ends_with_its_folder_and_report(bench: Bench, one_server: OneServer) -> None:
    result = bench.run(one_server(GOOD))
    assert result.exit_code == 0, result.output
    run = read_run(bench.out)
    assert run.header.status == "done"
    assert [o.verdict for o in run.outcomes] == [Verdict.CORRECT] * 4
    assert {o.query: o.generations for o in run.outcomes} == {"find-librarian": 2, "what-is-rest": 1}
    tool = next(o for o in run.outcomes if o.query == "find-librarian")
    assert [(c.name, c.arguments, c.ok) for c in tool.tool_calls] == [
        ("find_definition", {"name": "IsLibrarian"}, True)
    ]
    assert tool.answer == "It is in accounts/permissions.py."
    assert tool.served_model == "fake-model"
    assert tool.ttft_ns is not None
    assert run.header.servers["server-1"].memory_peak_bytes
    summary = json.loads((bench.out / "summary.json").read_text())
    assert summary["configurations"]["baseline"]["correct"] == 2
    assert "baseline" in result.output


def test_configurations_of_one_process_share_it_and_interleave(bench: Bench) -> None:
    server = bench.server(GOOD)
    result = bench.run(f"[configurations.a]\n{server}\n[configurations.b]\n{server}temp = 0.5\n")
    assert result.exit_code == 0, result.output
    run = read_run(bench.out)
    assert list(run.header.servers) == ["server-1"]
    assert {c.server for c in run.header.configurations.values()} == {"server-1"}
    assert len(run.outcomes) == 8
    assert run.header.configurations["b"].temperature == 0.5


@pytest.mark.parametrize("path", ["agent", "http"])
def test_paths_over_http_ask_the_same(bench: Bench, one_server: OneServer, path: str) -> None:
    result = bench.run(one_server(GOOD), "--path", path)
    assert result.exit_code == 0, result.output
    run = read_run(bench.out)
    assert {o.path for o in run.outcomes} == {path}
    assert {o.verdict for o in run.outcomes} == {Verdict.CORRECT}


def test_a_report_can_be_made_again_and_is_the_same(bench: Bench, one_server: OneServer) -> None:
    bench.run(one_server(GOOD))
    first = (bench.out / "summary.json").read_bytes()
    (bench.out / "summary.json").unlink()
    again = bench.invoke("report", str(bench.out))
    assert again.exit_code == 0
    assert (bench.out / "summary.json").read_bytes() == first
    printed = bench.invoke("report", str(bench.out), "--format", "json")
    assert printed.stdout.encode() == first


def test_a_run_leaves_a_page_that_can_be_made_again(bench: Bench, one_server: OneServer) -> None:
    result = bench.run(one_server(GOOD))
    page = bench.out / "report.html"
    assert "report.html" in result.output
    first = page.read_bytes()
    # What the tool found is on it, and not only what the model made of it.
    assert b"class IsLibrarian(BasePermission)" in first
    page.unlink()
    again = bench.invoke("report", str(bench.out), "--format", "html")
    assert again.exit_code == 0
    assert again.stdout.strip() == str(page)
    assert page.read_bytes() == first


def test_an_unknown_format_names_the_nearest(bench: Bench) -> None:
    result = bench.invoke("report", str(bench.out), "--format", "htlm")
    assert result.exit_code == 2
    assert "did you mean 'html'?" in result.output


@pytest.mark.parametrize(
    ("reply", "verdict", "says"),
    [
        (Reply(status=500, error="out of cheese"), Verdict.ERROR, "500"),
        (Reply(steps=(Text(text="It is"), Cut())), Verdict.ERROR, ""),
        (Reply(steps=(Text(text="It is"), Raw(data="data: {oops\n\n"))), Verdict.ERROR, ""),
        (Reply(finish_reason="tool_calls"), Verdict.UNPARSED_CALL, ""),
        (Reply(steps=(Text(text="It is somewhere."),)), Verdict.SHOULD_HAVE_CALLED, ""),
    ],
    ids=["500", "cut", "malformed", "unparsed", "no-call"],
)
@pytest.mark.parametrize("path", ["agent", "http"])
def test_a_bad_answer_costs_its_query_only(
    bench: Bench, one_server: OneServer, reply: Reply, verdict: Verdict, says: str, path: str
) -> None:
    script = Script(rules=(Rule(contains="IsLibrarian", reply=reply), Rule(contains="REST", reply=DIRECT)))
    result = bench.run(one_server(script), "--path", path, "--rounds", "1")
    assert result.exit_code == 0, result.output
    outcomes = {o.query: o for o in read_run(bench.out).outcomes}
    assert outcomes["what-is-rest"].verdict is Verdict.CORRECT
    assert outcomes["find-librarian"].verdict is verdict
    if verdict is Verdict.ERROR:
        assert says in (outcomes["find-librarian"].error or "")


@pytest.mark.parametrize("path", ["http", "agent"])
def test_half_of_a_surrogate_pair_in_a_conversation_goes_on_as_a_replacement_character(
    bench: Bench, one_server: OneServer, path: str
) -> None:
    half = {"choices": [{"index": 0, "delta": {"content": "I look for \ud800: "}, "finish_reason": None}]}
    written = Reply(steps=(Raw(data=f"data: {json.dumps(half)}\n\n"), *CALL.steps))
    script = Script(rules=(Rule(contains="IsLibrarian", turn=0, reply=written), *GOOD.rules[1:]))
    result = bench.run(one_server(script), "--path", path, "--rounds", "1")
    assert result.exit_code == 0, result.output
    run = read_run(bench.out)
    assert run.header.status == "done"
    outcomes = {outcome.query: outcome for outcome in run.outcomes}
    assert outcomes["what-is-rest"].verdict is Verdict.CORRECT
    assert outcomes["find-librarian"].verdict is Verdict.CORRECT
    assert (bench.out / "report.html").is_file()


def test_a_query_over_its_deadline_is_a_timeout(bench: Bench, one_server: OneServer) -> None:
    script = Script(
        rules=(
            Rule(contains="IsLibrarian", turn=0, reply=CALL),
            Rule(contains="IsLibrarian", turn=1, reply=Reply(steps=(Text(text="It is"), Hang()))),
            Rule(contains="REST", reply=DIRECT),
        )
    )
    result = bench.run(one_server(script), "--timeout", "0.5", "--rounds", "1")
    assert result.exit_code == 0, result.output
    outcomes = {o.query: o for o in read_run(bench.out).outcomes}
    assert outcomes["find-librarian"].verdict is Verdict.TIMEOUT
    assert outcomes["what-is-rest"].verdict is Verdict.CORRECT


def test_a_configuration_that_fails_does_not_end_the_run(bench: Bench) -> None:
    good, bad = bench.server(GOOD, "good"), bench.server(Script(startup="exit"), "bad")
    result = bench.run(f"[configurations.good]\n{good}\n[configurations.bad]\n{bad}")
    assert result.exit_code == 4, result.output
    run = read_run(bench.out)
    assert len(run.outcomes) == 4
    assert "exited" in run.header.failures["bad"]
    assert "bad" in result.output


def test_no_server_at_all_is_exit_code_3(bench: Bench, one_server: OneServer) -> None:
    result = bench.run(one_server(Script(startup="exit")))
    assert result.exit_code == 3, result.output
    assert "Traceback" not in result.output


def test_a_server_that_never_gets_ready(bench: Bench, one_server: OneServer) -> None:
    result = bench.run(one_server(Script(startup="mute")), "--ready-timeout", "1.5")
    assert result.exit_code == 3, result.output


def test_a_server_that_dies_in_the_middle(bench: Bench, one_server: OneServer) -> None:
    script = Script(
        rules=(
            Rule(contains="REST", reply=DIRECT),
            Rule(contains="IsLibrarian", reply=Reply(steps=(Text(text="It"), Die(code=9)))),
        )
    )
    toml = f"warm_up = 0\n{one_server(script)}"
    result = bench.run(toml)
    assert result.exit_code == 4, result.output
    run = read_run(bench.out)
    assert "9" in run.header.failures["baseline"]
    assert run.outcomes[-1].verdict is Verdict.ERROR


def test_another_model_than_the_one_asked_is_a_failure(bench: Bench, one_server: OneServer) -> None:
    stranger = Reply(steps=(Text(text="hello"),), model="another-model")
    result = bench.run(f"warm_up = 0\n{one_server(Script(rules=(Rule(reply=stranger),)))}")
    assert result.exit_code == 4, result.output
    run = read_run(bench.out)
    assert [o.verdict for o in run.outcomes] == [Verdict.ERROR]
    assert "another-model" in run.header.failures["baseline"]


@pytest.mark.parametrize(
    ("toml", "flags", "says"),
    [
        ("round = 1\n", (), "did you mean 'rounds'?"),
        ("", ("--only", "speculatve-3"), "did you mean 'speculative-3'?"),
        ("", ("--model", "/absent/model"), "/absent/model"),
        ("", ("--suite", "discriminaton"), "discrimination"),
        ("", ("--workspace", "/absent/folder"), "/absent/folder"),
        ("", ("--path", "telepathy"), "'agent', 'imported', 'program', 'http' or 'inprocess'"),
    ],
)
def test_bad_input_is_exit_code_2_with_what_to_do(bench: Bench, toml: str, flags: tuple[str, ...], says: str) -> None:
    arguments = ["run", "--config", str(bench.config(toml)), "--out", str(bench.out), "--otlp", "off", *flags]
    result = bench.invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert says in result.output
    assert not bench.out.exists()


def test_a_run_folder_is_never_overwritten(bench: Bench, one_server: OneServer) -> None:
    bench.out.mkdir()
    (bench.out / "mine.txt").write_text("mine")
    result = bench.run(one_server(GOOD))
    assert result.exit_code == 2, result.output
    assert "never overwritten" in result.output


def test_a_model_that_calls_for_ever_is_an_error(bench: Bench, one_server: OneServer) -> None:
    script = Script(rules=(Rule(contains="IsLibrarian", reply=CALL), Rule(contains="REST", reply=FOUND)))
    result = bench.run(f"{one_server(script)}", "--rounds", "1")
    assert result.exit_code == 0, result.output
    outcomes = {o.query: o for o in read_run(bench.out).outcomes}
    assert outcomes["find-librarian"].verdict is Verdict.ERROR
    assert outcomes["find-librarian"].generations == 8


def test_a_quick_look_measures_little_and_says_on_the_screen_what_it_cannot_tell(bench: Bench) -> None:
    server = bench.server(GOOD)
    configurations = "".join(
        f"[configurations.{name}]\n{server}temp = {temp}\n" for name, temp in (("a", 0), ("b", 1), ("c", 2))
    )
    result = bench.invoke(*bench.flags(configurations), "--quick")
    assert result.exit_code == 0, result.output
    run = read_run(bench.out)
    assert [o.configuration for o in run.outcomes].count("a") == 2
    assert {o.configuration for o in run.outcomes} == {"a", "b"}
    assert run.header.quick is not None
    assert run.header.quick.left_out == ("c",)
    words = " ".join(result.output.split())
    assert "a quick look: 2 questions in 1 round; c not measured. It cannot tell" in words
