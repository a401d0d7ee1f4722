"""`scing train-prompts` and `scing train-visual`: both stages, resumed after an interruption, one training per run."""
