"""How the demo models are made: tokenizer, data, training, evaluation.

mlx is needed here, and nobody imports this but the command line.
"""
