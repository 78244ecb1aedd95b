"""The two ways in which a baseline refuses to be measured."""

__all__ = ["StructureError", "WeightsError"]


class StructureError(RuntimeError):
    """A system did not do the work that it claims: wrong number of proposals or regions, or a value not
    finite.
    """


class WeightsError(ValueError):
    """A weights file or checkpoint does not fit the model; the message is one sentence."""
