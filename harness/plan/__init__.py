"""Factors into trials with stable ids, and what of them is done."""
