"""Attempts on disk, written once and completely or not at all, and one long table out of them."""
