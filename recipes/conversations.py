"""Conversations about a synthetic code base: a question, real tool calls on real files, and the answer they lead to.

Each maker takes the random source, the code base's facts and a toolbox over it, and gives a `Conversation`. An answer
is a few words that go with its kind, and then the tool's result, whole: a small greedy model can learn to copy, but not
to count lines or to choose among them. What a tool returns is what `Toolbox` returned.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from punie_trace.agent.toolbox import ERROR_PREFIX, Toolbox
from punie_trace.suite.fresh import phrasings
from punie_trace.suite.fresh.names import (
    DOMAIN,
    FIELDS,
    SUFFIXES,
    camel,
    class_name,
    function_name,
    made_up_word,
    noun,
    plural,
    word_list,
)  # fmt: skip
from punie_trace.suite.fresh.programming_terms import FRAMEWORKS, KNOWN_THINGS, LIBRARY_NAMES
from recipes.chat import Call, Conversation, Turn

R = random.Random
FOUND = "Found in this code base:"
SOURCE = "Here is its source:"
CONTENT = "Here is what is in it:"
FILES = "These are the files:"
PLAIN_QUALIFIERS = (
    "custom",
    "new",
    "old",
    "abstract",
    "public",
    "private",
    "failing",
    "existing",
    "defined",
    "registered",
)
GENERIC_HEADS = (
    "classes",
    "functions",
    "methods",
    "calls",
    "statements",
    "definitions",
    "usages",
    "files",
    "declarations",
    "blocks",
)
_NOT_SUBJECTS = frozenset(
    word_list(
        """
    self return def class from import none true false with for not raise except async await
    """
    )
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What can be asked about: classes and functions (name, file), dotted methods, files, folders, words."""

    names: list[str]
    methods: list[str]
    files: list[str]
    folders: list[str]
    words: list[str]


def facts(codebase: dict[str, str]) -> Facts:
    """The names and paths of a code base."""
    names, methods = [], []
    for path, text in codebase.items():
        if not path.endswith(".py"):
            continue
        owner = ""
        for line in text.splitlines():
            if found := re.match(r"( *)(class|def|async def) (\w+)", line):
                indent, kind, name = found.groups()
                if name.startswith("__") or name == "Meta":
                    continue
                if indent:
                    methods.append(f"{owner}.{name}")
                else:
                    names.append(name)
                    owner = name if kind == "class" else ""
    folders = sorted({str(PurePosixPath(p).parent) for p in codebase if "/" in p})
    humps = {w.lower() for text in codebase.values() for w in re.findall(r"[A-Z]?[a-z]{3,}", text)}
    words = sorted(w for w in humps if not w.endswith("s") and w not in _NOT_SUBJECTS)
    return Facts(names, [m for m in methods if not m.startswith(".")], sorted(codebase), folders, words)


def search_things(rng: R, known: Facts, tools: Toolbox, held_out: bool) -> Conversation:
    """'Find all Celery tasks' -> the noun in the singular; 'signal handlers' -> both words."""
    chance = rng.random()
    thing = rng.choice(KNOWN_THINGS) if chance < 0.35 else rng.choice(known.words) if chance < 0.75 else noun(rng, 0.6)
    if rng.random() < 0.1:
        thing = rng.choice(SUFFIXES).lower()
    asked, pattern = plural(thing), thing
    qualifier, form = "", rng.random()
    if form < 0.4:
        qualifier = rng.choice(FRAMEWORKS) if rng.random() < 0.65 else camel(made_up_word(rng))
    elif form < 0.5:
        qualifier = rng.choice(PLAIN_QUALIFIERS)
    elif form < 0.6:
        other = rng.choice(KNOWN_THINGS) if rng.random() < 0.5 else noun(rng, 0.5)
        if other != thing:
            qualifier, pattern = other, f"{other}|{thing}"
    elif form < 0.7:
        asked = f"{thing} {rng.choice(GENERIC_HEADS)}"
        if rng.random() < 0.4:
            qualifier = rng.choice((*PLAIN_QUALIFIERS, *FRAMEWORKS))
    if qualifier == "Django" and thing == "view":
        qualifier = "Flask"
    template = phrasings.choose(rng, phrasings.SEARCH_THINGS, held_out)
    if " every {q}{x} " in template:
        asked = thing
    question = template.format(q=qualifier + " " if qualifier else "", x=asked)
    return _search(rng, tools, question, pattern, "search")


def search_uses(rng: R, known: Facts, tools: Toolbox, held_out: bool) -> Conversation:
    """'Where is apply_discount used' -> the identifier itself; 'lock/unlock' -> both."""
    chance = rng.random()
    if chance < 0.40 and known.names:
        name = rng.choice(known.names)
    elif chance < 0.55:
        name = rng.choice(LIBRARY_NAMES)
    elif chance < 0.7:
        name = class_name(rng) if rng.random() < 0.5 else function_name(rng)
    elif chance < 0.78 and known.methods:
        name = rng.choice(known.methods).split(".")[1]
    elif chance < 0.86:
        name = rng.choice(FIELDS)
    else:
        first, second = (_other_than_async(rng) for _ in range(2))
        question = phrasings.choose(rng, phrasings.SEARCH_USES, held_out)
        asked = f"{first}{rng.choice(('/', '/', '/', ' and ', ' or '))}{second}"
        return _search(rng, tools, question.format(x=asked), f"{first}|{second}", "usage")
    said = f"`{name}`" if rng.random() < 0.12 else f"{name}()" if name[0].islower() and rng.random() < 0.08 else name
    if rng.random() < 0.15:
        kind = "the class " if name[0].isupper() else "the function " if "_" in name else ""
        said = kind + said
    question = phrasings.choose(rng, phrasings.SEARCH_USES, held_out).format(x=said)
    return _search(
        rng,
        tools,
        question,
        re.escape(name).replace("\\_", "_") if not re.fullmatch(r"[\w.@]+", name) else name,
        "usage",
    )


def search_about(rng: R, known: Facts, tools: Toolbox, held_out: bool) -> Conversation:
    """'Where do we handle refunds' -> refund."""
    chance = rng.random()
    word = rng.choice(known.words) if chance < 0.5 else noun(rng, 0.5) if chance < 0.8 else rng.choice(KNOWN_THINGS)
    asked = plural(word) if rng.random() < 0.7 else word
    question = phrasings.choose(rng, phrasings.SEARCH_ABOUT, held_out).format(x=asked)
    return _search(rng, tools, question, word, "search")


def search_ours(rng: R, known: Facts, tools: Toolbox, held_out: bool) -> Conversation:
    """'How do we process refunds' -> refund."""
    word = (
        rng.choice(known.words)
        if rng.random() < 0.5
        else rng.choice(KNOWN_THINGS)
        if rng.random() < 0.5
        else noun(rng, 0.5)
    )
    question = phrasings.choose(rng, phrasings.SEARCH_ABOUT_OURS, held_out).format(x=plural(word))
    return _search(rng, tools, question, word, "search")


def search_in(rng: R, known: Facts, tools: Toolbox, held_out: bool) -> Conversation:
    """'Find all signals in shop/apps.py' -> the same, and the path."""
    path = rng.choice(known.files if rng.random() < 0.5 or not known.folders else known.folders)
    word = rng.choice(known.words) if rng.random() < 0.6 else rng.choice(KNOWN_THINGS)
    asked, pattern = (plural(word), word) if rng.random() < 0.6 else (name := rng.choice(known.names or ["main"]), name)
    question = phrasings.choose(rng, phrasings.SEARCH_IN, held_out).format(x=asked, p=path)
    call = Call("search_code", {"pattern": pattern, "path": path})
    result = tools.search_code(pattern, path)
    return Conversation(
        phrasings.vary(rng, question), (Turn(result, call), Turn(search_answer(pattern, result))), "search"
    )


def _other_than_async(rng: R) -> str:
    return rng.choice(
        (rng.choice(KNOWN_THINGS), made_up_word(rng), rng.choice(DOMAIN), rng.choice(LIBRARY_NAMES).strip("@"))
    )


def _search(rng: R, tools: Toolbox, question: str, pattern: str, kind: str) -> Conversation:
    call = Call("search_code", {"pattern": pattern})
    result = tools.search_code(pattern)
    return Conversation(phrasings.vary(rng, question), (Turn(result, call), Turn(search_answer(pattern, result))), kind)


def search_answer(pattern: str, result: str) -> str:
    """The answer to a search: what was found, or that there is nothing."""
    if result.startswith((ERROR_PREFIX, "no match")):
        return failed_answer(result, pattern)
    return f"{FOUND}\n{result}"


def failed_answer(result: str, what: str) -> str:
    """The answer where a tool found nothing or refused."""
    if result.startswith(ERROR_PREFIX):
        return f"That did not work: {result.removeprefix(ERROR_PREFIX).split(chr(10))[0]}."
    return f"There is nothing about '{what}' in this code base."


def definition(rng: R, known: Facts, tools: Toolbox, held_out: bool) -> Conversation:
    """'Show me the OrderView implementation' -> find_definition, and its source quoted; if there is none, a search."""
    chance = rng.random()
    if chance < 0.72 and known.names:
        name = rng.choice(known.names)
    elif chance < 0.88 and known.methods:
        name = rng.choice(known.methods)
        if rng.random() < 0.3:
            name = name.split(".")[1]
    else:
        name = class_name(rng) if rng.random() < 0.6 else function_name(rng)
    template = phrasings.choose(rng, phrasings.DEFINITION, held_out)
    if rng.random() < 0.2:
        template = phrasings.choose(rng, phrasings.DEFINITION_KIND, held_out)
        template = template.replace("{k}", rng.choice(phrasings.DEFINITION_KINDS))
    plain_word = re.fullmatch(r"[a-z]+|[A-Z][a-z]*", name) is not None
    if plain_word and not any(k in template for k in ("class", "function", *phrasings.DEFINITION_KINDS)):
        name_said = f"the {name} {'class' if name[0].isupper() else 'function'}"
    else:
        name_said = (
            f"`{name}`" if rng.random() < 0.12 else f"{name}()" if name[0].islower() and rng.random() < 0.1 else name
        )
    question = phrasings.vary(rng, template.format(x=name_said).replace("the the ", "the "))
    call = Call("find_definition", {"name": name})
    result = tools.find_definition(name)
    if not result.startswith("no definition"):
        return Conversation(question, (Turn(result, call), Turn(definition_answer(name, result))), "definition")
    last = name.split(".")[-1]
    found = tools.search_code(last)
    answer = search_answer(last, found)
    turns = (Turn(result, call), Turn(found, Call("search_code", {"pattern": last})), Turn(answer))
    return Conversation(question, turns, "definition")


def definition_answer(name: str, result: str) -> str:
    """Where it is, and the source as the tool returned it."""
    return failed_answer(result, name) if result.startswith(ERROR_PREFIX) else f"{SOURCE}\n{result}"


def read(rng: R, known: Facts, tools: Toolbox, held_out: bool) -> Conversation:
    """'What is in shop/models.py' -> read_file; a wrong path is corrected by the nearest that the error names."""
    path = rng.choice(known.files)
    chance = rng.random()
    asked = path
    if chance < 0.12:
        asked = path.rsplit("/", 1)[-1]
    elif chance < 0.17:
        asked = f"{noun(rng)}/{noun(rng)}.py"
    said = f"`{asked}`" if rng.random() < 0.1 else f"the file {asked}" if rng.random() < 0.08 else asked
    question = phrasings.vary(
        rng, phrasings.choose(rng, phrasings.READ, held_out).format(x=said).replace("file the file", "file")
    )
    result = tools.read_file(asked)
    turns = [Turn(result, Call("read_file", {"path": asked}))]
    if nearest := re.search(r"; the nearest is '([^']+)'$", result):
        asked = nearest[1]
        result = tools.read_file(asked)
        turns.append(Turn(result, Call("read_file", {"path": asked})))
    return Conversation(question, (*turns, Turn(read_answer(asked, result))), "read")


def read_answer(path: str, result: str) -> str:
    """What the tool returned of the file."""
    return failed_answer(result, path) if result.startswith(ERROR_PREFIX) else f"{CONTENT}\n{result}"


def structure(rng: R, known: Facts, tools: Toolbox, held_out: bool) -> Conversation:
    """'What files are in shop' -> list_files of it; the whole project -> list_files of '.'."""
    if rng.random() < 0.3 or not known.folders:
        question, path = phrasings.choose(rng, phrasings.LAYOUT, held_out), "."
    else:
        path = rng.choice(known.folders) if rng.random() < 0.92 else f"{noun(rng)}/{noun(rng)}"
        said = path + "/" if rng.random() < 0.5 else path
        template = phrasings.choose(rng, phrasings.STRUCTURE, held_out)
        if template.endswith("in {x}") and said.isalpha():
            said = f"the {said} folder"
        question = template.format(x=said)
    arguments = {} if path == "." else {"path": path}
    result = tools.list_files(path)
    return Conversation(
        phrasings.vary(rng, question),
        (Turn(result, Call("list_files", arguments)), Turn(list_answer(path, result))),
        "structure",
    )


def list_answer(path: str, result: str) -> str:
    """What the tool returned of the folder."""
    return failed_answer(result, path) if result.startswith(ERROR_PREFIX) else f"{FILES}\n{result}"


MAKERS = (
    (search_things, 24), (search_uses, 20), (search_about, 7), (search_ours, 6), (search_in, 5), (definition, 30),
    (read, 20), (structure, 18),
)  # fmt: skip


def tool_conversation(rng: R, known: Facts, tools: Toolbox, held_out: bool = False) -> Conversation:
    """One conversation that needs the code base, of a random kind."""
    maker = rng.choices([m for m, _ in MAKERS], [w for _, w in MAKERS])[0]
    return maker(rng, known, tools, held_out)
