"""Our MLX server: mlx_lm's own, with speculative decoding that adapts and with a trace of where its time goes."""
