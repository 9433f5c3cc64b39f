"""What a project's text says: definitions that are the only ones of their name, relations, settings, lines."""

from __future__ import annotations

from punie_trace.suite.fresh.project_facts import ProjectFacts

FILES = {
    "config/settings.py": "DEBUG = False\nDAYS = 21\nNAME = 'x'\nCENTS = 5\n",
    "klu/config/settings.py": "CENTS = 7\nLIMIT = 3\n",
    "shop/models.py": (
        "class Order(models.Model):\n    note = models.TextField()\n    buyer = models.ForeignKey(User, null=True)\n"
        "    shop = models.ForeignKey(Shop)\n\n\nclass Line:\n    order = models.ForeignKey('Order')\n"
    ),
    "shop/serializers.py": "class OrderSerializer(Base):\n    class Meta:\n        model = Order\n",
    "shop/views.py": (
        'class OrderView(View):\n    """Orders, by day.\n\n    More.\n    """\n\n'
        "    serializer_class = OrderSerializer\n\n"
        "    def get(self):\n        return settings.DAYS + settings.CENTS + settings.LIMIT + settings.DAYS\n\n"
        "    async def post(self):\n        def inner(): ...\n"
    ),
    "shop/twice.py": "class Line: ...\n",
    "shop/__init__.py": "class Order: ...\n",
    "notes.md": "class Order",
}
PROJECT = ProjectFacts(FILES)


def test_a_name_that_is_there_twice_is_left_out() -> None:
    assert PROJECT.definitions.keys() == {"Order", "OrderSerializer", "OrderView"}
    assert PROJECT.settings == {"DAYS": 21, "LIMIT": 3}


def test_lines_are_those_of_python_files() -> None:
    assert PROJECT.lines["shop/serializers.py"] == 3
    assert not {"notes.md", "shop/__init__.py"} & PROJECT.lines.keys()


def test_one_definition_leads_to_the_next() -> None:
    view = PROJECT.definitions["OrderView"]
    assert view.docstring == "Orders, by day"
    assert view.methods == 2
    assert view.serializer() == "OrderSerializer"
    assert PROJECT.definitions["OrderSerializer"].serialized() == "Order"
    assert PROJECT.definitions["Order"].related() == "User"
    assert (view.related(), view.serialized(), PROJECT.definitions["Order"].serializer()) == (None, None, None)
    assert PROJECT.settings_of(view) == ["DAYS", "LIMIT"]


def test_a_relation_by_text_is_no_name() -> None:
    project = ProjectFacts({"a.py": FILES["shop/models.py"].partition("\n\n\n")[2]})
    assert project.definitions["Line"].related() is None


def test_facts_of_more_files_are_those_of_all() -> None:
    some = dict(list(FILES.items())[:4])
    grown = ProjectFacts(FILES, ProjectFacts(some))
    assert (grown.settings, grown.lines) == (PROJECT.settings, PROJECT.lines)
    assert grown.definitions.keys() == PROJECT.definitions.keys()
