"""The face: the ``harness`` command."""
