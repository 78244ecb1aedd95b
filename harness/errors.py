"""The one exception that stands for a user's mistake."""

from __future__ import annotations


class UserError(Exception):
    """Input that cannot be used, told in one sentence: what is wrong, where, and what would be right.

    The command line prints the message on standard error and exits with status 2; nothing has been started.
    """


class NotKnownYet(Exception):
    """What a plan asks for is known only once something else is there, such as the configuration of a model.

    A function that counts a trial's operations raises it; the plan then says so in place of a prediction.
    """


def nearest(word: str, candidates: list[str]) -> str:
    """Return ``", did you mean 'x'?"`` for the candidate most like ``word``, or an empty string."""
    import difflib

    matches = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    return f"; did you mean '{matches[0]}'?" if matches else ""


def listed(names: list[str], most: int = 12) -> str:
    """Return names as a short comma-separated list, cut after ``most`` of them."""
    shown = ", ".join(names[:most])
    return shown + (f", ... ({len(names)} in all)" if len(names) > most else "") if names else "none"
