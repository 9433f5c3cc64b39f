"""Judge one answer by what its case says of itself: which verdict it gets, and what the constant answers would get.

Pure: no I/O, no clock, and no opinion on style. Only what the suite says is judged; what it leaves out cannot be wrong,
but for an answer that is empty. Only calls that the server sent as calls count, not those that the model wrote about.
Evaluators are run elsewhere (`judging`); how their findings and this verdict become one is said here (`settle`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from punie_trace.records import Answer, EndedQuery, Evaluation, JsonValue, Judgement, Query, ToolCall, Turn, Verdict
from punie_trace.spans import names

TOOL_CALL_MARK = "<tool_call>"


_RIGHT_OR_OPEN = (Verdict.CORRECT, Verdict.NOT_JUDGED)


def judge(query: Query | Turn, answer: Answer | None, *, timed_out: bool = False, error: str | None = None) -> Verdict:
    """The verdict on `answer`: the first that applies, in this order.

    1. `TIMEOUT`: the deadline passed.
    2. `ERROR`: there is no answer, or `error` is set (an error without words is one too).
    3. `UNPARSED_CALL`: a generation ended with a call that the server could not parse, or the final text holds the
       mark of one. Before the answer's own error, which it often is the cause of. Then `ERROR` for that one.
    4. `NOT_JUDGED`: the case says nothing of what is right.
    5. Where a tool is expected (`expected` is 'tool', or is not given while `tools` or `arguments_contain` are):
       `SHOULD_HAVE_CALLED` with no call; `WRONG_TOOL` where none of the calls is of a right tool; `BAD_ARGUMENTS`
       where no call of a right tool could be run, or no single one holds all of `arguments_contain`. A call whose tool
       returned an error was executed, but its arguments never count as the ones asked for. Calls that code made count
       like all others; code that was refused or stopped before it called a right tool is `BAD_ARGUMENTS`.
    6. `SHOULD_NOT_HAVE_CALLED`: a direct answer is expected and a call was made.
    7. `WRONG_ANSWER`: the final answer is empty or lacks one of `answer_contains`.
    8. `CORRECT`.

    Texts are compared without regard to case.
    """
    if timed_out:
        return Verdict.TIMEOUT
    if answer is None or error is not None:
        return Verdict.ERROR
    if TOOL_CALL_MARK in answer.text or any(g.unparsed_call for g in answer.generations):
        return Verdict.UNPARSED_CALL
    if answer.error is not None:
        return Verdict.ERROR
    if not query.has_facts:
        return Verdict.NOT_JUDGED
    return _judge_calls(query, answer.tool_calls) or _judge_text(query, answer.text)


async def judge_by_facts(ended: EndedQuery) -> Judgement:
    """The judgement by the facts of the case alone, in the form in which a driver asks for it."""
    return judge_ended(ended)


def judge_ended(ended: EndedQuery) -> Judgement:
    """The judgement by the facts of the case: of one question `judge`, of a session each turn and then the whole.

    A session is correct where every turn is of which something is said, and the whole (all its calls, its last answer)
    where the case says something of that. Else it has the verdict of the first turn that is not right; but a session
    that failed or timed out, or in which a call was not parsed, has that one. A turn that was not asked has no verdict.
    """
    query, answer = ended.query, ended.answer
    whole = judge(query, answer, timed_out=ended.timed_out, error=ended.error)
    if not query.turns:
        return Judgement(whole)
    asked = answer.turns if answer is not None else ()
    pairs = zip(query.turns, asked, strict=False)
    verdicts = tuple(judge(turn, one, timed_out=ended.timed_out and one is None) for turn, one in pairs)
    if whole in (Verdict.TIMEOUT, Verdict.ERROR, Verdict.UNPARSED_CALL):
        return Judgement(whole, turns=verdicts)
    wrong = next((verdict for verdict in verdicts if verdict not in _RIGHT_OR_OPEN), None)
    if wrong is not None:
        return Judgement(wrong, turns=verdicts)
    if whole is Verdict.NOT_JUDGED and Verdict.CORRECT in verdicts:
        whole = Verdict.CORRECT
    return Judgement(whole, turns=verdicts)


def settle(judgement: Judgement, evaluations: Sequence[Evaluation]) -> Judgement:
    """The judgement where the case's own facts gave `judgement` and evaluators found `evaluations`.

    What is wrong by the case's own facts stays so. Else a failed assertion is a `WRONG_ANSWER`, with the evaluator's
    own reason; else an evaluator that failed leaves the case `NOT_JUDGED`, as what it would have said is not known;
    else one assertion that holds makes `CORRECT` of a case without facts. Scores and labels decide nothing.
    """
    found = tuple(evaluations)
    verdict, reason = judgement.verdict, judgement.reason
    if verdict in _RIGHT_OR_OPEN:
        wrong = next((one for one in found if one.value is False), None)
        failed = next((one for one in found if one.value is None), None)
        if wrong is not None:
            verdict, reason = Verdict.WRONG_ANSWER, f"{wrong.name}: {wrong.reason or 'does not hold'}"
        elif failed is not None:
            verdict, reason = Verdict.NOT_JUDGED, f"{failed.name}: {failed.reason or 'the evaluator failed'}"
        elif any(one.value is True for one in found):
            verdict = Verdict.CORRECT
    return Judgement(verdict, reason, found, judgement.turns)


def constant_answers(queries: Iterable[Query]) -> tuple[float, float]:
    """Accuracy (0 to 1) of 'always a tool' and of 'never a tool', over the queries that say what they expect.

    It is the score of telling tool from direct alone, as if arguments and answers were right: what a model must beat.
    Without such a query both are 0.0.
    """
    expected = [query.expected for query in queries if query.expected is not None]
    if not expected:
        return 0.0, 0.0
    return expected.count("tool") / len(expected), expected.count("direct") / len(expected)


def _judge_calls(query: Query | Turn, calls: tuple[ToolCall, ...]) -> Verdict | None:
    if query.expected == "direct":
        return Verdict.SHOULD_NOT_HAVE_CALLED if calls else None
    if query.expected is None and not query.tools and not query.arguments_contain:
        return None
    if not calls:
        return Verdict.SHOULD_HAVE_CALLED
    right = [call for call in calls if not query.tools or call.name in query.tools]
    if not right:
        stopped = any(call.name == names.RUN_CODE and not call.ok for call in calls)
        return Verdict.BAD_ARGUMENTS if stopped else Verdict.WRONG_TOOL
    if all(call.refused is not None for call in right):
        return Verdict.BAD_ARGUMENTS
    return None if _any_has_arguments(query, right) else Verdict.BAD_ARGUMENTS


def _any_has_arguments(query: Query | Turn, calls: Iterable[ToolCall]) -> bool:
    if not query.arguments_contain:
        return True
    return any(call.ok and _holds_all(_argument_text(call), query.arguments_contain) for call in calls)


def _judge_text(query: Query | Turn, text: str) -> Verdict:
    if text.strip() and _holds_all(text, query.answer_contains):
        return Verdict.CORRECT
    return Verdict.WRONG_ANSWER


def _holds_all(text: str, wanted: Iterable[str]) -> bool:
    folded = text.casefold()
    return all(item.casefold() in folded for item in wanted)


def _argument_text(call: ToolCall) -> str:
    """The values of the arguments, one a line: their names are the tool's words, not the model's."""
    return "\n".join(_leaves(call.arguments))


def _leaves(value: JsonValue) -> Iterator[str]:
    pending: list[JsonValue] = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(reversed(item))
        elif isinstance(item, dict):
            pending.extend(reversed(item.values()))
        elif item is not None:
            yield str(item)
