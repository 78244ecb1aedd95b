"""Sweeps through submitit: orders, workers that run trials, claims, and the driver that follows them."""
