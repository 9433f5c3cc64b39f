"""WHAT happened: names, the clock, the tracer provider, spans of the HTTP transport, and where spans go."""
