"""A PydanticAI agent whose tools are an MCP server's, which it starts itself and talks to over stdio."""

from __future__ import annotations

import sys
from pathlib import Path

from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset

from punie_trace.agent.prompt import SYSTEM_PROMPT
from punie_trace.suite.load import sample_workspace

SERVER = Path(__file__).with_name("tools_server.py")
transport = StdioTransport(sys.executable, [str(SERVER), str(sample_workspace())])

agent: Agent[None, str] = Agent(
    instructions=SYSTEM_PROMPT,
    toolsets=[MCPToolset(transport, init_timeout=60)],
    model_settings={"temperature": 0, "max_tokens": 480},
)
