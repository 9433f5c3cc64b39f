"""The shipped suites: they load in pydantic-evals as they are, and what they call right is right in the workspace."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml
from pydantic_evals import Dataset

import punie_trace.suite
from punie_trace.agent.toolbox import ERROR_PREFIX, Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.engine.turn_limits import SHIPPED_TOOL_OUTPUT_CHARS
from punie_trace.records import Answer, Query, ToolCall, Verdict
from punie_trace.suite.check import judge
from punie_trace.suite.load import load_suite, sample_workspace, shipped_suites

DATA = Path(punie_trace.suite.__file__).parent / "data"
TOOLBOX = Toolbox(Workspace(sample_workspace()), max_chars=1600)
NAMES = ("discrimination", "discrimination-40")
QUERIES = {query.name: query for name in NAMES for query in load_suite(name).queries}
TOOL_QUERIES = [name for name, query in QUERIES.items() if query.expected == "tool"]

Calls = tuple[tuple[str, str], ...]

SANE_CALLS: dict[str, tuple[Calls, ...]] = {
    "find-views": (
        (("search_code", "view"),),
        (("search_code", r"class \w+View|def \w+\(request"),),
        (("list_files", "."), ("read_file", "accounts/views.py"), ("read_file", "catalog/views.py")),
    ),
    "show-user-serializer": (
        (("find_definition", "UserSerializer"),),
        (("search_code", "class UserSerializer"), ("read_file", "accounts/serializers.py")),
    ),
    "find-async": ((("search_code", "async"),), (("search_code", "async def|await"),)),
    "search-middleware": ((("search_code", "middleware"),), (("read_file", "config/middleware.py"),)),
    "search-httpx": ((("search_code", "httpx"),), (("search_code", "import httpx"),)),
    "search-validation-errors": ((("search_code", "ValidationError"),), (("search_code", "raise .*ValidationError"),)),
    "search-permissions": (
        (("search_code", "permission"),),
        (("search_code", "BasePermission"),),
        (("read_file", "accounts/permissions.py"),),
    ),
    "search-tests": (
        (("search_code", "test"),),
        (("search_code", r"class \w+Tests?\b"),),
        (("read_file", "accounts/tests.py"),),
    ),
    "read-settings": ((("read_file", "config/settings.py"),),),
    "read-requirements": ((("read_file", "requirements.txt"),),),
    "read-loan-urls": ((("read_file", "loans/urls.py"),),),
    "read-filters": ((("read_file", "catalog/filters.py"),),),
    "read-readme": ((("read_file", "README.md"),),),
    "define-calculate-fine": (
        (("find_definition", "calculate_fine"),),
        (("search_code", "def calculate_fine"), ("read_file", "loans/services.py")),
    ),
    "define-open-library-client": (
        (("find_definition", "OpenLibraryClient"),),
        (("search_code", "class OpenLibraryClient"), ("read_file", "catalog/clients.py")),
    ),
    "define-loan-model": (
        (("find_definition", "Loan"),),
        (("search_code", "class Loan"), ("read_file", "loans/models.py")),
        (("read_file", "loans/models.py"),),
    ),
    "define-return-copy": (
        (("find_definition", "return_copy"),),
        (("search_code", "return_copy"), ("read_file", "loans/services.py")),
    ),
    "define-is-librarian": ((("find_definition", "IsLibrarian"),), (("search_code", "class IsLibrarian"),)),
    "use-book-serializer": ((("search_code", "BookSerializer"),),),
    "use-borrower-permission": ((("search_code", "IsBorrowerOrReadOnly"),),),
    "use-sync-to-async": ((("search_code", "sync_to_async"),),),
    "use-max-open-loans": ((("search_code", "MAX_OPEN_LOANS"),),),
    "use-notification": (
        (("search_code", "Notification.objects.create"),),
        (("search_code", r"Notification\.objects\.create\("),),
    ),
    "list-loans": ((("list_files", "loans"),), (("list_files", "loans/"),)),
    "list-notifications": ((("list_files", "notifications"),),),
    "list-project": ((("list_files", "."),), (("read_file", "README.md"),)),
    "list-management": ((("list_files", "catalog/management"),),),
}
PARAMETER = {"search_code": "pattern", "read_file": "path", "list_files": "path", "find_definition": "name"}


def quote(calls: Calls, toolbox: Toolbox = TOOLBOX) -> Answer:
    """What an agent would answer that makes these calls and quotes their results."""
    texts = [toolbox.functions()[tool](argument) for tool, argument in calls]
    executed = tuple(
        ToolCall(tool, {PARAMETER[tool]: argument}, not text.startswith(ERROR_PREFIX))
        for (tool, argument), text in zip(calls, texts, strict=True)
    )
    return Answer("\n".join(texts), executed)


@pytest.mark.parametrize("name", NAMES)
def test_pydantic_evals_loads_it_unchanged(name: str):
    dataset = Dataset[str, str, dict].from_file(DATA / f"{name}.yaml")
    queries = load_suite(name).queries
    assert [(case.name, case.inputs) for case in dataset.cases] == [(query.name, query.text) for query in queries]
    assert [case.metadata for case in dataset.cases] == [stated(query) for query in queries]


def stated(query: Query) -> dict[str, object]:
    """The metadata that a query was made from."""
    metadata = {
        "category": query.category,
        "expected": query.expected,
        "tools": list(query.tools),
        "arguments_contain": list(query.arguments_contain),
        "answer_contains": list(query.answer_contains),
    }
    return {key: value for key, value in metadata.items() if value}


def test_each_shipped_suite_says_what_it_is():
    assert set(shipped_suites()) == {*NAMES, "multi-tool", "sessions"}, "whose right answers tests/recipes checks"
    assert all(20 < len(line) < 140 for line in shipped_suites().values())


def test_discrimination_asks_the_five_standard_questions():
    assert [(query.text, query.expected) for query in load_suite("discrimination").queries] == [
        ("What is dependency injection?", "direct"),
        ("Find all Django views in the codebase", "tool"),
        ("Show me the UserSerializer implementation", "tool"),
        ("Find all uses of async/await", "tool"),
        ("What's the difference between ORM and raw SQL?", "direct"),
    ]


def test_forty_more_cover_the_categories():
    queries = load_suite("discrimination-40").queries
    assert len(queries) == 40
    assert len({query.text.casefold() for query in QUERIES.values()}) == 45
    categories = Counter((query.expected, query.category) for query in queries)
    assert set(categories) == {
        *(("tool", category) for category in ("search", "read", "definition", "usage", "structure")),
        *(("direct", category) for category in ("concept", "comparison", "advice", "definition-of-term")),
    }
    assert min(categories.values()) >= 4
    assert sum(query.expected == "tool" for query in queries) == 24


def test_every_tool_query_names_tools_that_exist_and_what_the_answer_holds():
    for name in TOOL_QUERIES:
        query = QUERIES[name]
        assert query.tools
        assert set(query.tools) <= set(TOOLBOX.functions())
        assert query.answer_contains


def test_there_is_a_sane_call_for_every_right_tool():
    assert set(SANE_CALLS) == set(TOOL_QUERIES)
    for name, ways in SANE_CALLS.items():
        assert {tool for way in ways for tool, _ in way} >= set(QUERIES[name].tools), name


@pytest.mark.parametrize(("name", "calls"), [(name, way) for name, ways in SANE_CALLS.items() for way in ways])
def test_quoting_a_sane_call_is_correct(name: str, calls: Calls):
    answer = quote(calls)
    assert judge(QUERIES[name], answer) is Verdict.CORRECT, answer.text


@pytest.mark.parametrize("name", TOOL_QUERIES)
def test_results_as_short_as_in_the_default_run_hold_the_answer(name: str):
    short = Toolbox(TOOLBOX.workspace, max_chars=SHIPPED_TOOL_OUTPUT_CHARS)
    assert judge(QUERIES[name], quote(SANE_CALLS[name][0], short)) is Verdict.CORRECT


@pytest.mark.parametrize("name", TOOL_QUERIES)
def test_knowing_the_answer_without_looking_is_not_enough(name: str):
    assert judge(QUERIES[name], Answer(quote(SANE_CALLS[name][0]).text)) is Verdict.SHOULD_HAVE_CALLED


@pytest.mark.parametrize("name", TOOL_QUERIES)
def test_looking_without_telling_is_not_enough(name: str):
    looked = quote(SANE_CALLS[name][0])
    assert judge(QUERIES[name], Answer("I looked it up.", looked.tool_calls)) is Verdict.WRONG_ANSWER


@pytest.mark.parametrize("name", [name for name, query in QUERIES.items() if query.expected == "direct"])
def test_a_direct_question_asks_for_its_own_words_at_most(name: str):
    query = QUERIES[name]
    assert judge(query, Answer(query.text.replace("dependency", "dependencies"))) is Verdict.CORRECT
    assert judge(query, quote((("search_code", "test"),))) is Verdict.SHOULD_NOT_HAVE_CALLED


def test_no_facts_of_the_workspace_are_told_by_the_question():
    for name in TOOL_QUERIES:
        query = QUERIES[name]
        assert not any(text.casefold() in query.text.casefold() for text in query.answer_contains), name


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_plain_yaml(name: str):
    loaded = yaml.safe_load((DATA / f"{name}.yaml").read_text(encoding="utf-8"))
    assert set(loaded) == {"name", "cases"}
    assert loaded["name"] == name


SESSIONS = {query.name: query for query in load_suite("sessions").queries}
TOOL_TURNS: dict[str, tuple[str, str]] = {
    "librarian-permission": ("find_definition", "IsLibrarian"),
    "late-fine": ("find_definition", "calculate_fine"),
    "accounts-start": ("find_definition", "AccountsConfig"),
    "sync-to-async": ("search_code", "sync_to_async"),
    "management-command": ("list_files", "catalog/management"),
    "server-entry": ("list_files", "config"),
}


def test_six_sessions_have_three_to_five_turns_and_say_what_is_right_in_each():
    assert SESSIONS.keys() == TOOL_TURNS.keys()
    assert {len(query.turns) for query in SESSIONS.values()} <= {3, 4, 5}
    assert max(len(query.turns) for query in SESSIONS.values()) == 5
    assert all(turn.has_facts for query in SESSIONS.values() for turn in query.turns)
    dataset = Dataset[list[str], str, dict].from_file(DATA / "sessions.yaml")
    assert [case.inputs for case in dataset.cases] == [
        [turn.text for turn in query.turns] for query in SESSIONS.values()
    ]


@pytest.mark.parametrize("name", TOOL_TURNS)
def test_what_a_sessions_tool_returns_answers_the_turns_after_it(name: str):
    query = SESSIONS[name]
    short = Toolbox(TOOLBOX.workspace, max_chars=SHIPPED_TOOL_OUTPUT_CHARS)
    (place,) = [place for place, turn in enumerate(query.turns) if turn.expected == "tool"]
    looked = quote((TOOL_TURNS[name],), short)
    assert judge(query.turns[place], looked) is Verdict.CORRECT
    assert judge(query.turns[place], Answer(looked.text)) is Verdict.SHOULD_HAVE_CALLED
    for turn in query.turns[place + 1 :]:
        # Whether it looks again or answers from what it was told is its own affair.
        assert judge(turn, Answer(looked.text)) is judge(turn, looked) is Verdict.CORRECT, turn.text
        assert judge(turn, Answer("I do not know.")) is Verdict.WRONG_ANSWER
    for turn in query.turns[:place]:
        assert turn.expected == "direct"
