"""One room a paper: its claims, its specs, its method and its trial functions."""
