from __future__ import annotations

from dataclasses import replace

import pytest

from punie_trace.analysis.comparable import another_server, header_differences, shared_queries
from punie_trace.errors import ConfigurationError
from punie_trace.runs.header import ConfigurationRecord, RunHeader, ServerRecord
from tests.synthetic_run import QUERIES, make_header


def with_server(header: RunHeader, digest: str, **changes: object) -> RunHeader:
    record = ConfigurationRecord(path="agent", server="s", kind="mlx_lm", model="m", temperature=0.0)
    identity = {"weights_digest": digest, "pid": 4711, "port": 9}
    return header.model_copy(
        update={
            "servers": {"s": ServerRecord(identity=identity, blas="openblas")},
            "configurations": {"baseline": record.model_copy(update=changes)},
        }
    )


def found(first: RunHeader, second: RunHeader) -> dict[tuple[str, str], tuple[str, str]]:
    differences = header_differences(first, second, [("baseline", "baseline")])
    return {(one.configuration, one.field): (one.first, one.second) for one in differences}


def test_two_alike_differ_in_nothing() -> None:
    first = with_server(make_header(), "a")
    second = with_server(make_header(run_id="20261122-090000-0000"), "a")
    assert found(first, second) == {}


def test_every_field_that_bears_on_a_comparison_is_named() -> None:
    first = with_server(make_header(), "a")
    changes = {
        "seed": 8,
        "concurrency": 4,
        "versions": {**first.versions, "mlx": "0.33.0", "openai": "3.52"},
        "machine": first.machine.model_copy(update={"cores": 8, "chip": "M3"}),
        "configuration": {**first.configuration, "workspace": "/src", "agent": {"max_tokens": 9}},
        "suite": first.suite.model_copy(update={"digest": "sha256:9"}),
    }
    second = with_server(make_header(rounds=5), "b", path="http", num_draft_tokens=2).model_copy(update=changes)
    assert found(first, second) == {
        ("", "suite digest"): ("sha256:0f3c", "sha256:9"),
        ("", "rounds"): ("3", "5"),
        ("", "concurrency"): ("1", "4"),
        ("", "seed"): ("7", "8"),
        ("", "machine cores"): ("2", "8"),
        ("", "machine chip"): ("not recorded", "M3"),
        ("", "version of mlx"): ("0.32.4", "0.33.0"),
        ("", "version of openai"): ("not recorded", "3.52"),
        ("", "workspace"): ("not recorded", "/src"),
        ("", "agent.max_tokens"): ("not recorded", "9"),
        ("baseline", "path"): ("agent", "http"),
        ("baseline", "num draft tokens"): ("not recorded", "2"),
        ("baseline", "weights digest"): ("a", "b"),
    }


def test_shared_queries_are_those_of_both() -> None:
    first, second = make_header(queries=QUERIES[:4]), make_header(queries=QUERIES[1:])
    assert shared_queries(first, second) == {query.name for query in QUERIES[1:4]}


def test_other_questions_under_the_same_name_are_refused() -> None:
    other = (replace(QUERIES[0], text="Find the models"), replace(QUERIES[1], tools=("search_code",)), *QUERIES[2:])
    with pytest.raises(ConfigurationError, match=r"django-views, user-serializer \(differing in text, tools\)"):
        shared_queries(make_header(), make_header(queries=other))


def test_suites_without_a_common_query_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no query in common"):
        shared_queries(make_header(queries=QUERIES[:2]), make_header(queries=QUERIES[2:]))


def configured(header: RunHeader, **settings: object) -> RunHeader:
    return header.model_copy(
        update={"configuration": {**header.configuration, "configurations": {"baseline": settings}}}
    )


def test_everything_that_was_configured_is_compared() -> None:
    first = configured(with_server(make_header(), "a"), prompt_cache_size=4, extra_args=["--a"])
    second = configured(with_server(make_header(), "a"), prompt_cache_size=0, extra_args=["--b"], kv_bits=8)
    assert found(first, second) == {
        ("baseline", "prompt cache size"): ("4", "0"),
        ("baseline", "extra args"): ('["--a"]', '["--b"]'),
        ("baseline", "kv bits"): ("not recorded", "8"),
    }
    assert another_server(header_differences(first, second, [("baseline", "baseline")]), "baseline", "baseline") == ""


def test_a_name_that_means_another_server_is_said() -> None:
    first = with_server(make_header(), "a")
    second = configured(with_server(make_header(), "a", kind="command"), command=["llama-server", "--spec"])
    differences = header_differences(first, second, [("baseline", "baseline")])
    warning = another_server(differences, "baseline", "baseline")
    assert warning.startswith("baseline is another server in the second run: ")
    assert "kind mlx_lm -> command" in warning
    assert 'command not recorded -> ["llama-server", "--spec"]' in warning
    assert another_server(differences, "baseline", "other") == ""  # compared with another one on purpose
