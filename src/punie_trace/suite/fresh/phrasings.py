# ruff: noqa: E501  (tables of templates read better with one entry a line)
"""How people ask: question templates by kind, those trained on and those held out for evaluation, and small variations.

`{x}` stands for what is asked about. The last few templates of each kind are never trained on: they measure whether the
model understands phrasings it has not seen. No names are made here and no answers.
"""

from __future__ import annotations

import random

SEARCH_THINGS = (  # {q}: an optional qualifier with a space after it; {x}: a plural noun
    "Find all {q}{x}", "Find all {q}{x} in the project", "List all {q}{x}", "Show me all {q}{x}", "find every one of the {q}{x}",
    "Which {q}{x} do we have", "What {q}{x} are there", "Give me all the {q}{x} in this repo", "Search for {q}{x}",
    "Where are the {q}{x}", "List the {q}{x} in our code", "Find the {q}{x} in this code base", "Look up all {q}{x}",
    "I need a list of {q}{x}", "Locate all {q}{x}", "Are there any {q}{x} here", "search the code for {q}{x}",
    "Get me every place with {q}{x}", "Do we have {q}{x}", "show all {q}{x} in the codebase", "find {q}{x}",
    "Identify the {q}{x} of this project", "enumerate the {q}{x}", "collect all {q}{x} from the source",
    "How many {q}{x} are in the codebase", "Which files contain {q}{x}", "Where do we define our {q}{x}",
    "Where does this repo keep {q}{x}", "List every {q}{x} in the code", "Which {q}{x} exist in this project",
    "Could you track down the {q}{x}", "I want to see all of our {q}{x}", "What are all the {q}{x} in the source tree",
    "Pull up the list of {q}{x} we have",
)  # fmt: skip
SEARCH_USES = (  # {x}: an identifier or a phrase that is searched for as it is
    "Where is {x} mentioned", "Where is {x} read", "Where is {x} set", "Where does {x} turn up", "Where is {x} referred to",
    "Find all uses of {x}", "Where do we use {x}", "Where is {x} used", "Find all usages of {x}", "Who calls {x}",
    "Which files mention {x}", "List every place that uses {x}", "Find every call of {x}", "Where is {x} imported",
    "Find all references to {x}", "What uses {x}", "Which code depends on {x}", "Search for {x}", "grep for {x}",
    "Show me where {x} is called", "Find {x} in the code", "Which tests cover {x}", "Does anything use {x}",
    "Where do we raise {x}", "Find all imports of {x}", "What calls {x}", "List all callers of {x}", "Who uses {x}",
    "Which modules import {x}", "Where does {x} appear", "Find all places where {x} is used", "How often is {x} used here",
    "Show all occurrences of {x}", "Where in the project is {x} referenced", "find usages of {x} in our code",
    "Which classes inherit from {x}", "Find all subclasses of {x}", "Where do we catch {x}", "is {x} used anywhere",
    "How is {x} used in this project", "Find everything that touches {x}", "Where do we set {x}", "Which files use {x}",
    "Every reference to {x} please", "Tell me which files refer to {x}", "Which functions call {x}", "Where does our code use {x}",
    "list usages of {x}", "I want to know who is calling {x}", "What parts of the code rely on {x}",
)  # fmt: skip
SEARCH_ABOUT = (  # {x}: a plain noun in the singular or plural; the pattern is the noun in the singular
    "How do we handle {x} here", "How does this project handle {x}", "What do we do about {x} in our code", "How do we deal with {x} in this project",
    "Where do we handle {x}", "Where is the code for {x}", "Which files deal with {x}", "Where are {x} checked",
    "Which part of the code is about {x}", "Find the code that handles {x}", "Where is the {x} logic", "Find anything about {x}",
    "Where do we work with {x}", "What code here is about {x}", "Which files mention {x}", "Where do we send {x}",
    "Find every place that creates {x}", "Where are {x} created in this project", "Where do we store {x}",
    "Which functions deal with {x}", "Where are {x} processed", "Where in our code are {x} validated",
    "Search the repo for code that touches {x}", "Which modules know about {x}", "Is there anything on {x} in this repo",
)  # fmt: skip
SEARCH_ABOUT_OURS = (
    "How are {x} handled in this code base",
    "How does our {x} code work",
    "What happens to {x} in our app",
    "Explain our handling of {x}",
    "How are {x} implemented in this repo",
    "How do we process {x}",
    "How does the project send {x}",
    "What do our {x} look like",
    "Describe the handling of {x} in this repo",
    "How do we validate {x} in this app",
    "Explain how {x} work in this project",
    "How are our {x} tested",
    "How does this app store {x}",
)
SEARCH_IN = (  # {x}: a plural noun or an identifier; {p}: a path
    "Find all {x} in {p}",
    "Search for {x} in {p}",
    "grep for {x} in {p}",
    "Where in {p} do we use {x}",
    "Find {x} under {p}",
    "Search {p} for {x}",
    "List all {x} in {p}",
    "Look for {x} inside {p}",
    "Does {p} use {x}",
)
DEFINITION_KINDS = (
    "model",
    "view",
    "serializer",
    "task",
    "manager",
    "form",
    "helper",
    "method",
    "command",
    "signal",
    "mixin",
    "test",
)
DEFINITION_KIND = (  # {x}: a name; {k}: what it is
    "Show me the {x} {k}",
    "Where is the {x} {k}",
    "What does the {x} {k} do",
    "How does the {x} {k} work",
    "Where is the {k} {x} defined",
    "Show me the code of the {x} {k}",
    "What fields does the {x} {k} have",
    "Explain the {x} {k}",
    "Open the {x} {k}",
    "Let me see the {k} {x}",
    "How is the {x} {k} implemented",
    "Print the {x} {k}",
    "What is in the {x} {k}",
)
DEFINITION = (
    "Show me the {x} implementation", "Where is {x} defined", "Show me {x}", "What does {x} do", "How does {x} work",
    "Show the source of {x}", "How is {x} implemented", "Show me the code of {x}", "What does the class {x} look like",
    "Explain what {x} does in this project", "Show me the {x} class", "Show me the {x} function", "Find the definition of {x}",
    "print the implementation of {x}", "What is {x} in our code", "Where can I find {x}", "Where is the {x} class defined",
    "Where is the function {x} defined", "I want to see {x}", "Let me see the code for {x}", "What is {x}", "Open {x}",
    "Give me the full source of {x}", "Display {x}", "What fields does {x} have", "What methods does {x} have",
    "Which fields does {x} define", "Which arguments does {x} take", "What does {x} return", "What does {x} inherit from",
    "show {x}", "Can I see how {x} is written", "Show how {x} works here", "Go to the definition of {x}", "definition of {x}",
    "What attributes does {x} declare", "Show me the body of {x}", "What's inside {x}", "Describe {x}", "How does our {x} work",
    "What is the code of {x}", "What parameters does {x} accept", "Which base class does {x} have", "Show me the model {x}",
    "Quote the {x} class for me", "Where do we define {x}", "Pull up {x}", "How have we written {x}", "What happens in {x}",
)  # fmt: skip
READ = (
    "What is in {x}", "Show me the file {x}", "Open {x}", "Read {x}", "Show me {x}", "What does {x} contain", "Print {x}",
    "What does {x} do", "Show the contents of {x}", "Let me see {x}", "What's in {x}", "What classes are in {x}", "cat {x}",
    "Which functions are in {x}", "Display the file {x}", "Give me the content of {x}", "Summarise {x}", "What is defined in {x}",
    "I want to read {x}", "Take a look at {x}", "look into {x}", "What does the file {x} define", "show {x}", "Please open {x}",
    "Read the file {x} to me", "How does {x} look", "Explain {x}", "What can I find in {x}", "Go through {x}", "view {x}",
    "What code does {x} hold", "Show me everything in {x}", "Bring up {x}", "What do we have in {x}",
)  # fmt: skip
READ_THINGS = (  # {t}: a plural noun; {x}: a path
    "Which {t} are defined in {x}",
    "What {t} does {x} have",
    "Show me the {t} in {x}",
    "What are the {t} in {x}",
    "Which {t} does {x} contain",
    "What {t} are there in {x}",
    "Tell me which {t} are in {x}",
    "Give me the {t} from {x}",
)
READ_NAMED = (
    ("What does the README say", "README.md"),
    ("Show me the README", "README.md"),
    ("Read the readme", "README.md"),
    ("Open the readme file", "README.md"),
    ("Which packages does the project need", "requirements.txt"),
    ("Show me the requirements", "requirements.txt"),
    ("What are our dependencies", "requirements.txt"),
    ("Which dependencies does this project have", "requirements.txt"),
    ("What is in the requirements file", "requirements.txt"),
    ("Show me the manage script", "manage.py"),
    ("What is in manage.py", "manage.py"),
)
STRUCTURE = (  # {x}: a folder
    "What do we keep below {x}", "What is kept under {x}", "What do we have inside {x}", "What is stored under {x}",
    "List whatever is in the {x} directory", "What is there in the {x} directory", "What does the folder {x} have", "List the whole {x} folder",
    "Which things are inside {x}", "What can I find under {x}", "List all that is in the {x} package", "Everything under {x}",
    "What sits under {x}", "What lives below {x}", "Show everything inside the {x} directory", "What have we got in {x}",
    "What files are in {x}", "List the files in {x}", "Which files are in {x}", "Show me the files in {x}", "What is in {x}",
    "What is in the folder {x}", "List {x}", "Show me the structure of {x}", "ls {x}", "What does the {x} folder contain",
    "Which modules are in {x}", "List all files below {x}", "How is {x} organised", "How is the {x} package laid out",
    "What's inside the {x} directory", "show the layout of {x}", "Which files live in {x}", "What files does {x} have",
    "Give me the files of {x}", "Show the {x} directory", "List everything under {x}", "What do we have in the {x} folder",
    "What modules does the {x} app have", "Which files make up {x}", "List the modules of the {x} package",
)  # fmt: skip
LAYOUT = (
    "How is the project laid out", "What files are in the project", "Show me the project structure", "List all files",
    "Which files are there", "What does the repo look like", "How is this code base organised", "What is in this repository",
    "Show the folder structure", "List the files", "What folders does this project have", "Give me an overview of the files",
    "How is the repository structured", "ls", "Which apps does the project have", "Show me the layout of the code",
    "What are the top-level folders here", "What files do we have", "How is our project structured", "show me all the files",
    "List the test files", "Which test files are there", "List all Python files", "What template files do we have",
    "Show me the migration files", "How many files are in the project", "List all modules", "What packages are in this repo",
    "Which modules does this project have", "Show all files of the code base", "What is the file layout here",
    "What is the directory structure", "List the whole tree", "Which directories are in this repo",
)  # fmt: skip
CONCEPT = (
    "What is {x}", "Explain {x}", "What does {x} mean", "Can you explain {x}", "Define {x}", "What is meant by {x}",
    "Tell me about {x}", "What's {x}", "Describe {x} in general", "Explain {x} to me in simple words", "what is {x} in programming",
    "Give me a definition of {x}", "How does {x} work in general", "What is the idea of {x}", "Explain the concept of {x}",
    "What is the purpose of {x}", "I do not understand {x}", "What is {x} good for", "Why do people use {x}", "When is {x} useful",
    "In software, what is {x}", "Could you define {x} for me", "What do people mean by {x}", "Explain briefly what {x} is",
    "What does the term {x} mean", "What problem does {x} solve", "Give a short explanation of {x}", "Why is {x} important",
    "What are the benefits of {x}", "What are the drawbacks of {x}", "What is the meaning of {x}", "How would you define {x}",
    "Help me understand {x}", "Explain how {x} works in general", "In a sentence, what is {x}", "What exactly is {x}",
    "Teach me {x}", "What do developers call {x}", "Why would one use {x}", "Describe {x}",
)  # fmt: skip
CONCEPT_PLURAL = (
    "Why do programs use {x}",
    "Why do developers like {x}",
    "Why do systems have {x}",
    "Why do applications need {x}",
    "Why do servers keep {x}",
    "What are {x}",
    "How do {x} work",
    "What are {x} used for",
    "Explain {x}",
    "Why do we need {x} in general",
    "When are {x} useful",
    "What are {x} good for",
    "What is the point of {x}",
    "Tell me about {x} in general",
    "What do {x} do",
    "Why use {x}",
    "Explain how {x} work",
    "What are the benefits of {x}",
    "Describe what {x} are",
)
CONCEPT_ACRONYM = (
    "What does {x} stand for",
    "What does the acronym {x} mean",
    "What is {x} short for",
    "Spell out {x}",
    "What is {x}",
    "What does the abbreviation {x} stand for",
    "Expand the acronym {x}",
)
COMPARISON = (
    "{a} vs {b}, what is the difference", "{a} versus {b}: which is which", "{a} and {b}, how do they differ", "{a} or {b}, which one and when",
    "What is the difference between {a} and {b}", "How do {a} and {b} differ", "{a} vs {b}", "{a} or {b}", "Compare {a} and {b}",
    "Compare {a} with {b}", "When should I use {a} instead of {b}", "Which is better, {a} or {b}", "How does {a} differ from {b}",
    "What are the pros and cons of {a} and {b}", "Should I use {a} or {b}", "Explain the difference between {a} and {b}",
    "difference between {a} and {b}", "{a} versus {b}", "What distinguishes {a} from {b}", "Is {a} better than {b}",
    "When would you choose {a} over {b}", "What are the trade-offs between {a} and {b}", "How is {a} different from {b}",
    "Contrast {a} with {b}", "Pros and cons of {a} compared to {b}", "Why use {a} rather than {b}", "Do I need {a} or {b}",
    "What sets {a} apart from {b}", "In what way do {a} and {b} differ", "Would you pick {a} or {b}", "Are {a} and {b} the same",
)  # fmt: skip
ADVISING = (
    "When is it wise to {x}", "When does it pay to {x}", "When is it worth the effort to {x}", "When is it sensible to {x}", "When would it be good to {x}",
    "Is it a good idea to {x}", "Why should I {x}", "Is it OK to {x}", "Does it make sense to {x}", "How often should I {x}",
    "How should I {x}", "What is the best way to {x}", "How do I {x}", "How can I {x}", "What is best practice to {x}",
    "Any tips on how to {x}", "How do you {x}", "Give me advice on how to {x}", "What is a good way to {x}", "How to {x}",
    "How would you {x}", "What should I think of when I {x}", "Is there a rule of thumb for how to {x}", "Tips to {x}",
    "What do you recommend to {x}", "How do people usually {x}", "What are good practices to {x}", "When should I {x}",
    "Should I {x}", "What is the right way to {x}", "Could you advise me how to {x}", "What are common mistakes when I {x}",
    "What's a sensible approach to {x}", "How does one {x}", "I wonder how to {x}", "What is the recommended way to {x}",
)  # fmt: skip
ADVISING_DOING = (  # {x}: what is done, in the -ing form
    "Any advice on {x}", "Do you have tips for {x}", "Tips for {x}", "Is {x} worth the effort", "What should I know about {x}",
    "Got any hints for {x}", "What is important when {x}", "Some advice about {x}, in general", "Is {x} a good idea",
    "What are good habits for {x}", "Are there rules for {x}", "What do you think of {x}", "Any recommendations for {x}",
    "Suggestions for {x}", "Is there a trick to {x}",
)  # fmt: skip
ADVISING_THING = (  # {t}, {u}: nouns in the singular, {s}: in the plural
    "How big should a {t} be",
    "When should I write a custom {t}",
    "How many {s} should a {u} have",
    "What makes a good {t}",
    "Should every {u} have a {t}",
    "Where should I put my {s}",
    "How should {s} be named",
    "How do I test a {t}",
    "Do I need a {t}",
    "What should a {t} not do",
    "How should I organise my {s}",
    "When is a {t} a bad idea",
    "Should {s} be small",
    "Is a {t} a good place for a {u}",
    "What belongs in a {t}",
    "When should a {u} become a {t}",
    "How should {s} handle errors",
)
HELD_OUT_SHARE = 6  # one in this many templates, from the end of each table, is only used for evaluation

_BEFORE = ("Please ", "Can you ", "Could you ", "I would like you to ", "hey, ", "Now ", "OK, ", "Quick question: ")
_IMPERATIVE = ("find", "show", "list", "open", "read", "give", "print", "search", "explain", "compare", "define", "locate",
               "look", "display", "describe", "tell", "get", "summarise", "collect", "identify")  # fmt: skip


def choose(rng: random.Random, templates: tuple[str, ...], held_out: bool) -> str:
    """One template: of those trained on, or of those held out."""
    cut = len(templates) - max(2, len(templates) // HELD_OUT_SHARE)
    return rng.choice(templates[cut:] if held_out else templates[:cut])


def vary(rng: random.Random, question: str) -> str:
    """The question with another beginning, case or end. Identifiers inside it are left as they are."""
    first = question.split()[0].lower()
    if first in _IMPERATIVE and rng.random() < 0.25:
        before = rng.choice(_BEFORE)
        question = before + question[0].lower() + question[1:]
        if before.startswith(("Can", "Could")) and rng.random() < 0.7:
            return question + "?"
    elif rng.random() < 0.06:
        question = (
            rng.choice(("Hi, ", "Tell me: ", "So, ", "Quick question: ", "One more thing: "))
            + question[0].lower()
            + question[1:]
        )
    chance = rng.random()
    if chance < 0.15 and question[0].isupper() and question.split()[0][1:].islower():
        question = question[0].lower() + question[1:]
    elif chance < 0.25:
        question = question[0].upper() + question[1:]
    asks = first in (
        "what",
        "what's",
        "where",
        "who",
        "which",
        "how",
        "is",
        "are",
        "do",
        "does",
        "why",
        "when",
        "should",
        "can",
    )
    end = rng.random()
    if asks:
        return question + ("?" if end < 0.8 else "" if end < 0.95 else ", please?")
    return question + ("" if end < 0.6 else "." if end < 0.8 else ", please" if end < 0.9 else " please.")
