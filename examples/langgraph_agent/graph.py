"""LangGraph, asked through a function: `ask(question, endpoint)`.

A graph of two nodes, the model and its tools. LangChain's client takes the endpoint's own HTTP client, which times
every generation.
"""

from __future__ import annotations

from langchain_core.messages import SystemMessage
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from punie_trace.agent.definitions import definitions_of
from punie_trace.agent.endpoint import Endpoint
from punie_trace.agent.prompt import SYSTEM_PROMPT
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.suite.load import sample_workspace

_toolbox = Toolbox(Workspace(sample_workspace()), max_chars=600)
_tools = [StructuredTool.from_function(one, name=name) for name, one in _toolbox.functions().items()]


async def ask(question: str, endpoint: Endpoint) -> str:
    """The graph's answer by the model of `endpoint`."""
    model = ChatOpenAI(
        model=endpoint.model,
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        http_async_client=endpoint.http_client,
        temperature=0,
        max_tokens=480,
        max_retries=0,
    ).bind_tools(definitions_of(_toolbox.functions()))

    async def generate(state: MessagesState) -> dict[str, list[object]]:
        return {"messages": [await model.ainvoke([SystemMessage(SYSTEM_PROMPT), *state["messages"]])]}

    graph = StateGraph(MessagesState)
    graph.add_node("generate", generate)
    graph.add_node("tools", ToolNode(_tools))
    graph.add_edge(START, "generate")
    graph.add_conditional_edges("generate", tools_condition)
    graph.add_edge("tools", "generate")
    result = await graph.compile().ainvoke({"messages": [("user", question)]}, {"recursion_limit": 16})
    return str(result["messages"][-1].content)
