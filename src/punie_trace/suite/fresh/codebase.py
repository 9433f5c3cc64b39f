# ruff: noqa: E501  (tables of templates read better with one entry a line)
"""Synthetic code bases: files of Django, DRF, Flask, FastAPI, Celery, asyncio and plain Python style, names at random.

A code base is a dict of path to text. The code parses and reads like ordinary application code; it is not meant to run.
Everything follows from the `random.Random` given. Questions about it are made elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from punie_trace.suite.fresh.names import (
    ADJECTIVES,
    FIELDS,
    VERBS,
    camel,
    class_name,
    function_name,
    made_up_word,
    noun,
)
from punie_trace.suite.fresh.names import plural as plural_of
from punie_trace.suite.fresh.python_source import docstring, function, literal, module, some_methods, statements

R = random.Random
FIELD_TYPES = (
    "CharField(max_length={n})", "TextField(blank=True)", "IntegerField(default={d})", "BooleanField(default=False)",
    "DateTimeField(auto_now_add=True)", "DecimalField(max_digits={n}, decimal_places=2)", "SlugField(unique=True)",
    "PositiveIntegerField(null=True)", "EmailField()", "URLField(blank=True)", "UUIDField(default=uuid4)",
)  # fmt: skip


def make_codebase(rng: R) -> dict[str, str]:
    """Path to text for 6 to 22 files in one to three folders, plus a few at the top."""
    files: dict[str, str] = {}
    style = rng.choice(("django", "django", "django", "drf", "drf", "flask", "fastapi", "plain", "async"))
    apps = [plural_of(noun(rng)) if rng.random() < 0.6 else noun(rng) for _ in range(rng.randint(1, 3))]
    root = rng.choice(("", "", "", "src/", made_up_word(rng) + "/", "apps/", "backend/"))
    for app in apps:
        for name, make in rng.sample(MODULES[style], min(len(MODULES[style]), rng.randint(4, 8))):
            subject = app.removesuffix("s") if rng.random() < 0.7 else noun(rng)
            files[f"{root}{app}/{name.format(x=noun(rng), v=rng.choice(VERBS))}"] = make(rng, subject)
        if rng.random() < 0.5:
            files[f"{root}{app}/__init__.py"] = ""
        for _ in range(rng.randint(0, 2)):
            folder = f"{root}{app}/tests" if rng.random() < 0.5 else "tests"
            files[f"{folder}/test_{noun(rng)}.py"] = tests(rng, noun(rng))
    for name, make in rng.sample(TOP, rng.randint(1, 4)):
        files[name.format(x=noun(rng))] = make(rng, apps[0])
    return files


def models(rng: R, subject: str) -> str:
    """Django models."""
    parts = []
    for number in range(rng.randint(1, 4)):
        name = camel(subject) if number == 0 else class_name(rng)
        fields = []
        for field in rng.sample(FIELDS, rng.randint(1, 6)):
            kind = rng.choice(FIELD_TYPES).format(n=rng.choice((8, 20, 50, 100, 200)), d=rng.randint(0, 5))
            fields.append(f"    {field} = models.{kind}\n")
        if rng.random() < 0.5:
            other, many = camel(noun(rng)), rng.choice(("models.CASCADE", "models.PROTECT", "models.SET_NULL"))
            fields.append(f"    {noun(rng)} = models.ForeignKey({other}, on_delete={many})\n")
        meta = f'\n    class Meta:\n        ordering = ["-{rng.choice(FIELDS)}"]\n' if rng.random() < 0.4 else ""
        text = f"\n    def __str__(self):\n        return self.{rng.choice(FIELDS)}\n" if rng.random() < 0.4 else ""
        methods = some_methods(rng, subject, 0, 2)
        parts.append(
            f"class {name}(models.Model):\n{docstring(rng, '    ', subject)}{''.join(fields)}{meta}{text}{methods}"
        )
    return module(
        rng,
        ["from django.db import models", "from uuid import uuid4", f"from {noun(rng)}.models import {class_name(rng)}"],
        parts,
    )


def views(rng: R, subject: str) -> str:
    """Django and DRF views, class-based and plain."""
    parts = []
    for _ in range(rng.randint(1, 4)):
        name, model = (
            class_name(rng, rng.choice(("View", "ViewSet", "ListView", "DetailView", "APIView"))),
            camel(subject),
        )
        base = rng.choice(
            (
                "APIView",
                "ListView",
                "DetailView",
                "viewsets.ModelViewSet",
                "generic.ListView",
                "LoginRequiredMixin, View",
            )
        )
        if rng.random() < 0.35:
            decorator = rng.choice(("@login_required\n", "@require_POST\n", '@api_view(["GET"])\n', ""))
            action = f"{rng.choice(VERBS)}_{noun(rng)}"
            parts.append(
                f"{decorator}def {action}(request, pk):\n{docstring(rng, '    ', subject)}"
                f"    {subject} = get_object_or_404({model}, pk=pk)\n{statements(rng, '    ', subject, rng.randint(0, 3))}"
            )
            continue
        lines = rng.sample(
            (
                f"    model = {model}\n", f"    queryset = {model}.objects.all()\n", f"    paginate_by = {rng.randint(5, 100)}\n",
                f"    serializer_class = {class_name(rng, 'Serializer')}\n", f"    permission_classes = [{class_name(rng, 'Permission')}]\n",
                f"    template_name = \"{subject}/{noun(rng)}.html\"\n",
            ), rng.randint(1, 4),
        )  # fmt: skip
        parts.append(
            f"class {name}({base}):\n{docstring(rng, '    ', subject)}{''.join(lines)}{some_methods(rng, subject, 0, 2)}"
        )
    return module(rng, ["from django.shortcuts import get_object_or_404", "from rest_framework.views import APIView",
                       f"from .models import {camel(subject)}"], parts)  # fmt: skip


def serializers(rng: R, subject: str) -> str:
    """DRF serializers."""
    parts = []
    for number in range(rng.randint(1, 4)):
        name = class_name(rng, "Serializer") if number or subject == "user" else camel(subject) + "Serializer"
        extra = "".join(
            f"    {f} = serializers.{k}()\n"
            for f, k in zip(rng.sample(FIELDS, 2), ("CharField", "SerializerMethodField"), strict=True)
            if rng.random() < 0.4
        )
        fields = ", ".join(f'"{f}"' for f in rng.sample(FIELDS, rng.randint(1, 6)))
        meta = f"    class Meta:\n        model = {camel(subject)}\n        fields = [{fields}]\n"
        if rng.random() < 0.3:
            meta += f'        read_only_fields = ["{rng.choice(FIELDS)}"]\n'
        checks = "".join(
            f"\n    def validate_{f}(self, value):\n        if {rng.choice(('not value', 'value < 0', 'len(value) > 50'))}:\n"
            f'            raise serializers.ValidationError("{f.replace("_", " ")} {rng.choice(("is wrong", "is missing", "is taken"))}")\n'
            "        return value\n"
            for f in rng.sample(FIELDS, rng.randint(0, 2))
        )
        base = rng.choice(("serializers.ModelSerializer", "serializers.ModelSerializer", "ModelSerializer"))
        parts.append(
            f"class {name}({base}):\n{docstring(rng, '    ', subject)}{extra}{meta}{checks}{some_methods(rng, subject, 0, 1)}"
        )
    return module(rng, ["from rest_framework import serializers", f"from .models import {camel(subject)}"], parts)


def tasks(rng: R, subject: str) -> str:
    """Celery tasks."""
    decorators = (
        "@shared_task\n",
        "@shared_task(bind=True, max_retries=3)\n",
        "@app.task\n",
        '@celery.task(queue="low")\n',
    )
    parts = [rng.choice(decorators) + function(rng, subject) for _ in range(rng.randint(1, 4))]
    return module(
        rng, ["from celery import shared_task", "import logging", f"from .models import {camel(subject)}"], parts
    )


def plain(rng: R, subject: str) -> str:
    """Functions and classes without a framework."""
    parts = []
    for _ in range(rng.randint(1, 5)):
        if rng.random() < 0.5:
            parts.append(function(rng, subject))
            continue
        base = rng.choice(("", "", "", f"({class_name(rng)})", "(Exception)", "(Protocol)"))
        dataclass = "@dataclass\n" if not base and rng.random() < 0.3 else ""
        if dataclass:
            fields = "".join(
                f"    {f}: {rng.choice(('int', 'str', 'float'))}\n" for f in rng.sample(FIELDS, rng.randint(2, 5))
            )
        else:
            fields = "".join(f"    {f} = {literal(rng)}\n" for f in rng.sample(FIELDS, rng.randint(1, 3)))
        parts.append(
            f"{dataclass}class {class_name(rng)}{base}:\n{docstring(rng, '    ', subject)}{fields}{some_methods(rng, subject, 0, 3)}"
        )
    return module(rng, ["import logging", "from dataclasses import dataclass", "from decimal import Decimal", "import json",
                       f"from .{noun(rng)} import {function_name(rng)}"], parts)  # fmt: skip


def coroutines(rng: R, subject: str) -> str:
    """asyncio code."""
    parts = [function(rng, subject, prefix="async def") for _ in range(rng.randint(1, 3))]
    parts.append(
        f"class {class_name(rng)}:\n    {noun(rng)} = {literal(rng)}\n{some_methods(rng, subject, 1, 2, 'async def')}"
    )
    return module(rng, ["import asyncio", "import aiohttp", f"from {noun(rng)} import {class_name(rng)}"], parts)


def routes(rng: R, subject: str) -> str:
    """Flask and FastAPI routes."""
    object_ = rng.choice(("app", "router", "bp", "api"))
    parts = []
    for _ in range(rng.randint(1, 4)):
        verb, path = (
            rng.choice(("get", "post", "delete", "route")),
            rng.choice((f"/{subject}s", f"/{noun(rng)}/{{id}}")),
        )
        parts.append(f'@{object_}.{verb}("{path}")\n{function(rng, subject)}')
    return module(rng, ["from fastapi import APIRouter", "from flask import Blueprint, jsonify"], parts)


def tests(rng: R, subject: str) -> str:
    """Tests, in pytest or unittest style."""

    def case(indent: str, own: str) -> str:
        name = f"{indent}def test_{function_name(rng)}({own}):\n"
        lines = [
            f"{noun(rng)} = {class_name(rng)}({rng.choice(FIELDS)}={literal(rng)})",
            f"assert {function_name(rng)}({literal(rng)}) == {literal(rng)}",
        ]
        return name + "".join(f"{indent}    {line}\n" for line in lines[rng.randint(0, 1) :])

    if rng.random() < 0.5:
        return module(
            rng,
            ["import pytest", f"from {subject}.models import {camel(subject)}"],
            [case("", "") for _ in range(rng.randint(1, 4))],
        )
    return f"from django.test import TestCase\n\n\nclass {class_name(rng, 'Test')}(TestCase):\n" + "\n".join(
        case("    ", "self") for _ in range(rng.randint(1, 3))
    )


def urls(rng: R, subject: str) -> str:
    """A URL configuration."""
    lines = [
        f'    path("{noun(rng)}/", views.{rng.choice(VERBS)}_{noun(rng)}, name="{noun(rng)}"),\n'
        for _ in range(rng.randint(1, 5))
    ]
    return f"from django.urls import path\n\nfrom {subject} import views\n\nurlpatterns = [\n{''.join(lines)}]\n"


def admin(rng: R, subject: str) -> str:
    """Admin registrations."""
    parts = [
        f"@admin.register({camel(subject)})\nclass {class_name(rng, 'Admin')}(admin.ModelAdmin):\n"
        f"    list_display = [{', '.join(repr(f) for f in rng.sample(FIELDS, rng.randint(1, 4)))}]\n"
        for _ in range(rng.randint(1, 2))
    ]
    return module(rng, ["from django.contrib import admin", f"from .models import {camel(subject)}"], parts)


def settings(rng: R, subject: str) -> str:
    """A settings module."""
    lines = [
        f"{'_'.join((noun(rng), rng.choice(FIELDS))).upper()} = {literal(rng)}\n" for _ in range(rng.randint(3, 10))
    ]
    apps = "".join(f'    "{noun(rng)}",\n' for _ in range(rng.randint(1, 5)))
    return (
        "DEBUG = "
        + rng.choice(("True", "False"))
        + f'\nINSTALLED_APPS = [\n{apps}    "{subject}",\n]\n'
        + "".join(lines)
    )


def prose(rng: R, subject: str) -> str:
    """A read-me."""
    lines = [
        f"The {noun(rng)} {rng.choice(VERBS)}s each {rng.choice(ADJECTIVES)} {noun(rng)}."
        for _ in range(rng.randint(2, 5))
    ]
    return f"# {camel(subject)}\n\n" + "\n".join(lines) + "\n"


def requirements(rng: R, _subject: str) -> str:
    """A list of packages."""
    known = (
        "django",
        "celery",
        "redis",
        "requests",
        "pytest",
        "pillow",
        "gunicorn",
        "flask",
        "fastapi",
        "httpx",
        "psycopg",
    )
    return "".join(f"{p}=={rng.randint(0, 9)}.{rng.randint(0, 30)}\n" for p in rng.sample(known, rng.randint(2, 6)))


Maker = Callable[[R, str], str]
_DJANGO: list[tuple[str, Maker]] = [
    ("models.py", models), ("views.py", views), ("admin.py", admin), ("urls.py", urls), ("forms.py", plain),
    ("services.py", plain), ("tasks.py", tasks), ("signals.py", plain), ("managers.py", plain), ("{x}.py", plain),
    ("middleware.py", plain), ("apps.py", plain), ("management/commands/{v}_{x}.py", plain), ("permissions.py", plain),
    ("serializers.py", serializers), ("templatetags/{x}_tags.py", plain), ("migrations/0001_initial.py", settings),
]  # fmt: skip
_PLAIN: list[tuple[str, Maker]] = [
    ("core.py", plain), ("{x}.py", plain), ("{v}.py", plain), ("{x}_{v}.py", plain), ("storage/{x}.py", plain),
    ("client.py", coroutines), ("cli.py", plain), ("errors.py", plain), ("worker.py", tasks), ("api/{x}.py", routes),
]  # fmt: skip
MODULES: dict[str, list[tuple[str, Maker]]] = {
    "django": _DJANGO,
    "drf": [("serializers.py", serializers), ("viewsets.py", views), ("api.py", views), *_DJANGO],
    "flask": [("routes.py", routes), ("models.py", plain), ("extensions.py", settings), *_PLAIN],
    "fastapi": [("routers/{x}.py", routes), ("schemas.py", plain), ("dependencies.py", coroutines), *_PLAIN],
    "plain": _PLAIN,
    "async": [("tasks.py", coroutines), ("{x}_client.py", coroutines), ("server.py", coroutines), *_PLAIN],
}
TOP: list[tuple[str, Maker]] = [
    ("README.md", prose), ("requirements.txt", requirements), ("manage.py", plain), ("config/settings.py", settings),
    ("settings.py", settings), ("config/urls.py", urls), ("conftest.py", plain), ("docs/{x}.md", prose), ("celery.py", tasks),
]  # fmt: skip
