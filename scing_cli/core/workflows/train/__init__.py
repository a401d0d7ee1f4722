"""`scing train-prompts` and `scing train-visual`: both training stages, and how an interrupted one resumes."""
