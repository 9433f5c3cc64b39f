"""Parse, call, exit code."""
