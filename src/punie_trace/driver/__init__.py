"""WHEN a query is asked: the schedule, the load, and the limits. It knows no agent, no HTTP and no model."""
