from __future__ import annotations

import random

from punie_trace.suite.fresh.subjects import Subject, contents, definitions, folders, uses

FILES = {
    "shop/models.py": "import json\n\n\nclass OrderLine:\n    amount = 3\n\n\nclass Order:\n    pass\n",
    "shop/views.py": "from .models import OrderLine\n\n\ndef list_orders(request):\n    return OrderLine\n",
    "shop/again.py": "def list_orders(request):\n    return None\n",
    "README.md": "# Shop\n\nIt sells.\n",
}


def test_a_definition_is_asked_about_where_its_name_is_defined_once_and_is_no_word() -> None:
    assert definitions(FILES) == (Subject("OrderLine", ("shop/models.py", "class OrderLine:")),)


def test_a_decorated_function_is_known_by_its_own_line() -> None:
    assert definitions({"a.py": "@cache\ndef read_rates():\n    return 1\n"}) == (
        Subject("read_rates", ("a.py", "def read_rates():")),
    )


def test_uses_name_every_file_in_which_the_text_stands() -> None:
    found = {subject.name: subject.answer_contains for subject in uses(FILES, random.Random(0), 10)}
    assert found["OrderLine"] == ("shop/models.py", "shop/views.py")
    assert found["list_orders"] == ("shop/again.py", "shop/views.py")


def test_a_name_within_another_word_counts_as_a_use_because_a_search_finds_it() -> None:
    files = {"a.py": "order_total = 1\n", "b.py": "x = my_order_total_sum\n"}
    found = {subject.name: subject.answer_contains for subject in uses(files, random.Random(0), 10)}
    assert found["order_total"] == ("a.py", "b.py")


def test_a_file_is_asked_about_where_it_fits_whole() -> None:
    assert [subject.name for subject in contents({"long.py": "x = 1\n" * 200, "short.py": "a = 1\nb = 2\n"})] == [
        "short.py"
    ]
    assert contents({"short.py": "a = 1\n\nb = 2\n"})[0].answer_contains == ("a = 1", "b = 2")


def test_a_folders_files_are_those_below_it() -> None:
    assert folders(FILES) == (Subject("shop", ("shop/again.py", "shop/models.py", "shop/views.py")),)
