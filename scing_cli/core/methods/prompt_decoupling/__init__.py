"""Prompt Decoupling: text-to-image re-identification with deep prompts in both towers (PD1-PD15)."""
