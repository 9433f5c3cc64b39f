"""HOW a query is asked: the system prompt, the workspace, the tools, and the three paths to a model."""
