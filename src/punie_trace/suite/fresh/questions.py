"""A suite of questions never seen before: as many as are asked for, the same for the same seed and number.

Four in ten need no tool; the others ask for a definition, the uses of a name, a file or a folder of a code base made
for them. What is right comes from the text of that code base (`subjects`). Nothing is written to a disk here.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from punie_trace.errors import SuiteError
from punie_trace.records import Query
from punie_trace.suite.fresh import phrasings
from punie_trace.suite.fresh.codebase import make_codebase
from punie_trace.suite.fresh.names import made_up_word, word_list
from punie_trace.suite.fresh.subjects import Subject, contents, definitions, folders, uses

MOST_QUESTIONS: Final = 1000
DIRECT_SHARE: Final = 0.4
TOOLS: Final[Mapping[str, str]] = {
    "definition": "find_definition",
    "usage": "search_code",
    "read": "read_file",
    "structure": "list_files",
}
_TEMPLATES: Final[Mapping[str, tuple[str, ...]]] = {
    "definition": phrasings.DEFINITION,
    "usage": phrasings.SEARCH_USES,
    "read": phrasings.READ,
    "structure": phrasings.STRUCTURE,
}
_NOT_SAID_OF: Final = {  # words in a template that do not fit what is asked about
    "definition": ("field", "attribute", "method", "inherit", "base class", "model"),
    "usage": ("inherit", "subclass", "catch", "raise", "call", "import", "test"),
    "read": ("class", "function"),
    "structure": ("app ", "package", "modules"),
}
_IDEAS: Final = word_list(
    """
    architecture balancing caching hashing injection locking pattern principle programming routing sampling scheduling
    sourcing testing theorem
    """
)
_MODIFIERS: Final = word_list(
    """
    chaos clean contract distributed domain dynamic event functional fuzzy graph hexagonal layered memory message
    mutation parallel property reactive snapshot static stream symbolic trunk vector
    """
)


@dataclass(frozen=True, slots=True)
class FreshSuite:
    """Questions, and the code base that they ask about: path to text. `digest` is SHA-256 over both, in hex."""

    queries: tuple[Query, ...]
    files: Mapping[str, str]
    digest: str


def make_fresh(count: int, seed: int) -> FreshSuite:
    """`count` questions by `seed`. Raises `SuiteError` for a count outside of 1 to `MOST_QUESTIONS`."""
    if not 1 <= count <= MOST_QUESTIONS:
        raise SuiteError(f"a fresh suite has 1 to {MOST_QUESTIONS} questions, not {count}; write fresh:60 for sixty")
    rng = random.Random(f"fresh {seed} {count}")
    direct = round(count * DIRECT_SHARE)
    kinds = [tuple(TOOLS)[number % len(TOOLS)] for number in range(count - direct)]
    files, subjects = _codebase(rng, {kind: kinds.count(kind) for kind in TOOLS})
    queries = [_about_code(rng, kind, subject) for kind, chosen in subjects.items() for subject in chosen]
    asked: set[str] = set()
    while len(asked) < direct:
        asked.add(_idea(rng))
    queries += [_about_ideas(rng, idea) for idea in sorted(asked)]
    rng.shuffle(queries)
    numbered = tuple(replace(query, name=f"{query.name}-{number}") for number, query in enumerate(queries, start=1))
    return FreshSuite(numbered, files, digest_of(numbered, files))


def digest_of(queries: Sequence[Query], files: Mapping[str, str]) -> str:
    """SHA-256, in hex, over the questions, what is right, and the files."""
    written = json.dumps([[q.text, q.answer_contains] for q in queries] + sorted(files.items()), sort_keys=True)
    return hashlib.sha256(written.encode()).hexdigest()


def _codebase(rng: random.Random, wanted: Mapping[str, int]) -> tuple[dict[str, str], dict[str, tuple[Subject, ...]]]:
    """Files with as many subjects of each kind as are wanted, and these: code bases side by side until there are."""
    files: dict[str, str] = {}
    bases = 0
    while True:
        for _ in range(max(1, bases)):  # twice as many each time
            root = f"{made_up_word(rng)}/" if files else ""
            codebase = {f"{root}{path}": text for path, text in make_codebase(rng).items()}
            files |= {path: text for path, text in codebase.items() if path not in files}
            bases += 1
        found = {
            "definition": definitions(files),
            "usage": uses(files, rng, wanted["usage"]),
            "read": contents(files),
            "structure": folders(files),
        }
        if all(len(found[kind]) >= count for kind, count in wanted.items()):
            return files, {kind: tuple(rng.sample(found[kind], count)) for kind, count in wanted.items()}


def _about_code(rng: random.Random, kind: str, subject: Subject) -> Query:
    wrong = [*_NOT_SAID_OF[kind], *(("function",) if subject.name[:1].isupper() else ("class",))]
    fitting = tuple(template for template in _TEMPLATES[kind] if not any(word in template for word in wrong))
    template = phrasings.choose(rng, fitting, held_out=False)
    name = subject.name
    if kind == "structure":
        name = f"the {name} folder" if template.endswith("in {x}") and name.isalpha() else f"{name}/"
    text = phrasings.vary(rng, template.format(x=name).replace("the the ", "the "))
    return Query(
        name=kind,
        text=text,
        expected="tool",
        tools=(TOOLS[kind],),
        arguments_contain=(subject.name,),
        answer_contains=subject.answer_contains,
        category=kind,
    )


def _about_ideas(rng: random.Random, idea: str) -> Query:
    template = phrasings.choose(rng, phrasings.CONCEPT, held_out=False)
    text = phrasings.vary(rng, template.format(x=idea))
    return Query(name="concept", text=text, expected="direct", category="concept")


def _idea(rng: random.Random) -> str:
    modifier = rng.choice(_MODIFIERS) if rng.random() < 0.7 else made_up_word(rng)
    return f"{modifier} {rng.choice(_IDEAS)}"
