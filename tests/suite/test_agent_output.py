"""An agent's output reaches evaluators as the object that it is, or says why it does not."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import to_json

from punie_trace.suite import agent_output
from punie_trace.suite.agent_output import expected_like, send


class Place(BaseModel):
    file: str
    line: int


@dataclass
class Point:
    x: int
    y: int = 0


def test_a_text_is_its_own_output() -> None:
    assert send("so it is", None).unpack() == ("so it is", None)


def test_an_object_is_the_same_in_another_process_that_knows_only_where_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_place.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass At:\n    line: int\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import their_place  # ty: ignore[import-not-found]

    sent = send('{"line":7}', their_place.At(7))
    code = """
        import pickle, sys
        output, problem = pickle.load(sys.stdin.buffer).unpack()
        print(type(output).__name__, output.line + 1, problem)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], input=pickle.dumps(sent), capture_output=True, check=True
    )
    assert done.stdout.split() == [b"At", b"8", b"None"]


def test_what_cannot_be_sent_comes_as_jsons_values_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Local:
        line: int

    output, problem = send('{"line":7}', Local(7)).unpack()
    assert output == {"line": 7}
    assert "Local" in str(problem)
    monkeypatch.setattr(agent_output, "MOST_BYTES", 10)
    assert send('{"x":1,"y":0}', Point(1)).unpack() == ({"x": 1, "y": 0}, "it is larger than 0 MiB")


def test_what_cannot_be_made_again_comes_as_jsons_values_with_the_reason() -> None:
    sent = agent_output.SentOutput({"line": 7}, b"\x80\x04cnowhere_at_all\nPlace\n.")
    output, problem = sent.unpack()
    assert output == {"line": 7}
    assert "nowhere_at_all" in str(problem)


@pytest.mark.parametrize(
    ("expected", "output", "becomes"),
    [
        ({"file": "a", "line": "7"}, Place(file="b", line=1), Place(file="a", line=7)),
        ({"x": 1}, Point(0), Point(1)),
        ([{"x": 1}, {"x": 2}], [Point(0)], [Point(1), Point(2)]),
        ({"file": "a"}, Place(file="b", line=1), {"file": "a"}),
        ("a", Place(file="b", line=1), "a"),
        ({"x": 1}, {"x": 0}, {"x": 1}),
        ({"x": 1}, "text", {"x": 1}),
    ],
)
def test_what_is_expected_is_read_as_the_class_that_came(expected: object, output: object, becomes: object) -> None:
    assert expected_like(expected, output) == becomes


def test_plain_is_the_json_of_the_object() -> None:
    place = Place(file="a", line=7)
    assert send(to_json(place).decode(), place).plain == {"file": "a", "line": 7}
