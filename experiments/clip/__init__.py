"""CLIP: prompts, ensembles, few-shot, shift and counting."""
