"""Tune a model of the user's for speed: conciseness. It is trained in a process of mlx_lm's own."""
