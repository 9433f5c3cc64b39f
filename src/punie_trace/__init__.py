"""punie_trace: where an LLM agent's seconds go, and which server configuration is really faster.

Importing this package loads neither mlx, transformers nor pydantic-ai.
"""

from __future__ import annotations

__version__ = "0.1.0"
