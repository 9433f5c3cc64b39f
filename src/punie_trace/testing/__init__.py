"""A scripted OpenAI-compatible server: answers, faults, known latency, and its own truth. Public API.

It is for testing agents and clients, yours and ours; `docs/testing.md` shows how.
"""

from punie_trace.testing.connection import RequestRecord
from punie_trace.testing.known_latency import KnownLatency
from punie_trace.testing.script import (
    Cut,
    Die,
    Hang,
    Keepalive,
    Raw,
    Reasoning,
    Reply,
    Rule,
    Script,
    Step,
    Text,
    ToolCall,
    Usage,
)
from punie_trace.testing.server import ScriptedServer, scripted_server

__all__ = [
    "Cut",
    "Die",
    "Hang",
    "Keepalive",
    "KnownLatency",
    "Raw",
    "Reasoning",
    "Reply",
    "RequestRecord",
    "Rule",
    "Script",
    "ScriptedServer",
    "Step",
    "Text",
    "ToolCall",
    "Usage",
    "scripted_server",
]
