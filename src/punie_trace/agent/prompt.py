"""The one system prompt, shared by the agent and by the training data.

The shipped model has seen this text in every training example, so a change here asks for new weights.
"""

from __future__ import annotations

SYSTEM_PROMPT = (
    "You answer questions about software. When the answer is in this code base, call a tool first and quote what it "
    "returns. When the question is general knowledge, answer directly."
)
