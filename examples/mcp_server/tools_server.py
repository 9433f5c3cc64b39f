"""An MCP server over stdio with four tools over a folder: a program of its own, which knows nothing of who calls it.

python examples/mcp_server/tools_server.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.tools import Tool

from punie_trace.agent.definitions import definitions_of
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace

functions = Toolbox(Workspace(Path(sys.argv[1])), max_chars=600).functions()
tools = []
for definition in definitions_of(functions):
    # The model in the package knows its tools by these very words; for any other `server.add_tool(function)` will do.
    words: Any = definition["function"]
    tool = Tool.from_function(functions[words["name"]], description=words["description"], structured_output=False)
    tools.append(tool.model_copy(update={"parameters": words["parameters"]}))
MCPServer("codebase", tools=tools).run()
