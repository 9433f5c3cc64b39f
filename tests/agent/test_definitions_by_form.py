from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.agent.definitions_by_form import SUFFIXES, find_by_form
from punie_trace.agent.workspace import Workspace, WorkspaceError

SOURCES = {
    ".ts": """import { Order } from "./order";
const x = new Order("{");
@Injectable()
export class Order<T> extends Base {
  total(): number { return sum("}"); }

  async find(id: string): Promise<Order> {
    if (id) {
      return this.find(id);
    }
  }
  total2 = () => this.total();
}
export interface Shape {
  find(id: string): void;
}
export const handler = async (event: Event): Promise<void> => {
  // }
  total(event);
};
type Id = string;
export default function main() {
  handler();
}
""",
    ".go": """package shop

type Order struct {
	Total int
}

// Find is here.
func (o *Order) Find(id string) (*Order, error) {
	s := `}`
	return nil, Find2(s)
}

func Find(id string) *Order { return nil }
""",
    ".rs": """use crate::Order;
#[derive(Debug)]
pub struct Order<'a> {
    name: &'a str,
}

impl<'a> Order<'a> {
    pub fn find(id: char) -> bool {
        id == '}'
    }
}

fn find() -> bool { Order::find('{') }
""",
    ".java": """package shop;
public class Order {
    @Override
    public String find(String id) throws IOException {
        return find(id, "{");
    }
    private List<Order> find(String id, String more) { return null; }
    abstract void later(int x);
}
""",
    ".cpp": """#include "order.h"
int Order::find(const std::string& id) const
{
    return find2(id);
}
static bool later(int x);
bool later(int x) {
    return true; /* } */
}
struct Point { int x; };
""",
    ".rb": """class Order
  def find(id)
    items.each do |x|
      find(x)
    end
  end

  def total = 3
end
""",
    ".kt": """data class Order(val id: String)

class Shop {
    fun find(id: String): Order? =
        orders.first { it.id == id }

    fun total(): Int {
        return 3
    }
}
""",
    ".php": """<?php
final class Order extends Base
{
    public function find(string $id): ?Order
    {
        return $this->find('}');
    }
}
""",
}


def found(suffix: str, name: str) -> list[tuple[int, int]]:
    return [(one.start, one.end) for one in find_by_form(SOURCES[suffix].splitlines(), name.split("."), suffix)]


@pytest.mark.parametrize(
    ("suffix", "name", "places"),
    [
        (".ts", "Order", [(3, 13)]),
        (".ts", "Order.find", [(7, 11)]),
        (".ts", "total", [(5, 5)]),
        (".ts", "total2", [(12, 12)]),
        (".ts", "Shape", [(14, 16)]),
        (".ts", "handler", [(17, 20)]),
        (".ts", "Id", [(21, 21)]),
        (".ts", "main", [(22, 24)]),
        (".go", "Order", [(3, 5)]),
        (".go", "Order.Find", [(8, 11)]),
        (".go", "Find", [(8, 11), (13, 13)]),
        (".rs", "Order", [(2, 5), (7, 11)]),
        (".rs", "find", [(8, 10), (13, 13)]),
        (".rs", "Order.find", [(8, 10)]),
        (".java", "Order", [(2, 9)]),
        (".java", "Order.find", [(3, 6), (7, 7)]),
        (".java", "later", []),
        (".cpp", "find", [(2, 5)]),
        (".cpp", "Order.find", [(2, 5)]),
        (".cpp", "later", [(7, 9)]),
        (".cpp", "Point", [(10, 10)]),
        (".rb", "Order", [(1, 9)]),
        (".rb", "Order.find", [(2, 6)]),
        (".kt", "Order", [(1, 1)]),
        (".kt", "find", [(4, 5)]),
        (".kt", "Shop.total", [(7, 9)]),
        (".php", "Order", [(2, 8)]),
        (".php", "Order.find", [(4, 7)]),
        (".php", "absent", []),
    ],
)
def test_definitions_are_found_with_their_last_line(suffix: str, name: str, places: list[tuple[int, int]]) -> None:
    assert found(suffix, name) == places


PIECES = ["find", "Order", " ", "\n", "{", "}", "(", ")", "'", '"', "`", "\\", "/*", "*/", "//", ";", "class ", "fn ",
          "end", "=", "=>", "<", ">", "::", "\t", "#[x]", "const ", "impl ", " for ", "€"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=60), st.sampled_from(sorted(SUFFIXES)), st.booleans())
def test_any_text_has_definitions_within_it_or_none(pieces: list[str], suffix: str, dotted: bool) -> None:
    lines = "".join(pieces).split("\n")
    for one in find_by_form(lines, ["Order", "find"] if dotted else ["find"], suffix):
        assert 1 <= one.start <= one.end <= len(lines)
        assert any("find" in line for line in lines[one.start - 1 : one.end])


@pytest.mark.parametrize(
    "piece", ["find(", "class find {", "a*", "find '", 'find "\\', "< ", "func (find ", "impl find for "]
)
def test_no_text_takes_long(piece: str) -> None:
    lines = [(piece * 1000)[:1000]] * 50
    begun = time.process_time()
    for suffix in (".ts", ".rs", ".rb"):
        find_by_form(lines, ["find"], suffix)
        find_by_form(lines, ["find", "find"], suffix)
    assert time.process_time() - begun < 30


def test_the_workspace_finds_them_beside_those_of_python(tmp_path: Path) -> None:
    (tmp_path / "a.go").write_text(SOURCES[".go"])
    (tmp_path / "b.py").write_text("class Order:\n    def Find(self): pass\n")
    (tmp_path / "c.md").write_text("class Order {\n}\n")
    workspace = Workspace(tmp_path)
    assert [(one.path, one.start) for one in workspace.definitions("Order.Find")] == [("a.go", 8), ("b.py", 2)]
    assert workspace.definitions("Order::Find") == workspace.definitions("Order.Find()")
    with pytest.raises(WorkspaceError, match="not the name"):
        workspace.definitions("Order..Find")
