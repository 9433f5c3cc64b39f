"""A scripted OpenAI-compatible server for tests and benches, with faults and known latency."""
