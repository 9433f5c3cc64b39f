"""Questions that no model and no server has seen: made by seed, over a code base made by the same seed."""
