"""WHAT it means: pure functions over a run; numpy at most, where paths are simulated."""
