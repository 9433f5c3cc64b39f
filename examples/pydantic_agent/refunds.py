"""A PydanticAI agent as one has it: dependencies, tools of its own, a structured output.

It knows nothing of punie_trace. Below it, what makes its dependencies for a run, and an evaluator that looks at the
fields of what it decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field
from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext


@dataclass(frozen=True)
class Order:
    """What was bought. `price` is in cents, `days` since it was delivered."""

    item: str
    price: int
    days: int


@dataclass
class Shop:
    """What the tools work with: in earnest a database's connection."""

    orders: dict[str, Order]


class Decision(BaseModel):
    """What the agent decides. `amount` is in cents."""

    action: Literal["refund", "refuse"]
    amount: int = Field(ge=0)
    reason: str


agent: Agent[Shop, Decision] = Agent(
    "openai:gpt-5",  # replaced by the measured model for each run; the object stays as it is
    deps_type=Shop,
    output_type=Decision,
    instructions="Decide on refunds: the full price within 30 days of delivery, nothing after that.",
    defer_model_check=True,
)


@agent.tool
def look_up_order(context: RunContext[Shop], number: str) -> Order:
    """What was ordered under that number."""
    if number not in context.deps.orders:
        raise ModelRetry(f"there is no order {number!r}; numbers look like A-17")
    return context.deps.orders[number]


async def open_shop() -> Shop:
    """The dependencies: made once for each configuration, and given to every query."""
    return Shop({"A-17": Order("kettle", 3900, 12), "A-18": Order("lamp", 2500, 45)})


@dataclass
class WithinPrice(Evaluator[str, Decision, object]):
    """The amount is that of the expected decision, and a refusal costs nothing."""

    def evaluate(self, ctx: EvaluatorContext[str, Decision, object]) -> dict[str, EvaluationReason | int]:
        """Looks at the output's fields: it is the agent's own object."""
        expected = ctx.expected_output
        assert expected is not None, "each case says what is expected"
        right = (ctx.output.action, ctx.output.amount) == (expected.action, expected.amount)
        words = f"{ctx.output.action} of {ctx.output.amount} where {expected.action} of {expected.amount} is right"
        return {"decision": EvaluationReason(right, words), "off_by_cents": abs(ctx.output.amount - expected.amount)}
