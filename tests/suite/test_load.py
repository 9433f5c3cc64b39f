"""Loading suites: people's datasets as they are, and a clear error for each thing that can be wrong with one."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import Contains, Evaluator, EvaluatorContext, IsInstance

from punie_trace.errors import SuiteError
from punie_trace.records import Query, Turn
from punie_trace.suite.load import load_suite


def load(folder: Path, text: str, name: str = "mine.yaml") -> tuple[Query, ...]:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return load_suite(str(file)).queries


@dataclass
class Politeness(Evaluator[str, str, dict[str, object]]):
    """An evaluator of someone's own."""

    least: int = 1

    def evaluate(self, ctx: EvaluatorContext[str, str, dict[str, object]]) -> bool:
        return ctx.output.count("please") >= self.least


@pytest.mark.parametrize("suffix", ["yaml", "yml", "json"])
def test_a_dataset_that_pydantic_evals_wrote_loads_unchanged(tmp_path: Path, suffix: str):
    file = tmp_path / f"mine.{suffix}"
    dataset = Dataset[str, str, dict[str, object]](
        name="mine",
        cases=[
            Case(
                name="grüße",
                inputs="Where is the login form?\nShow it.",
                expected_output="in login.html",
                metadata={"expected": "tool", "tools": ["search_code", "grep"], "priority": 3, "owner": {"team": "x"}},
                evaluators=(Contains("login"), Politeness(2)),
            ),
            Case(name="plain", inputs="What is a cookie?"),
        ],
        evaluators=[IsInstance("str"), Politeness()],
    )
    dataset.to_file(file, custom_evaluator_types=[Politeness])
    shared = ("IsInstance", "Politeness")
    own = ("Contains", "Politeness")
    assert load_suite(str(file)).queries == (
        Query(
            "grüße", "Where is the login form?\nShow it.", "tool", ("search_code", "grep"), evaluators=(*own, *shared)
        ),
        Query("plain", "What is a cookie?", evaluators=shared),
    )


def test_the_suite_knows_its_file_and_digest(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    data = b"cases:\r\n- inputs: Hello?\r\n"
    file.write_bytes(data)
    suite = load_suite(str(file))
    assert (suite.name, suite.source) == ("mine", file)
    assert suite.digest == hashlib.sha256(data).hexdigest()


def test_a_shipped_suite_has_no_source():
    suite = load_suite("discrimination")
    assert (suite.name, suite.source, len(suite.digest)) == ("discrimination", None, 64)


def test_a_file_in_the_current_folder_needs_no_slash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    load(tmp_path, "cases: [{inputs: Hello}]", "questions")
    assert load_suite("questions").queries[0].text == "Hello"


def test_cases_without_names_are_numbered_by_place(tmp_path: Path):
    queries = load(tmp_path, "cases: [{inputs: a}, {inputs: b, name: second}, {inputs: c, name: null}]")
    assert [query.name for query in queries] == ["case-1", "second", "case-3"]


@pytest.mark.parametrize("metadata", ["null", "hard", "[1, 2]", "{}", "{expected: null, tools: null, mine: 1}"])
def test_metadata_that_says_nothing_to_us_is_not_judged(tmp_path: Path, metadata: str):
    assert load(tmp_path, f"cases: [{{inputs: a, metadata: {metadata}}}]") == (Query("case-1", "a"),)


def test_all_judged_facts_are_read(tmp_path: Path):
    metadata = {
        "category": "search",
        "expected": "tool",
        "tools": ["t"],
        "arguments_contain": ["a", "b"],
        "answer_contains": ["c"],
    }
    text = json.dumps({"cases": [{"name": "n", "inputs": "i", "metadata": metadata}]})
    assert load(tmp_path, text, "mine.json") == (Query("n", "i", "tool", ("t",), ("a", "b"), ("c",), "search"),)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path):
    file = tmp_path / "mine.json"
    file.write_bytes(b"\xef\xbb\xbf" + b'{"cases": [{"inputs": "a"}]}')
    assert load_suite(str(file)).queries == (Query("case-1", "a"),)
    file = tmp_path / "mine.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + b"cases: [{inputs: a}]")
    assert load_suite(str(file)).queries == (Query("case-1", "a"),)


WRONG_NAMES = [
    ("discriminatoin", "did you mean 'discrimination'"),
    ("zzz", "known: discrimination, discrimination-40"),
    ("", "there is no suite ''"),
    ("x" * 5000, "there is no suite"),
    ("no/such.yaml", "there is no suite file 'no/such.yaml'"),
    ("absent.json", "there is no suite file"),
    ("a\0b.yaml", "cannot read the suite file"),
]


@pytest.mark.parametrize(("name", "says"), WRONG_NAMES)
def test_a_name_that_leads_nowhere(name: str, says: str):
    with pytest.raises(SuiteError) as caught:
        load_suite(name)
    assert says in str(caught.value)


def test_a_folder_is_no_suite(tmp_path: Path):
    with pytest.raises(SuiteError, match="it is a folder"):
        load_suite(str(tmp_path))


WRONG_FILES = {
    "empty": ("", "holds no cases"),
    "no cases": ("cases: []", "holds no cases"),
    "null cases": ("cases:", "holds no cases"),
    "cases of a kind": ("cases: {a: 1}", "'cases' must be a list, and it is a mapping"),
    "a list": ("- inputs: a", "no pydantic-evals dataset"),
    "prose": ("hello there", "no pydantic-evals dataset"),
    "bad indent": ("cases:\n- inputs: a\n bad: [", "line 3 does not parse as YAML"),
    "tab": ("cases:\n\t- inputs: a", "line 2 does not parse as YAML"),
    "object tag": ("cases:\n- inputs: !!python/object:os.system a", "line 2 does not parse as YAML"),
    "control character": ("cases:\n- inputs: a\n- inputs: \x01", "line 3 does not parse"),
    "a date that is none": ("cases:\n- inputs: 2025-13-45", "does not parse"),
    "a deep nest": ("[" * 20_000, "nested too deeply"),
    "case is text": ("cases: [hello]", "case 1 must be a mapping with 'inputs', and it is the text 'hello'"),
    "no inputs": ("cases: [{name: mine}]", "case 'mine' has no 'inputs'"),
    "inputs are a mapping": ("cases: [{name: mine, inputs: {q: a}}]", "case 'mine': 'inputs' must be text"),
    "inputs are a bool": (
        "cases: [{inputs: a}, {inputs: yes}]",
        "case 2: 'inputs' must be text (what the user a",
    ),
    "a session without turns": ("cases: [{name: s, inputs: []}]", "case 's': 'inputs' is an empty list"),
    "a turn is a number": ("cases: [{name: s, inputs: [a, 3]}]", "case 's': turn 2 of 'inputs' must be text"),
    "a turn is a list": (
        "cases: [{inputs: [[a]]}]",
        "case 1: turn 1 of 'inputs' must be text (what the user",
    ),
    "a turn is empty": (
        "cases: [{inputs: [a, ' ']}]",
        "turn 2 of 'inputs' must be text (what the user says)",
    ),
    "half a surrogate in a turn": ('cases: [{inputs: [a, "\\ud800"]}]', "surrogate"),
    "verdicts of fewer turns": (
        "cases: [{name: s, inputs: [a, b], metadata: {turns: [{expected: direct}]}}]",
        "case 's': 'turns' in its metadata has 1 entry, and 'inputs' has 2 turns",
    ),
    "verdicts of more turns": (
        "cases: [{name: s, inputs: [a], metadata: {turns: [{}, {}]}}]",
        "'turns' in its metadata has 2 entries, and 'inputs' has 1 turn; give one for each turn, and null for a turn",
    ),
    "a turn contradicts itself": (
        "cases: [{name: s, inputs: [a, b], metadata: {turns: [null, {expected: direct, tools: [grep]}]}}]",
        "case 's': turn 2 expects a direct answer",
    ),
    "inputs are empty": ("cases: [{inputs: ' '}]", "and it is empty"),
    "half a surrogate": ('cases: [{inputs: "\\ud800"}]', "surrogate"),
    "name is a number": ("cases: [{name: 3, inputs: a}]", "case 1: 'name' must be text, and it is the int 3"),
    "one name twice": ("cases: [{name: n, inputs: a}, {name: n, inputs: b}]", "two cases are called 'n'"),
    "a made name twice": ("cases: [{inputs: a}, {name: case-1, inputs: b}]", "two cases are called 'case-1'"),
    "direct, with tools": (
        "cases: [{name: n, inputs: a, metadata: {expected: direct, tools: [grep]}}]",
        "case 'n' expects a direct answer",
    ),
}


@pytest.mark.parametrize(("text", "says"), WRONG_FILES.values(), ids=WRONG_FILES.keys())
def test_what_is_wrong_is_said_with_the_file(tmp_path: Path, text: str, says: str):
    with pytest.raises(SuiteError) as caught:
        load(tmp_path, text)
    assert says in str(caught.value)
    assert "mine.yaml" in str(caught.value)


THEIRS = {
    "a word of their own": ({"expected": "Paris"}, "'expected' is a text and neither 'tool' nor 'direct':"),
    "a typing error": ({"expected": "tols"}, "(did you mean 'tool'?)"),
    "expected is a number": ({"expected": 42}, "'expected' is a number"),
    "expected is a list": ({"expected": ["tool"]}, "'expected' is a list"),
    "tools are an object": ({"tools": {"grep": {"cost": 1}}}, "'tools' is a mapping and not a list of texts"),
    "tools is a text": ({"tools": "grep"}, "(tools: [...])"),
    "tools hold a bool": ({"tools": [True]}, "'tools' is a list that holds true or false"),
    "an empty fact": ({"answer_contains": [""]}, "'answer_contains' is a list that holds an empty text"),
    "arguments of another form": ({"arguments_contain": 3}, "'arguments_contain' is a number"),
    "category is a number": ({"category": 1}, "'category' is a number and not a text"),
}


@pytest.mark.parametrize(("metadata", "says"), THEIRS.values(), ids=THEIRS.keys())
def test_metadata_of_another_form_is_the_users_and_a_note_says_so(
    tmp_path: Path, metadata: dict[str, object], says: str
):
    file = tmp_path / "mine.json"
    cases = [{"name": name, "inputs": "a", "metadata": metadata} for name in "abcde"]
    file.write_text(json.dumps({"cases": cases}))
    suite = load_suite(str(file))
    assert suite.queries == tuple(Query(name, "a") for name in "abcde")
    (note,) = suite.notes
    assert says in note
    assert note.startswith("metadata of a, b, c and 2 more:")
    assert note.endswith("it is taken for your own, and judges nothing")


def test_what_is_well_formed_beside_it_is_still_judged(tmp_path: Path):
    text = "cases: [{inputs: a, metadata: {expected: tool, tools: {grep: 1}, answer_contains: [x]}}]"
    assert load(tmp_path, text) == (Query("case-1", "a", "tool", answer_contains=("x",)),)


SESSION = """
cases:
- name: talk
  inputs: ["Where is Loan?", "Who uses it?", Thanks]
  metadata:
    category: session
    answer_contains: [welcome]
    turns:
    - {expected: tool, tools: [find_definition], answer_contains: [loans]}
    - arguments_contain: [Loan]
    -
"""


def test_a_list_of_texts_is_a_session_and_each_turn_has_its_own_facts(tmp_path: Path):
    (query,) = load(tmp_path, SESSION)
    assert query.turns == (
        Turn("Where is Loan?", "tool", ("find_definition",), answer_contains=("loans",)),
        Turn("Who uses it?", arguments_contain=("Loan",)),
        Turn("Thanks"),
    )
    assert (query.text, query.category) == ("Where is Loan?\nWho uses it?\nThanks", "session")
    assert query.answer_contains == ("welcome",), "what is said beside the turns is of the whole"
    assert [turn.has_facts for turn in query.turns] == [True, True, False]
    assert query.judgeable


def test_a_session_of_which_nothing_is_said_is_not_judgeable(tmp_path: Path):
    (query,) = load(tmp_path, "cases: [{inputs: [a, b]}]")
    assert query.turns == (Turn("a"), Turn("b"))
    assert not query.judgeable


@pytest.mark.parametrize(
    ("turns", "says"),
    [("yes please", "'turns' is a text and not a list"), ([3, None], "'turns' is a list that holds a number where")],
)
def test_turns_of_another_form_are_the_users_own(tmp_path: Path, turns: object, says: str):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"cases": [{"inputs": ["a", "b"], "metadata": {"turns": turns}}]}))
    suite = load_suite(str(file))
    assert suite.queries[0].turns == (Turn("a"), Turn("b"))
    assert says in suite.notes[0]


def test_one_question_whose_metadata_has_turns_is_one_question(tmp_path: Path):
    (query,) = load(tmp_path, "cases: [{inputs: a, metadata: {turns: 3}}]")
    assert query == Query("case-1", "a")


EVALUATORS = {
    "no list": ("cases: [{name: n, inputs: a, evaluators: {Contains: x}}]", "case 'n': 'evaluators' must be a list"),
    "of the whole": ("evaluators: Contains\ncases: [{inputs: a}]", "'evaluators' must be a list"),
    "a number": ("cases: [{inputs: a, evaluators: [3]}]", "an evaluator is a name"),
    "two in one": ("cases: [{inputs: a, evaluators: [{Contains: x, Equals: y}]}]", "an evaluator is a name"),
    "empty": ("cases: [{inputs: a, evaluators: ['']}]", "an evaluator is a name"),
}


@pytest.mark.parametrize(("text", "says"), EVALUATORS.values(), ids=EVALUATORS.keys())
def test_evaluators_that_are_none(tmp_path: Path, text: str, says: str):
    with pytest.raises(SuiteError, match=r"mine\.yaml") as caught:
        load(tmp_path, text)
    assert says in str(caught.value)


def test_the_evaluators_of_each_case_are_its_own_and_then_those_of_all(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "# yaml-language-server: $schema=./mine_schema.json\nname: mine\nevaluators: [Mine, {Contains: x}]\n"
        "cases: [{inputs: a, evaluators: [{name: Equals, arguments: [b]}]}, {inputs: b}]\nreport_evaluators: [Curve]\n"
    )
    suite = load_suite(str(file))
    assert [query.evaluators for query in suite.queries] == [("Equals", "Mine", "Contains"), ("Mine", "Contains")]
    assert suite.dataset["evaluators"] == ["Mine", {"Contains": "x"}]
    assert suite.notes == ("'report_evaluators' judge whole reports of pydantic-evals: they are not run",)


WRONG_JSON = [
    ('{"cases": [\n{"inputs": nope}]}', "line 2 does not parse as JSON"),
    ("[" * 100_000, "nested too deeply"),
    ('{"cases": ' + "1" * 5000 + "}", "does not parse"),
]


@pytest.mark.parametrize(("text", "says"), WRONG_JSON)
def test_json_that_does_not_parse(tmp_path: Path, text: str, says: str):
    with pytest.raises(SuiteError, match=says):
        load(tmp_path, text, "mine.json")


def test_text_that_is_not_utf_8(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_bytes("cases:\n- inputs: Größe\n".encode("latin-1"))
    with pytest.raises(SuiteError, match="line 2 is not UTF-8 text"):
        load_suite(str(file))


KEYS = st.sampled_from(["name", "inputs", "metadata", "cases", "expected", "tools", "answer_contains", "category", "x"])
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
CASE = {"name": JSON_VALUES, "inputs": JSON_VALUES | st.text(min_size=1), "metadata": JSON_VALUES}
CASES = st.lists(st.fixed_dictionaries({}, optional=CASE), min_size=1, max_size=4)


@settings(deadline=None)
@given(dataset=JSON_VALUES | st.fixed_dictionaries({"cases": CASES}))
def test_any_json_loads_or_is_a_suite_error(tmp_path_factory: pytest.TempPathFactory, dataset: object):
    folder = tmp_path_factory.getbasetemp()
    queries, message = None, ""
    try:
        queries = load(folder, json.dumps(dataset), "any.json")
    except SuiteError as error:
        message = str(error)
    if queries is None:
        assert "any.json" in message
    else:
        assert isinstance(dataset, dict)
        assert [query.text for query in queries] == [case["inputs"] for case in dataset["cases"]]


def test_loading_a_suite_imports_nothing_slow():
    script = (
        "import sys; from punie_trace.suite import check, load; load.load_suite('discrimination-40'); "
        "print(sorted({'pydantic', 'pydantic_ai', 'pydantic_evals', 'logfire', 'mlx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
