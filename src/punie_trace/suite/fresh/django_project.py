"""A synthetic Django project whose parts refer to each other, as questions of several steps need them.

Views name serializers, serializers name models, models refer to models, functions use settings. Names and docstrings
are drawn at random, and everything follows from the `random.Random` given. `codebase` makes files that stand alone, in
more styles; questions are made elsewhere.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from punie_trace.suite.fresh.names import (
    ADJECTIVES,
    FIELDS,
    VERBS,
    camel,
    class_name,
    function_name,
    made_up_word,
    noun,
    plural,
)
from punie_trace.suite.fresh.python_source import statements

R = random.Random
_RELATIONS = ("ForeignKey", "ForeignKey", "OneToOneField", "ManyToManyField")
_PLAIN_FIELDS = (
    "CharField(max_length={n})", "TextField(blank=True)", "DateField()", "DateTimeField(null=True)",
    "PositiveIntegerField(default=0)", "BooleanField(default=False)", "SlugField(unique=True)",
)  # fmt: skip
_VIEW_ENDINGS = ("View", "View", "ListView", "DetailView", "CreateView", "ViewSet", "Endpoint")
_VIEW_BASES = ("generics.ListAPIView", "generics.CreateAPIView", "viewsets.ModelViewSet", "generics.RetrieveAPIView")


@dataclass(frozen=True, slots=True)
class _Names:
    """The apps, the models of each by (app, name), and the project's settings with a number."""

    apps: list[str]
    models: list[tuple[str, str]]
    settings: list[str]


def make_project(rng: R) -> dict[str, str]:
    """Path to text of a project of two to four apps, and `config/settings.py`."""
    apps = [*dict.fromkeys(plural(noun(rng)) if rng.random() < 0.7 else noun(rng) for _ in range(rng.randint(2, 4)))]
    models = [*dict.fromkeys(class_name(rng, "") for _ in range(rng.randint(5, 9)))]
    settings = [*dict.fromkeys(_setting(rng) for _ in range(rng.randint(3, 7)))]
    names = _Names(apps, [(rng.choice(apps), model) for model in models], settings)
    files = {"config/settings.py": _settings_file(rng, names), "config/urls.py": _urls(names)}
    serializers: dict[str, str] = {}
    for app in apps:
        own = [model for where, model in names.models if where == app]
        parts = {
            "models": [_model(rng, names, model) for model in own],
            "serializers": [_serializer(rng, model, serializers) for model in own],
            "services": [_service(rng, names) for _ in range(rng.randint(1, 3))],
            rng.choice(("permissions", "signals", "filters", "tasks")): [_other(rng) for _ in range(rng.randint(1, 4))],
            rng.choice(("tests", "exceptions", "clients")): [_other(rng) for _ in range(rng.randint(1, 5))],
        }
        parts["views"] = [_view(rng, serializers[model], model) for model in own for _ in range(rng.randint(1, 2))]
        for module, texts in parts.items():
            if texts:
                files[f"{app}/{module}.py"] = _module(rng, app, texts)
    return files


def sentence(rng: R) -> str:
    """What a docstring may say, with the full stop."""
    a, b, c = noun(rng, 0.1), noun(rng, 0.1), noun(rng, 0.2)
    verb, adjective, field = rng.choice(VERBS), rng.choice(ADJECTIVES), rng.choice(FIELDS).replace("_", " ")
    return rng.choice(
        (
            f"{verb.capitalize()} the {adjective} {a}.",
            f"What a {a} shows to the {b} that is {adjective}.",
            f"{plural(a).capitalize()} of the {b}, by {field}.",
            f"One {a} in the hands of one {b}.",
            f"The {field} of a {a} and its {plural(b)}.",
            f"Only a {a} may {verb} the {b}, others may look.",
            f"Raised when no {a} is left to {verb}.",
            f"{camel(a)} with the {field} of its {c}.",
            f"Give the {a} another {b}, and {verb} it.",
            f"A {adjective} {a}.",
        )
    )


def _docstring(rng: R, indent: str) -> str:
    text = sentence(rng)
    if rng.random() < 0.15:
        return f'{indent}"""{text}\n\n{indent}{sentence(rng)}\n{indent}"""\n'
    return f'{indent}"""{text}"""\n'


def _model(rng: R, names: _Names, model: str) -> str:
    """A model that refers, more often than not, to one before it in the list: so no way leads back."""
    before = [name for _, name in names.models]
    before = before[: before.index(model)]
    fields = [_plain_field(rng) for _ in range(rng.randint(0, 2))]
    if before and rng.random() < 0.85:
        fields.append(_relation(rng, before[-1] if rng.random() < 0.6 else rng.choice(before)))
    fields += [_plain_field(rng) for _ in range(rng.randint(0, 2))]
    if before and rng.random() < 0.3:
        fields.append(_relation(rng, rng.choice(before)))
    meta = f'\n    class Meta:\n        ordering = ["{rng.choice(FIELDS)}"]\n' if rng.random() < 0.3 else ""
    body = "".join(fields or [_plain_field(rng)])
    return f"class {model}(models.Model):\n{_docstring(rng, '    ')}\n{body}{meta}"


def _plain_field(rng: R) -> str:
    return f"    {rng.choice(FIELDS)} = models.{rng.choice(_PLAIN_FIELDS).format(n=rng.choice((8, 20, 50, 200)))}\n"


def _relation(rng: R, other: str) -> str:
    kind = rng.choice(_RELATIONS)
    more = rng.choice(("", f', related_name="{plural(noun(rng))}"'))
    if kind != "ManyToManyField":
        more = f", on_delete=models.{rng.choice(('CASCADE', 'PROTECT'))}{more}"
    if rng.random() < 0.15:
        return f"    {noun(rng)} = models.{kind}(\n        {other}{more}\n    )\n"
    return f"    {noun(rng)} = models.{kind}({other}{more})\n"


def _serializer(rng: R, model: str, serializers: dict[str, str]) -> str:
    name = f"{model}Serializer" if rng.random() < 0.6 else class_name(rng, "Serializer")
    serializers[model] = name
    fields = ", ".join(f'"{field}"' for field in rng.sample(FIELDS, rng.randint(1, 4)))
    own = f'    {rng.choice(FIELDS)} = serializers.CharField(source="{noun(rng)}.{rng.choice(FIELDS)}")\n\n'
    return (
        f"class {name}(serializers.ModelSerializer):\n{_docstring(rng, '    ')}\n{own if rng.random() < 0.4 else ''}"
        f"    class Meta:\n        model = {model}\n        fields = ({fields},)\n"
    )


def _view(rng: R, serializer: str, model: str) -> str:
    ending = rng.choice(_VIEW_ENDINGS)
    name = f"{model}{ending}" if rng.random() < 0.5 else class_name(rng, ending)
    lines = [f"    serializer_class = {serializer}\n"]
    if rng.random() < 0.4:
        lines.append(f"    queryset = {model}.objects.all()\n")
    if rng.random() < 0.4:
        lines.append(f"    permission_classes = [{class_name(rng, 'Permission')}]\n")
    rng.shuffle(lines)
    methods = _methods(rng, 1) if rng.random() < 0.4 else ""
    return f"class {name}({rng.choice(_VIEW_BASES)}):\n{_docstring(rng, '    ')}\n{''.join(lines)}{methods}"


def _service(rng: R, names: _Names) -> str:
    used = [f"settings.{name}" for name in rng.sample(names.settings, rng.randint(1, min(3, len(names.settings))))]
    argument, field = noun(rng), rng.choice(FIELDS)
    lines = [
        rng.choice(
            (
                f"    if {argument}.{field} >= {setting}:\n        raise {class_name(rng, 'Error')}\n",
                f"    {rng.choice(FIELDS)} = {argument}.{rng.choice(FIELDS)} * {setting}\n",
                f"    {argument}.{rng.choice(FIELDS)} += timedelta(days={setting})\n",
                f"    {noun(rng)} = {function_name(rng)}({argument}, {setting})\n",
            )
        )
        for setting in used
    ]
    name = function_name(rng) if rng.random() < 0.7 else rng.choice(VERBS)
    return f"def {name}({argument}):\n{_docstring(rng, '    ')}{''.join(lines)}    return {argument}\n"


def _other(rng: R) -> str:
    if rng.random() < 0.3:
        name, argument = function_name(rng), noun(rng)
        return f"def {name}({argument}):\n{_docstring(rng, '    ')}{statements(rng, '    ', argument, 1)}"
    base = rng.choice(("", "", "(Exception)", f"({class_name(rng)})", "(TestCase)"))
    body = _methods(rng, 0 if base == "(Exception)" else rng.randint(1, 4))
    return f"class {class_name(rng)}{base}:\n{_docstring(rng, '    ')}{body}"


def _methods(rng: R, count: int) -> str:
    """As many methods of one or two lines."""
    texts = []
    for _ in range(count):
        name = rng.choice(
            (rng.choice(VERBS), function_name(rng), f"get_{noun(rng)}", f"test_{noun(rng)}_{rng.choice(VERBS)}")
        )
        given = rng.choice(("self", "self", f"self, {noun(rng)}", "self, request, pk"))
        body = f"        return self.{rng.choice(FIELDS)}\n"
        if rng.random() < 0.3:
            body = f"        self.{noun(rng)} = {rng.choice(FIELDS)}\n{body}"
        texts.append(f"\n    def {name}({given}):\n{body}")
    return "".join(texts)


def _module(rng: R, app: str, parts: list[str]) -> str:
    imports = [
        f"from {app}.{rng.choice(('models', 'services'))} import {class_name(rng)}\n" for _ in range(rng.randint(0, 3))
    ]
    opening = f'"""{sentence(rng)}"""\n\n' if rng.random() < 0.7 else ""
    return opening + "".join(imports) + "\n\n" + "\n\n".join(parts)


def _setting(rng: R) -> str:
    words = (noun(rng), rng.choice(FIELDS)) if rng.random() < 0.5 else (rng.choice(ADJECTIVES), noun(rng), noun(rng))
    return "_".join(words).upper()


def _settings_file(rng: R, names: _Names) -> str:
    lines = [f"{name} = {rng.choice((rng.randint(1, 60), rng.randint(1, 999)))}\n" for name in names.settings]
    apps = "".join(f'    "{app}",\n' for app in names.apps)
    middleware = "".join(
        f'    "{made_up_word(rng)}.{class_name(rng, "Middleware")}",\n' for _ in range(rng.randint(0, 6))
    )
    return f"DEBUG = False\n\nINSTALLED_APPS = [\n{apps}]\n\nMIDDLEWARE = [\n{middleware}]\n\n{''.join(lines)}"


def _urls(names: _Names) -> str:
    lines = "".join(f'    path("{app}/", include("{app}.urls")),\n' for app in names.apps)
    return f"from django.urls import include, path\n\nurlpatterns = [\n{lines}]\n"
