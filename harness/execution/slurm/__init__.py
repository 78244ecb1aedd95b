"""Sweeps as Slurm arrays: what is asked of the controller, what is submitted, and what became of every task."""
